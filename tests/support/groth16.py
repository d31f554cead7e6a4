"""The reference program, built once and taken from the builder's cache afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from client.program.build import build
from client.program.description import BuiltProgram

SOURCES = Path(__file__).resolve().parents[2] / "programs" / "groth16"


@dataclass(frozen=True)
class Groth16:
    """The built program: where its archives lie, and how to make inputs for it."""

    directory: Path
    program: BuiltProgram

    @property
    def rounds(self) -> int:
        return int(self.program.parameters["rounds"])

    def make_inputs(self, directory: Path, *, seed: str = "test", rounds: int | None = None) -> Path:
        """Write public.json and witness.json into `directory` with the script that users have."""
        script = str(SOURCES / "make_inputs.py")
        size = str(rounds or self.rounds)
        subprocess.run(
            [sys.executable, script, "--out", str(directory), "--rounds", size, "--seed", seed],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return directory


def build_groth16(directory: Path, *, rounds: int = 50, manifest: str = "program.yaml") -> Groth16:
    """Build the program for `rounds` rounds into `directory`; about 30 s the first time on a machine, then 20 ms.

    `manifest`: plonk.yaml for the same statement in PLONK.
    """
    return Groth16(directory, build(SOURCES / manifest, directory, {"rounds": str(rounds)}).program)


def read_public(directory: Path) -> dict[str, object]:
    """The statement in `directory`/public.json."""
    public: dict[str, object] = json.loads((directory / "public.json").read_text(encoding="utf-8"))
    return public


def write_public(directory: Path, rounds: object, image: object) -> None:
    """Write a statement, which may be false or malformed, into `directory`/public.json."""
    (directory / "public.json").write_text(json.dumps({"rounds": rounds, "image": image}), encoding="utf-8")
