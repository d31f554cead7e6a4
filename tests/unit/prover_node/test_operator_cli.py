"""`mill prover update`, `top-up`, `exit`, `unjail`, and what `status` and `duties` explain, as operators type them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from proofmill.prover.v1.tx_pb2 import MsgUpdateProver

from chain import schema
from chain.address import decode_address
from client.cli.main import run
from client.keys.keystore import KeyStore
from client.keys.private_key import PrivateKey
from prover_node.home import Home
from prover_node.incidents import Incidents
from prover_node.settings import ChainSettings, HttpSettings, ResourceSettings, Settings
from tests.support.http_node import HttpNode
from tests.support.life import deploy, make_run, make_test_genesis
from tests.support.memory_node import MemoryNode
from tests.support.network import ALICE, BOB, CHAIN_ID, MILL, Key, Network, operator_key

GIB = 1 << 30


@dataclass
class Cli:
    """Alice's prover, with Bob's key as its node key, and her shell."""

    home: Home
    keys: Path
    server: HttpNode
    capsys: pytest.CaptureFixture[str]

    @property
    def network(self) -> Network:
        return self.server.node.network

    def block(self) -> None:
        with self.server.node.lock:
            self.server.node.commit()

    def __call__(self, command: str, *arguments: str, code: int = 0) -> str:
        """What a command of nobody's key prints."""
        assert run(["prover", command, "--home", str(self.home.root), *arguments]) == code
        printed = self.capsys.readouterr()
        return printed.out if code == 0 else printed.err

    def operator(self, command: str, *arguments: str, code: int = 0) -> str:
        """What a command of the operator's key prints."""
        return self(command, *arguments, "--keys-home", str(self.keys), code=code)

    def json(self, command: str) -> Any:
        return json.loads(self(command, "-o", "json"))


def secret(key: Key) -> PrivateKey:
    return PrivateKey(hashlib.sha256(key.name.encode()).digest())


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with HttpNode(MemoryNode(Network.start(make_test_genesis(1)))) as server:
        home = Home(tmp_path / "prover")
        settings = Settings(
            chain=ChainSettings(id=CHAIN_ID, operator=ALICE.address, nodes=[server.url]),
            # Nothing listens on port 1, whatever else runs on this machine.
            http=HttpSettings(listen="127.0.0.1:1", endpoints=["http://127.0.0.1:1"]),
            resources=ResourceSettings(cpu_millis=2000, memory_bytes=4 * GIB, gpus=0),
        )
        home.create(settings, secret(BOB))
        KeyStore(tmp_path / "user" / "keys").add("alice", secret(ALICE), None)
        yield Cli(home, tmp_path / "user", server, capsys)


@pytest.fixture
def joining(cli: Cli) -> Cli:
    """Registered; its capacity test is under way."""
    cli.operator("register", "--bond", "1500mill")
    cli.block()
    return cli


@pytest.fixture
def failed(joining: Cli) -> Cli:
    """Its capacity test is over, without a proof."""
    for _ in range(60):
        joining.block()
    return joining


def test_a_claim_is_changed_component_by_component(failed: Cli) -> None:
    told = json.loads(failed.operator("update", "--cpus", "1", "--region", "eu-west", "-o", "json"))
    assert told["claim"] == {"cpu_millis": 1000, "memory_bytes": 4 * GIB, "gpus": 0}
    prover = failed.json("status")["prover"]
    assert (prover["resources"]["cpu_millis"], prover["region"]) == (1000, "eu-west")


def test_endpoints_are_replaced(joining: Cli) -> None:
    joining.operator("update", "--endpoint", "http://a.example", "--endpoint", "http://b.example")
    assert joining.json("status")["prover"]["endpoints"] == ["http://a.example", "http://b.example"]


def test_an_update_of_nothing_says_what_can_be_changed(cli: Cli) -> None:
    assert "nothing to change: give --cpu" in cli.operator("update", code=2)


def test_a_claim_that_is_being_tested_stays(joining: Cli) -> None:
    assert "a capacity test of the present claim is under way" in joining.operator("update", "--cpu", "1", code=4)


def test_the_bond_is_topped_up(joining: Cli) -> None:
    told = json.loads(joining.operator("top-up", "250mill", "-o", "json"))
    assert told["added_umill"] == 250 * MILL
    assert joining.json("status")["chain"]["bond"] == 1750 * MILL


