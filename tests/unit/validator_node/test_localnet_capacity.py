"""A localnet with capacity tests has their program in its genesis, published on its own blob server."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from proofmill.genesis.v1.genesis_pb2 import Genesis

from chain import schema
from chain.genesis import apply_genesis, parse_genesis
from chain.state.kv import MemoryKV
from client.cli.main import run
from client.program.description import BuiltImage, BuiltProgram
from client.program.manifest import Resources
from tests.support.network import ALICE
from validator_node.genesis_file import NewNetwork, load_preset, make_genesis
from validator_node.localnet.capacity import capacity_id, capacity_spec, publish
from validator_node.localnet.cli import describe
from validator_node.localnet.layout import Layout, Plan

if TYPE_CHECKING:
    from pathlib import Path

PLAN = Plan("mill-local", 1, 1, 0, "auto")


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """What `mill program build` leaves, in small."""
    folder = tmp_path / "built"
    folder.mkdir()

    def image(name: str) -> BuiltImage:
        (folder / name).write_bytes(name.encode())
        return BuiltImage(name, hashlib.sha256(name.encode()).hexdigest(), len(name), "00", ("/run",))

    BuiltProgram(
        name="capacity", version="1.0", description="", architecture="amd64", parameters={},
        prover=image("prover.tar"), verifier=image("verifier.tar"),
        default_resources=Resources(1000, 1 << 28, 0), max_resources=Resources(64_000, 1 << 40, 0),
        verifier_resources=Resources(1000, 1 << 28, 0), verifier_time_limit_s=10, assets=(),
    ).write(folder)  # fmt: skip
    return folder


def test_the_program_is_in_the_genesis_and_on_the_blob_server(built: Path, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "net")
    layout.blobs.mkdir(parents=True)
    spec = capacity_spec(built, PLAN)
    network = NewNetwork(
        "c-1", ALICE.address, [], programs=[spec], capacity_program=bytes.fromhex(capacity_id(spec))
    )  # fmt: skip
    document = make_genesis(load_preset("devnet"), network)
    kv = MemoryKV()
    apply_genesis(kv, parse_genesis(json.dumps(document["app_state"]).encode()))
    params = schema.PARAMS.require(kv)
    program = schema.PROGRAMS.require(kv, params.capacity_program)
    assert (program.spec, program.deployer) == (spec, ALICE.address)
    publish(built, layout)
    for image in (spec.prover, spec.verifier):
        assert list(image.urls) == [f"{PLAN.blob_url}/blobs/{image.sha256.hex()}"]
        assert hashlib.sha256((layout.blobs / image.sha256.hex()).read_bytes()).digest() == image.sha256


def test_without_it_the_genesis_names_none() -> None:
    state = make_genesis(load_preset("devnet"), NewNetwork("c-1", ALICE.address, []))["app_state"]
    genesis: Genesis = parse_genesis(json.dumps(state).encode())
    assert not genesis.programs
    assert not genesis.params.capacity_program


def test_a_network_says_whether_it_tests(tmp_path: Path) -> None:
    assert "No capacity tests" in describe(Layout(tmp_path), PLAN)
    assert f"by program {'ab' * 8}." in describe(Layout(tmp_path), replace(PLAN, capacity_program="ab" * 32))


def test_a_plan_from_before_there_were_tests_is_read(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.plan_file.write_text(
        '{"chain_id": "c", "validators": 1, "provers": 2, "port_offset": 0, "runner": "auto"}'
    )  # fmt: skip
    assert layout.load_plan() == Plan("c", 1, 2, 0, "auto")


def test_a_network_doesnt_change_its_tests(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(tmp_path / "net")
    layout.root.mkdir()
    layout.save_plan(PLAN)
    assert run(["localnet", "start", "--home", str(layout.root), "--capacity", str(built)]) == 1
    assert "was made with no capacity tests, and a genesis doesn't change" in capsys.readouterr().err


def test_a_folder_without_a_built_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = str(tmp_path / "net")
    assert run(["localnet", "start", "--home", home, "--capacity", str(tmp_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert run(["localnet", "start", "--home", home, "--capacity", str(tmp_path)]) == 1
    assert "run `mill program build` first" in capsys.readouterr().err
    assert not (tmp_path / "net").exists()


def test_nobody_joins_a_network_that_isnt_there_or_is_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(tmp_path / "net")
    assert run(["localnet", "add-prover", "--home", str(layout.root)]) == 1
    assert "mill localnet start" in capsys.readouterr().err
    layout.root.mkdir()
    layout.save_plan(PLAN)
    assert run(["localnet", "add-prover", "--home", str(layout.root)]) == 1
    assert "the network isn't running" in capsys.readouterr().err
    assert run(["localnet", "add-prover", "--home", str(layout.root), "--cpu", "many"]) == 2
    assert "is not a number of cores" in capsys.readouterr().err
    layout.save_plan(replace(PLAN, provers=99))
    assert run(["localnet", "add-prover", "--home", str(layout.root)]) == 1
    assert "at most 99 provers" in capsys.readouterr().err
