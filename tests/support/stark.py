"""The Keccak chain's program, built once and taken from the builder's cache afterwards."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from client.program.build import build
from client.program.description import BuiltProgram

SOURCES = Path(__file__).resolve().parents[2] / "programs" / "stark"


def _load_make_inputs() -> ModuleType:
    specification = importlib.util.spec_from_file_location("stark_make_inputs", SOURCES / "make_inputs.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


make_inputs = _load_make_inputs()
"""The script that users have: Keccak-f in plain Python, which shares nothing with the program."""


@dataclass(frozen=True)
class Stark:
    """The built program: where its archives lie."""

    directory: Path
    program: BuiltProgram


def build_stark(directory: Path) -> Stark:
    """Build the program with its CPU prover into `directory`; two minutes the first time on a machine, then 20 ms."""
    return Stark(directory, build(SOURCES / "program.yaml", directory).program)


def build_stark_cuda(directory: Path, archs: str = "80") -> Stark:
    """Build the program with its CUDA prover; four minutes the first time on a machine, then 50 ms.

    `archs` as in cuda.yaml: one generation of GPUs compiles faster than the two that it has by default.
    """
    return Stark(directory, build(SOURCES / "cuda.yaml", directory, {"archs": archs}).program)


def true_statement(permutations: int, seed: bytes = b"test") -> dict[str, object]:
    """The content of a public.json whose end is what so many permutations of a start from `seed` lead to."""
    state: dict[str, object] = make_inputs.statement(seed.ljust(make_inputs.STATE_BYTES, b"."), permutations)
    return state


def write_statement(directory: Path, statement: object) -> Path:
    """Write a statement, which may be false or malformed, into `directory`/public.json; the path of that."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "public.json"
    path.write_text(json.dumps(statement), encoding="utf-8")
    return path