@pytest.mark.parametrize(("amount", "sentence"), [("0mill", "more than zero"), ("5credits", "this takes umill")])
def test_a_bond_is_topped_up_in_mill_alone(cli: Cli, amount: str, sentence: str) -> None:
    assert sentence in cli.operator("top-up", amount, code=2)


def test_leaving_is_shown_with_when_the_bond_comes_back(failed: Cli) -> None:
    failed.operator("exit")
    assert failed.json("status")["chain"]["status"] == "EXITING"
    assert "its bond is returned once the cooldown after its last duty is over" in failed("status")
    assert "bond returned  2023-11-15 " in failed("status")
    assert "the prover is leaving: register it anew once its bond is returned" in failed.operator(
        "top-up", "1mill", code=4
    )


@pytest.mark.parametrize("arguments", [("update", "--cpu", "1"), ("top-up", "1mill"), ("exit",)])
def test_a_dry_run_sends_nothing(failed: Cli, arguments: tuple[str, ...]) -> None:
    before = failed.json("status")["prover"]
    assert json.loads(failed.operator(*arguments, "--dry-run", "-o", "json"))["dry_run"] is True
    assert failed.json("status")["prover"] == before


@pytest.mark.parametrize("arguments", [("update", "--cpu", "1"), ("top-up", "1mill"), ("exit",)])
def test_another_key_than_the_operators_is_refused(cli: Cli, arguments: tuple[str, ...]) -> None:
    KeyStore(cli.keys / "keys").add("bob", secret(BOB), None)
    assert "use the operator's key" in cli.operator(*arguments, "--from", "bob", code=1)


def test_a_test_is_asked_for_with_the_node_key(cli: Cli) -> None:
    assert "no prover has registered the node key" in cli("unjail", code=4)
    cli.operator("register", "--bond", "1500mill")
    assert "a capacity test is due or under way already" in cli("unjail", code=4)


def test_a_prover_that_failed_at_joining_asks_again(failed: Cli) -> None:
    told = failed("status")
    assert "FAILED at " in told
    assert "mill prover unjail" in told
    assert "the last test ended too short a time ago" in failed("unjail", code=4)
    for _ in range(600):
        failed.block()
    assert json.loads(failed("unjail", "--dry-run", "-o", "json"))["messages"][0]["node"] == BOB.address
    assert json.loads(failed("unjail", "-o", "json"))["node"] == BOB.address
    assert failed.json("status")["chain"]["test_due"] == "JOIN"
    assert "due (JOIN)" in failed("status")


