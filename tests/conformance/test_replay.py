"""The same blocks give the same bytes whatever process, environment, protobuf backend or Python replays them."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pytest

from chain.genesis import export_genesis, genesis_json
from chain.signatures import SignatureCache
from chain.transition import apply_block, init_chain
from tests.support.network import Network
from tests.support.pythons import NoPythonError, prepared_python
from tests.support.random_life import Life
from tests.support.replay import line, record, replay

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = 60
ENVIRONMENTS = {
    "hash seed 0": {"PYTHONHASHSEED": "0"},
    "hash seed 12345": {"PYTHONHASHSEED": "12345"},
    "Kiritimati": {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "1"},
    "C locale": {"LC_ALL": "C", "PYTHONUTF8": "0"},
    "Turkish": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "LANGUAGE": "tr"},
    "protobuf in Python": {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python", "PYTHONHASHSEED": "2"},
    "protobuf in C": {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "upb"},
    "optimised": {"PYTHONOPTIMIZE": "2"},
    "developer mode": {"PYTHONDEVMODE": "1"},
}
OTHER_PYTHONS = [f"3.{minor}" for minor in range(11, 16) if minor != sys.version_info.minor]


@pytest.fixture(scope="module")
def life() -> Life:
    life = Life(seed=7)
    while len(life.network.blocks) < BLOCKS:
        life.step()
    return life


@pytest.fixture(scope="module")
def record_path(life: Life, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "blocks.json"
    path.write_text(json.dumps(record(genesis_json(life.genesis), life.network.blocks)))
    return path


@pytest.fixture(scope="module")
def expected(record_path: Path) -> list[str]:
    return list(replay(json.loads(record_path.read_text())))


def replay_with(python: str, record_path: Path, environment: dict[str, str]) -> list[str]:
    """The lines that a process of its own prints."""
    keep = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'gen'}"}
    done = subprocess.run(
        [python, "-m", "tests.support.replay", str(record_path)],
        cwd=ROOT,
        env=keep | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout.splitlines()


def assert_same(lines: list[str], expected: list[str]) -> None:
    for height, (found, wanted) in enumerate(zip(lines, expected, strict=True)):
        if found != wanted:
            mine, theirs = json.loads(found), json.loads(wanted)
            different = [name for name in theirs if mine[name] != theirs[name]]
            pytest.fail(f"block {height} differs in {different}: {found[:500]} instead of {wanted[:500]}")


def test_blocks_have_something_to_disagree_about(life: Life, expected: list[str]) -> None:
    codes = {result[0] for text in expected for result in json.loads(text)["results"]}
    assert len(codes) > 5
    assert [json.loads(text)["app_hash"] for text in expected[1:]] == [root.hex() for root in life.network.app_hashes]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_replay_in_another_environment(name: str, record_path: Path, expected: list[str]) -> None:
    assert_same(replay_with(sys.executable, record_path, ENVIRONMENTS[name]), expected)


@pytest.mark.parametrize("version", OTHER_PYTHONS)
def test_replay_under_another_python(version: str, record_path: Path, expected: list[str]) -> None:
    try:
        python = prepared_python(version)
    except NoPythonError as error:
        pytest.skip(str(error))
    assert_same(replay_with(str(python), record_path, {}), expected)


def test_replay_without_any_cached_signature(life: Life, expected: list[str]) -> None:
    """A node that catches up has seen none of the transactions before; each block gets an empty cache."""
    network = Network.start(life.genesis)
    for block, wanted in zip(life.network.blocks, expected[1:], strict=True):
        result = apply_block(network.values, network.nodes, block, SignatureCache(max_entries=1))
        assert line(result) == wanted
        network.commit(result)


def test_a_block_applied_again_gives_the_same(life: Life, expected: list[str]) -> None:
    """CometBFT may ask for a height twice: nothing that is kept between calls may matter."""
    network = Network.start(life.genesis)
    for block, wanted in zip(life.network.blocks[:20], expected[1:], strict=False):
        for _ in range(2):
            result = apply_block(network.values, network.nodes, block, life.network.signatures)
            assert line(result) == wanted
        network.commit(result)


def refuse(*_args: object, **_kwargs: object) -> NoReturn:
    raise AssertionError("the state machine looked at the world")


def test_replay_where_the_world_cannot_be_seen(
    life: Life, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network.start(life.genesis)
    for block, wanted in zip(life.network.blocks, expected[1:], strict=True):
        with monkeypatch.context() as patch:
            for name in ("time", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime", "sleep"):
                patch.setattr(time, name, refuse)
            for name in ("urandom", "getenv", "getpid", "open", "listdir", "stat"):
                patch.setattr(os, name, refuse)
            for name in ("random", "randrange", "randint", "shuffle", "choice", "getrandbits"):
                patch.setattr(random, name, refuse)
            patch.setattr(socket, "socket", refuse)
            patch.setattr("builtins.open", refuse)
            result = apply_block(network.values, network.nodes, block, SignatureCache())
        assert line(result) == wanted
        network.commit(result)


@pytest.mark.parametrize("height", [1, BLOCKS // 3, BLOCKS - 5])
def test_exported_and_imported_it_goes_on_the_same(life: Life, expected: list[str], height: int) -> None:
    network = Network.start(life.genesis)
    for block in life.network.blocks[:height]:
        network.commit(apply_block(network.values, network.nodes, block, SignatureCache()))
    exported = genesis_json(export_genesis(network.values)).encode()
    assert init_chain(exported).app_hash.hex() == json.loads(expected[height])["app_hash"]
    imported = Network.start_from(exported)
    for block, wanted in zip(life.network.blocks[height:], expected[height + 1 :], strict=True):
        result = apply_block(imported.values, imported.nodes, block, SignatureCache())
        assert line(result) == wanted
        imported.commit(result)
