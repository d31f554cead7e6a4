"""The reference program's files that people touch: its manifest, its example, and the script that makes inputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from client.program.manifest import load_manifest

PROGRAM = Path(__file__).resolve().parents[3] / "programs" / "groth16"


def make_inputs(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM / "make_inputs.py"), *arguments], capture_output=True, text=True, check=False
    )


def test_the_example_is_what_the_script_makes(tmp_path: Path) -> None:
    assert make_inputs("--out", str(tmp_path), "--seed", "example").returncode == 0

    for name in ("public.json", "witness.json"):
        assert (tmp_path / name).read_bytes() == (PROGRAM / "example" / name).read_bytes()


def test_the_example_fits_the_default_size() -> None:
    public = json.loads((PROGRAM / "example" / "public.json").read_text())

    assert str(public["rounds"]) == load_manifest(PROGRAM).parameters["rounds"]


def test_without_a_seed_the_secret_is_fresh(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_inputs("--out", str(tmp_path / name), "--rounds", "1")

    assert (tmp_path / "a" / "witness.json").read_bytes() != (tmp_path / "b" / "witness.json").read_bytes()


def test_fewer_than_one_round_is_refused(tmp_path: Path) -> None:
    done = make_inputs("--out", str(tmp_path), "--rounds", "0")

    assert done.returncode == 2
    assert "--rounds must be at least 1, not 0" in done.stderr


@pytest.mark.parametrize(("rounds", "version"), [("50", "0.1.0-r50"), ("2000", "0.1.0-r2000")])
def test_the_size_is_part_of_the_version(rounds: str, version: str) -> None:
    assert load_manifest(PROGRAM, {"rounds": rounds}).version == version
