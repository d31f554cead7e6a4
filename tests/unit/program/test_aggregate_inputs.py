"""The script that makes statements for proofs of proofs, and the example that it made."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).resolve().parents[3] / "programs" / "aggregate"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("aggregate_make_inputs", PROGRAM / "make_inputs.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def run_script(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["make_inputs.py", *arguments])
        script.main()

    return run


def test_the_permutation_is_plonky2s(script: ModuleType) -> None:
    # Test vectors in plonky2's hash/poseidon_goldilocks.rs.
    assert script.permute([0] * 12)[:4] == [
        *(0x3C18A9786CB0B359, 0xC4055E3364A246C3, 0x7953DB0AB48808F4, 0xC71603F33A1144CA),
    ]
    assert script.permute(list(range(12))) == [
        *(0xD64E1E3EFC5B8E9E, 0x53666633020AAA47, 0xD40285597C6A8825, 0x613A4F81E81231D2),
        *(0x414754BFEBD051F0, 0xCB1F8980294A023F, 0x6EB2A9E4D54A9D0F, 0x1902BC3AF467E056),
        *(0xF045D5EAFDC6021F, 0xE4150F77CAAA3BE5, 0xC9BFD01D39B50CCE, 0x5C0A27FCB0E1459B),
    ]


def test_the_example_is_what_the_script_makes(run_script: Callable[..., None], tmp_path: Path) -> None:
    run_script("--out", str(tmp_path), "--steps", "500,500", "--seed", "example")

    for name in ("leaf-1", "leaf-2", "node-1-2", "root"):
        made = tmp_path / name / "public.json"
        assert made.read_bytes() == (PROGRAM / "example" / name / "public.json").read_bytes()


def test_statements_join_and_add_up(run_script: Callable[..., None], tmp_path: Path) -> None:
    run_script("--out", str(tmp_path), "--steps", "3,1,2")

    said = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/public.json")}
    assert sorted(said) == ["leaf-1", "leaf-2", "leaf-3", "node-1-2", "node-1-3", "node-2-3", "root"]
    assert [said[name]["steps"] for name in ("leaf-1", "node-1-2", "node-1-3", "root")] == [3, 4, 6, 6]
    assert said["leaf-2"]["start"] == said["leaf-1"]["end"]
    assert said["node-2-3"]["start"] == said["leaf-2"]["start"]
    assert said["node-1-3"]["end"] == said["root"]["end"] == said["leaf-3"]["end"]
    assert [said[name]["stage"] for name in ("leaf-1", "node-1-3", "root")] == ["leaf", "node", "root"]


def test_without_a_seed_the_start_is_fresh(run_script: Callable[..., None], tmp_path: Path) -> None:
    for name in ("a", "b"):
        run_script("--out", str(tmp_path / name), "--steps", "1")

    first, second = (json.loads((tmp_path / name / "root" / "public.json").read_text()) for name in ("a", "b"))
    assert first["start"] != second["start"]


@pytest.mark.parametrize("steps", ["0", "4097", "1,,2", "-1", "x", ""])
def test_impossible_leaves_are_refused(
    run_script: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path, steps: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_script("--out", str(tmp_path), f"--steps={steps}")
    assert "--steps must be numbers from 1 to 4096" in capsys.readouterr().err


def test_too_many_leaves_are_refused(
    run_script: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_script("--out", str(tmp_path), "--steps", ",".join(["1"] * 33))
    assert "--steps names 33 leaves" in capsys.readouterr().err