def test_all_provers_are_listed_for_anybody(joining: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    node = ("--node", joining.server.url)
    assert run(["prover", "list", *node]) == 0
    table = capsys.readouterr().out
    assert operator_key(0).address in table
    assert "4 cores, 8 GiB, 0 GPUs" in table
    assert run(["prover", "list", "--status", "joining", *node, "-o", "json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["operator"], one["status"]) == (ALICE.address, "JOINING")
    assert run(["prover", "list", "--status", "happy", *node]) == 2


def test_status_explains_the_standing_and_what_went_wrong(joining: Cli) -> None:
    incidents = Incidents(joining.home.incidents)
    incidents.add("declined", "the task needs 8000 CPU millicores, 2000 are free on this node", task_id=77)
    incidents.add("abstained", "proof unavailable: 404", task_id=78, round_=2)
    told = joining("status")
    for part in (
        "joining: does the capacity test of task 1 now, and is offered nothing meanwhile",
        "2 cores, 4 GiB, 0 GPUs",
        "1500 MILL, at least 1000 MILL",
        "0; 3 jail",
        "under way, task 1",
        "doesn't answer in ",
        "8000 CPU millicores",
        "78/2",
    ):
        assert part in told, told
    data = joining.json("status")
    assert [one["task_id"] for one in data["incidents"]] == [77, 78]
    assert data["problems"] == []
    assert data["daemon"] is None


def test_status_names_what_keeps_chain_and_configuration_apart(joining: Cli) -> None:
    config = joining.home.config
    config.write_text(config.read_text().replace("cpu_millis = 2000", "cpu_millis = 500"))
    assert "raise [resources]" in joining("status")


def test_duties_show_a_capacity_test_and_its_deadline(joining: Cli) -> None:
    header, row, *_ = joining("duties").splitlines()
    assert header.split() == ["duty", "task", "round", "status", "until", "here", "note"]
    assert row.startswith("prove  1     -      ACCEPTED  2023-11-14 ")
    assert row.endswith("capacity test (JOIN)")
    assert joining.json("duties")["daemon"] == {"assignments": {}, "votes": {}}


def test_duties_show_an_offer_with_what_is_special_about_it(cli: Cli, tmp_path: Path) -> None:
    with cli.server.node.lock:
        message = make_run(ALICE, deploy(cli.network))
        message.redundancy, message.max_fee = 2, 10_000
        cli.network.send(ALICE, message)
        cli.server.node.commit()
        cli.server.node.commit()
    config = cli.home.config
    config.write_text(config.read_text().replace(ALICE.address, operator_key(0).address))
    row = cli("duties").splitlines()[1]
    assert "OFFERED" in row
    assert row.endswith("commit before reveal")


@pytest.mark.parametrize("command", ["update", "top-up", "exit", "unjail", "status", "duties"])
def test_a_home_that_is_none_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    more = {"update": ["--cpu", "1"], "top-up": ["1mill"]}.get(command, [])
    assert run(["prover", command, "--home", str(tmp_path / "none"), *more]) == 1
    assert "mill prover init" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ((), 1, "name a --program, or a chain by --node"),
        (("--program", "missing"), 2, "does not exist"),
        (("--program", "."), 1, "run `mill program build` first"),
        (("--cpu", "many"), 2, "'many' is not a number of cores"),
        (("--margin", "99"), 2, "99"),
        (("--node", "http://127.0.0.1:9"), 3, "can't be reached"),
    ],
)
def test_a_benchmark_that_cannot_be_run_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["prover", "benchmark", "--home", str(tmp_path / "none"), *arguments]) == code
    assert sentence in capsys.readouterr().err


def test_a_benchmark_of_a_chains_program_that_cannot_be_had_says_so(cli: Cli) -> None:
    config = cli.home.config
    text = config.read_text().replace("allow_private_urls = false", "allow_private_urls = true")
    config.write_text(text.replace("patience_s = 20", "patience_s = 0"))
    told = cli("benchmark", code=1)
    assert "the chain's capacity program can't be had" in told


def test_rotate_key_gives_the_prover_another_node_key(joining: Cli) -> None:
    home, old = joining.home, joining.home.node_key()
    before = {path.name: path.read_bytes() for path in home.root.iterdir() if path.is_file()}
    assert "Nothing was sent" in joining.operator("rotate-key", "--dry-run")
    assert {path.name: path.read_bytes() for path in home.root.iterdir() if path.is_file()} == before

    told = json.loads(joining.operator("rotate-key", "--fund", "2mill", "-o", "json"))
    new = home.node_key()
    assert (told["node"], told["old_node"]) == (new.address, old.address)
    assert new.address != old.address
    assert [key.address for key in home.retired_keys()] == [old.address]
    assert joining.json("status")["prover"]["node"] == new.address
    with joining.server.node.lock:
        values = joining.network.values
    held = schema.ACCOUNTS.require(values, decode_address(new.address)).umill
    assert held == 2 * MILL + told["swept_umill"]
    assert told["swept_umill"] > 0


def test_a_rotation_that_was_cut_short_is_finished_without_another(joining: Cli) -> None:
    """Killed after the transaction, before the key was put in its place."""
    new = joining.home.prepare_key()
    message = MsgUpdateProver(operator=ALICE.address, node=new.address)
    with joining.server.node.lock:
        joining.network.send(ALICE, message)
        joining.server.node.commit()
    joining.operator("rotate-key")
    assert joining.home.node_key().address == new.address
    assert joining.json("status")["problems"] == []


def test_only_the_operator_rotates(joining: Cli) -> None:
    KeyStore(joining.keys / "keys").add("bob", secret(BOB), None)
    assert "use the operator's key" in joining.operator("rotate-key", "--from", "bob", code=1)
    assert joining.home.node_key().address == BOB.address


def test_a_prover_that_is_not_registered_has_nothing_to_rotate(cli: Cli) -> None:
    assert "register it first" in cli.operator("rotate-key", code=1)
    assert not cli.home.next_key.exists()
