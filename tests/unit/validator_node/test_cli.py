"""`mill node` and `mill localnet` refuse what they can't do in one sentence, and change nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from client.cli.main import run
from tests.support.network import ALICE, BOB
from validator_node.home import NodeHome
from validator_node.localnet.cli import describe
from validator_node.localnet.layout import Layout, Plan
from validator_node.ports import Ports
from validator_node.settings import load_settings
from validator_node.setup import rpc_url


def test_init_makes_a_home_and_never_overwrites_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = NodeHome(tmp_path / "node")
    arguments = ["node", "init", "--home", str(home.root), "--chain-id", "c-1", "--port-offset", "5000"]
    arguments += ["--authority", ALICE.address, "--account", f"{BOB.address}=12.5mill,3credit"]
    assert run(arguments) == 0
    genesis = home.read_genesis()
    assert genesis["app_state"]["accounts"] == [{"address": BOB.address, "umill": "12500000", "ucredit": "3000000"}]
    assert genesis["app_state"]["authority"] == ALICE.address
    assert len(genesis["validators"]) == 1
    assert load_settings(home.settings).grpc_address == "127.0.0.1:14090"
    assert rpc_url(home.comet_config) == "http://127.0.0.1:31657"
    assert home.validator_key.stat().st_mode & 0o077 == 0
    before = home.validator_key.read_bytes()
    assert run(arguments) == 1
    assert "holds a node already" in capsys.readouterr().err
    assert home.validator_key.read_bytes() == before


def test_init_joins_the_chain_of_a_genesis_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = NodeHome(tmp_path / "a"), NodeHome(tmp_path / "b")
    assert run(["node", "init", "--home", str(first.root), "--chain-id", "c-1"]) == 0
    peer = "0123456789012345678901234567890123456789@127.0.0.1:26656"
    joined = ["node", "init", "--home", str(second.root), "--genesis", str(first.genesis), "--peer", peer]
    capsys.readouterr()
    assert run([*joined, "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["home"], said["chain_id"], len(said["node_id"])) == (str(second.root), "c-1", 40)
    assert second.read_genesis() == first.read_genesis()
    assert peer in second.comet_config.read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        ([], 2, "--chain-id"),
        (["--chain-id", "two words"], 2, "'two words' can't name a chain"),
        (["--chain-id", "c" * 51], 2, "at most 50"),
        (["--chain-id", "c", "--peer", "127.0.0.1:26656"], 2, "isn't ID@HOST:PORT"),
        (["--chain-id", "c", "--peer", f"{'0' * 40}@127.0.0.1:0"], 2, "isn't ID@HOST:PORT"),
        (["--chain-id", "c", "--peer", f"{'0' * 40}@a.example:1,{'0' * 40}@b.example:1"], 2, "isn't ID@HOST:PORT"),
        (["--chain-id", "c", "--account", "mill1junk=1mill"], 2, "mill1junk"),
        (["--chain-id", "c", "--account", BOB.address], 2, "ADDRESS=AMOUNT"),
        (["--chain-id", "c", "--account", f"{BOB.address}=1gold"], 2, "gold"),
        (["--chain-id", "c", "--authority", "nobody"], 2, "nobody"),
        (["--chain-id", "c", "--preset", "mainnet"], 2, "devnet"),
        (["--genesis", "GENESIS", "--chain-id", "c"], 2, "--genesis"),
        (["--genesis", "GENESIS"], 1, "isn't a genesis file"),
    ],
)
def test_init_refuses_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, reason: str
) -> None:
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps({"chain_id": "c", "app_state": {"nonsense": 1}}))
    given = [str(genesis) if one == "GENESIS" else one for one in arguments]
    assert run(["node", "init", "--home", str(tmp_path / "node"), *given]) == status
    said = capsys.readouterr().err.strip()
    assert reason in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "node").exists()


@pytest.mark.parametrize(("port_offset", "option"), [(0, ""), (3_000, " --node http://127.0.0.1:29657")])
def test_the_command_that_a_localnet_prints_reaches_it(tmp_path: Path, port_offset: int, option: str) -> None:
    said = describe(Layout(tmp_path), Plan("c-1", 1, 0, port_offset, "auto"))
    assert f"mill --home {tmp_path / 'user'}{option} --from alice …" in said


def test_stopping_what_does_not_run_is_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["localnet", "stop", "--home", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out == "Nothing was running.\n"
    assert run(["localnet", "stop", "--home", str(tmp_path / "none"), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stopped": []}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["start", "status", "export"])
def test_commands_on_a_missing_home_say_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(["node", command, "--home", str(tmp_path)]) == 1
    assert "mill node init" in capsys.readouterr().err


def test_a_cometbft_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["node", "init", "--home", str(tmp_path / "node"), "--chain-id", "c-1"]
    monkeypatch.setenv("COMETBFT", str(tmp_path / "missing"))
    assert run(arguments) == 1
    assert "$COMETBFT" in capsys.readouterr().err
    program = tmp_path / "cometbft"
    program.write_text('#!/bin/sh\necho \'{"cometbft": "0.34.1", "abci": "0.17.0"}\'\n')
    program.chmod(0o755)
    monkeypatch.setenv("COMETBFT", str(program))
    assert run(arguments) == 1
    assert "0.34.1" in capsys.readouterr().err
    assert not (tmp_path / "node").exists()


def test_export_before_the_first_block_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["node", "init", "--home", str(tmp_path / "node"), "--chain-id", "c-1"]) == 0
    capsys.readouterr()
    assert run(["node", "export", "--home", str(tmp_path / "node")]) == 1
    assert "first block" in capsys.readouterr().err


def test_stop_of_nothing_is_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["localnet", "stop", "--home", str(tmp_path / "none")]) == 0
    assert not (tmp_path / "none").exists()
    assert "Nothing" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "logs"])
def test_a_localnet_that_was_never_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(["localnet", command, "--home", str(tmp_path / "none")]) == 1
    assert "mill localnet start" in capsys.readouterr().err


def test_a_localnet_does_not_move_into_a_folder_with_other_things(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert run(["localnet", "start", "--home", str(tmp_path), "--port-offset", "21000"]) == 1
    assert "isn't empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_taken_port_is_named_before_anything_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # All ports stay below those that the kernel hands out to clients of other tests.
    with socket.create_server(("127.0.0.1", Ports.of(1, 5_950).rest)) as taken:
        port = taken.getsockname()[1]
        assert run(["localnet", "start", "--home", str(tmp_path / "net"), "--port-offset", "5950"]) == 1
    said = capsys.readouterr().err
    assert f"port {port} is taken" in said
    assert "--port-offset" in said
    assert not (tmp_path / "net").exists()


def test_no_two_nodes_of_the_largest_localnet_share_a_port() -> None:
    ports = Plan("c-1", 20, 99, 0, "auto").all_ports()
    assert len(set(ports)) == len(ports)


def test_the_ports_of_the_first_node_are_the_usual_ones() -> None:
    assert Ports.of(0) == Ports(rpc=26657, p2p=26656, grpc=9090, rest=1317, metrics=26660)
    assert Ports.of(2, 100) == Ports(rpc=26777, p2p=26776, grpc=9210, rest=1437, metrics=26780)
