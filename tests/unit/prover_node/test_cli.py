"""`mill prover` and `mill local-run` as users type them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.cli.main import run
from client.keys.keystore import KeyStore
from client.keys.private_key import PrivateKey
from prover_node.home import Home
from tests.support.http_node import HttpNode
from tests.support.life import deploy, make_run
from tests.support.memory_node import MemoryNode
from tests.support.network import ALICE, CHAIN_ID, Network, make_genesis, operator_key


@pytest.fixture
def network() -> Network:
    return Network.start(make_genesis(1))


@pytest.fixture
def server(network: Network) -> Iterator[HttpNode]:
    with HttpNode(MemoryNode(network)) as running:
        yield running


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A user's home with Alice's key."""
    secret = hashlib.sha256(ALICE.name.encode()).digest()
    KeyStore(tmp_path / "user" / "keys").add("alice", PrivateKey(secret), None)
    return tmp_path / "user"


def init(home: Path, url: str, *more: str, operator: str = ALICE.address) -> int:
    # Nothing listens on port 1, whatever else runs on this machine.
    where = (
        "--home",
        str(home),
        "--chain-id",
        CHAIN_ID,
        "--operator",
        operator,
        "--node",
        url,
        "--listen",
        "127.0.0.1:1",
    )
    return run(["prover", "init", *where, *more])


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_init_makes_a_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--cpu", "2500m", "--memory", "4GiB", "--listen", "127.0.0.1:9999", "-o", "json")
    apart = ("--metrics-listen", "10.0.0.1:8701")
    assert init(tmp_path / "p", "http://127.0.0.1:1", *more, *apart) == 0
    told = printed(capsys)
    home = Home(tmp_path / "p")
    assert told["node"] == home.node_key().address
    assert told["endpoints"] == ["http://127.0.0.1:9999"]
    assert told["resources"] == {"cpu_millis": 2500, "memory_bytes": 4 << 30, "gpus": 0}
    assert home.settings().chain.nodes == ["http://127.0.0.1:1"]
    assert home.settings().metrics_address() == ("10.0.0.1", 8701)


def test_init_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path, "http://127.0.0.1:1") == 0
    key = Home(tmp_path).node_key().secret
    assert init(tmp_path, "http://127.0.0.1:1") == 1
    assert "exists already" in capsys.readouterr().err
    assert Home(tmp_path).node_key().secret == key


@pytest.mark.parametrize(
    ("more", "code", "sentence"),
    [
        (("--cpu", "many"), 2, "'many' is not a number of cores"),
        (("--memory", "0"), 2, "'0' must be more than zero"),
        (("--gpus", "-1"), 2, "-1"),
        (("--listen", "nowhere"), 1, "http.listen must be host:port"),
        (("--metrics-listen", "nowhere"), 1, "http.metrics_listen must be host:port"),
        (("--endpoint", "prover.example.org"), 1, "'prover.example.org' is not a URL"),
        (("--runner", "podman"), 2, "podman"),
    ],
)
def test_init_refuses_what_cannot_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], code: int, sentence: str
) -> None:
    assert init(tmp_path / "p", "http://127.0.0.1:1", *more) == code
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_a_wrong_operator_address_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path / "p", "http://127.0.0.1:1", operator="mill1nonsense") == 1
    assert "mill1nonsense" in capsys.readouterr().err


def test_register_puts_the_prover_on_the_chain(
    tmp_path: Path, server: HttpNode, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "p"
    assert init(home, server.url, "--cpu", "2", "--memory", "4GiB") == 0
    capsys.readouterr()
    command = ["prover", "register", "--home", str(home), "--bond", "1500mill", "--keys-home", str(keys), "-o", "json"]
    assert run([*command, "--dry-run"]) == 0
    assert printed(capsys)["dry_run"] is True
    assert run(command) == 0
    assert printed(capsys)["operator"] == ALICE.address
    assert run(["prover", "status", "--home", str(home), "-o", "json"]) == 0
    told = printed(capsys)
    assert told["chain"]["status"] == "JOINING"
    assert told["daemon"] is None
    assert run(command) == 4
    assert "already" in capsys.readouterr().err


def test_register_refuses_another_key_and_a_small_bond(
    tmp_path: Path, server: HttpNode, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    KeyStore(keys / "keys").add("bob", PrivateKey(b"\7" * 32), None)
    home = tmp_path / "p"
    assert init(home, server.url, "--cpu", "2", "--memory", "4GiB") == 0
    command = ["prover", "register", "--home", str(home), "--keys-home", str(keys)]
    assert run([*command, "--bond", "1500mill", "--from", "bob"]) == 1
    assert "use the operator's key" in capsys.readouterr().err
    assert run([*command, "--bond", "1mill"]) == 4
    assert "bond" in capsys.readouterr().err
    assert run([*command, "--bond", "5credits"]) == 2


def test_duties_lists_what_is_owed(
    tmp_path: Path, server: HttpNode, network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "p"
    assert init(home, server.url, operator=operator_key(0).address) == 0
    capsys.readouterr()
    assert run(["prover", "duties", "--home", str(home)]) == 0
    assert "nothing is owed" in capsys.readouterr().out
    with server.node.lock:
        program_id = deploy(network)
        network.send(ALICE, make_run(ALICE, program_id))
        server.node.commit()
        server.node.commit()
    assert run(["prover", "duties", "--home", str(home)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["prove", "1", "-", "OFFERED", "height", "6", "-"]
    assert run(["prover", "duties", "--home", str(home), "-o", "json"]) == 0
    assert printed(capsys)["assignments"][0]["task"]["id"] == 1


@pytest.mark.parametrize("command", ["start", "status", "duties"])
def test_a_home_that_is_none_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(["prover", command, "--home", str(tmp_path / "none")]) == 1
    assert "mill prover init" in capsys.readouterr().err


def test_an_unreachable_chain_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path, "http://127.0.0.1:9") == 0
    capsys.readouterr()
    assert run(["prover", "duties", "--home", str(tmp_path)]) == 3
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "can't be reached" in err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("missing",), 2, "missing"),
        ((".",), 1, "run `mill program build` first"),
        ((".", "--verify-only"), 2, "--verify-only and --proof go together"),
        ((".", "--proof", "."), 2, "--verify-only and --proof go together"),
        ((".", "--verify-only", "--proof", ".", "--output", "x"), 2, "--verify-only makes none"),
        ((".", "--output", "."), 1, "not an empty folder"),
        ((".", "--time-limit", "soon"), 2, "'soon' is not a duration"),
    ],
)
def test_local_run_refuses_what_cannot_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert run(["local-run", *arguments]) == code
    assert sentence in capsys.readouterr().err
