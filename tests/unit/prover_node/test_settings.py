"""The configuration, read strictly, and the home that it lies in."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from proofmill.prover.v1.state_pb2 import Prover
from proofmill.types.v1 import types_pb2

from client.errors import InvalidInput
from client.keys.private_key import PrivateKey
from prover_node.home import Home, HomeInUse
from prover_node.registration import registration_problems
from prover_node.settings import (
    ChainSettings,
    HttpSettings,
    ResourceSettings,
    Settings,
    SettingsError,
    dump_settings,
    load_settings,
)

OPERATOR = PrivateKey(b"\1" * 32).address


def some_settings() -> Settings:
    return Settings(
        chain=ChainSettings(id='a "quoted" chain – näher', operator=OPERATOR, nodes=["http://127.0.0.1:26657"]),
        http=HttpSettings(listen="127.0.0.1:8700", endpoints=["http://127.0.0.1:8700"]),
        resources=ResourceSettings(cpu_millis=4000, memory_bytes=1 << 32, gpus=0),
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(dump_settings(some_settings()))
    assert load_settings(path) == some_settings()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ((r"^gpus = 0", 'gpus = "0"'), "resources.gpus must be a whole number"),
        ((r"^gpus = 0", "gpus = true"), "resources.gpus must be a whole number"),
        ((r"^gpus = 0", "gpus = -1"), "resources.gpus must be at least 0, not -1"),
        ((r"^gpus = 0", "gpu = 0"), "there is no setting resources.gpu"),
        ((r"^gpus = 0\n", ""), "the setting resources.gpus is missing"),
        ((r"^nodes = .*", "nodes = []"), "chain.nodes is empty"),
        ((r"^nodes = .*", 'nodes = ["ftp://x"]'), "'ftp://x' is not a URL"),
        ((r"^nodes = .*", "nodes = [1]"), "chain.nodes must be a list of texts"),
        ((r"^listen = .*", 'listen = "8700"'), "http.listen must be host:port"),
        ((r"^listen = .*", 'listen = "host:99999"'), "http.listen must be host:port"),
        ((r"^kind = .*", 'kind = "podman"'), "runner.kind must be one of auto, docker, sandbox"),
        ((r"^operator = .*", 'operator = "cosmos1x"'), "chain.operator: "),
        ((r"^\[log\]", "[logs]"), "there is no setting logs"),
        ((r"^drain_s = 30", "runner = 3\ndrain_s = 30"), "can't be read"),
        ((r"^drain_s = 30", "drain_s = "), "can't be read"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: tuple[str, str], sentence: str) -> None:
    path = tmp_path / "config.toml"
    text, count = re.subn(change[0], change[1], dump_settings(some_settings()), count=1, flags=re.MULTILINE)
    assert count == 1
    path.write_text(text)
    with pytest.raises(SettingsError, match=re.escape(sentence)) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)


def test_a_missing_configuration_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="make a prover's home with mill prover init"):
        Home(tmp_path).settings()


def test_a_home_keeps_its_key_to_itself_and_is_never_overwritten(tmp_path: Path) -> None:
    home, key = Home(tmp_path / "home"), PrivateKey.generate()
    home.create(some_settings(), key)
    assert stat.S_IMODE(home.key.stat().st_mode) == 0o600
    assert home.node_key().secret == key.secret
    assert home.settings() == some_settings()
    with pytest.raises(InvalidInput, match="exists already"):
        home.create(some_settings(), PrivateKey.generate())
    assert home.node_key().secret == key.secret


def test_a_home_serves_one_process(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.lock(), pytest.raises(HomeInUse, match=r"in use by process \d+: stop that prover first"):
        home.lock()
    home.lock().close()


def registered(**changes: object) -> Prover:
    prover = Prover(
        operator=OPERATOR,
        node="mill1node",
        resources=types_pb2.Resources(cpu_millis=4000, memory_bytes=1 << 32),
        endpoints=["http://127.0.0.1:8700"],
    )
    for name, value in changes.items():
        setattr(prover, name, value)
    return prover


def test_a_fitting_registration_has_no_problems() -> None:
    assert registration_problems(registered(), some_settings(), "mill1node") == []


def test_what_does_not_fit_the_registration_is_said() -> None:
    (problem,) = registration_problems(None, some_settings(), "mill1node")
    assert "run mill prover register" in problem
    (problem,) = registration_problems(registered(node="mill1other"), some_settings(), "mill1node")
    assert "expects the node key mill1other" in problem
    larger = registered()
    larger.resources.gpus = 1
    del larger.endpoints[:]
    assert [problem.split(":")[0][:40] for problem in registration_problems(larger, some_settings(), "mill1node")] == [
        "the chain may assign more than the confi",
        "none of http.endpoints is registered on ",
    ]
