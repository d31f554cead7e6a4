"""The program for proofs of proofs: built once, and its two containers on a runner, one call each."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from client.bundle import BundleLimits, pack
from client.program.build import build
from client.program.description import BuiltProgram
from prover_node.runner.base import Job, Limits, Outcome, Reason, Runner

SOURCES = Path(__file__).resolve().parents[2] / "programs" / "aggregate"
PROOF_LIMITS = BundleLimits(1 << 20, 10)
_CHILDLESS: Mapping[str, bytes] = MappingProxyType({})

Statement = dict[str, Any]


@dataclass(frozen=True)
class Aggregate:
    """The built program: where its archives lie."""

    directory: Path
    program: BuiltProgram


def build_aggregate(directory: Path) -> Aggregate:
    """Build the program into `directory`; a minute the first time on a machine, then 20 ms."""
    return Aggregate(directory, build(SOURCES, directory).program)


def make_statements(directory: Path, *steps: int, seed: str = "test") -> dict[str, Statement]:
    """What users' script writes for leaves of so many steps, by folder name: leaf-1, node-1-2, root, …"""
    script = [sys.executable, str(SOURCES / "make_inputs.py")]
    options = ["--out", str(directory), "--steps", ",".join(map(str, steps)), "--seed", seed]
    subprocess.run([*script, *options], check=True, stdout=subprocess.DEVNULL)
    return {path.parent.name: json.loads(path.read_text()) for path in directory.glob("*/public.json")}


class Bench:
    """Runs the program's two containers on one runner, with directories as the contract wants them."""

    def __init__(self, runner: Runner, aggregate: Aggregate, root: Path) -> None:
        # The contract's user inside the container is none of ours.
        root.chmod(0o755)
        self._runner = runner
        self._aggregate = aggregate
        self._root = root
        self._jobs = 0

    async def prove(
        self, statement: object, children: Mapping[str, bytes] = _CHILDLESS, *, cpu_millis: int = 1000
    ) -> tuple[Outcome, Path]:
        """How the prover ended with `children` as left.bin, …, and what it left in its output directory."""
        output = self._folder("output")
        files = {f"{name}.bin": content for name, content in children.items()}
        return await self._run("prover", statement, files, cpu_millis, output=output, proof=None), output

    async def verify(self, statement: object, proof: Path | bytes) -> Outcome:
        """How the verifier ended on a directory, or on a proof.bin of these bytes."""
        if isinstance(proof, bytes):
            content, proof = proof, self._folder("proof")
            (proof / "proof.bin").write_bytes(content)
        return await self._run("verifier", statement, {}, 500, output=None, proof=proof)

    async def _run(
        self,
        role: str,
        statement: object,
        files: Mapping[str, bytes],
        cpu_millis: int,
        output: Path | None,
        proof: Path | None,
    ) -> Outcome:
        mounted = self._folder("input")
        if statement is not None:
            content = statement if isinstance(statement, bytes) else json.dumps(statement).encode()
            (mounted / "public.json").write_bytes(content)
        for name, data in files.items():
            (mounted / name).write_bytes(data)
        program = self._aggregate.program
        image = program.prover if role == "prover" else program.verifier
        return await self._runner.run(
            Job(
                id=mounted.name.replace("input", role),
                image=self._aggregate.directory / image.file,
                image_sha256=image.sha256,
                command=image.command,
                input_dir=mounted,
                assets_dir=None,
                proof_dir=proof,
                output_dir=output,
                limits=Limits(
                    cpu_millis=cpu_millis,
                    memory_bytes=1 << 30 if role == "prover" else 128 << 20,
                    gpus=0,
                    time_limit_s=120,
                    output_bytes=1 << 20,
                    output_inodes=100,
                    tmp_bytes=1 << 20,
                ),
            )
        )

    def _folder(self, kind: str) -> Path:
        self._jobs += 1
        folder = self._root / f"{kind}-{self._jobs}"
        folder.mkdir()
        return folder


class Tree:
    """Proofs over one chain of four leaves: two pairs, the pair of the pairs, a pair with a third leaf, and a root."""

    STEPS = (1, 20, 30, 4096)

    def __init__(self, statements: Mapping[str, Statement]) -> None:
        self.statements = statements
        self.proofs: dict[str, bytes] = {}

    async def prove(self, bench: Bench, root: Path) -> None:
        """Make all proofs. Each takes a core for some seconds, so those that don't need each other go together."""
        await asyncio.gather(*(self._prove(bench, f"leaf-{number}") for number in (1, 2, 3, 4)))
        await asyncio.gather(
            self._prove(bench, "node-1-2", left=self.proofs["leaf-1"], right=self.proofs["leaf-2"]),
            self._prove(bench, "node-3-4", left=self.proofs["leaf-3"], right=self.proofs["leaf-4"]),
        )
        await asyncio.gather(
            self._prove(bench, "node-1-4", left=self.proofs["node-1-2"], right=self.proofs["node-3-4"]),
            # A child may be the bundle that a network keeps of a proof.
            self._prove(bench, "node-1-3", left=bundle_of(self.proofs["node-1-2"], root), right=self.proofs["leaf-3"]),
        )
        await self._prove(bench, "root", child=self.proofs["node-1-4"])

    async def _prove(self, bench: Bench, name: str, **children: bytes) -> None:
        outcome, output = await bench.prove(self.statements[name], children)
        assert_exited(outcome, 0, "proved in")
        assert [path.name for path in output.iterdir()] == ["proof.bin"]
        self.proofs[name] = (output / "proof.bin").read_bytes()


def bundle_of(proof: bytes, folder: Path) -> bytes:
    """The bundle of an output folder that holds nothing but this proof.bin."""
    (folder / "bundled").mkdir()
    (folder / "bundled" / "proof.bin").write_bytes(proof)
    pack(folder / "bundled", folder / "bundle.tar", PROOF_LIMITS)
    return (folder / "bundle.tar").read_bytes()


def assert_exited(outcome: Outcome, code: int, message: str) -> None:
    """The container ended by itself with `code` and said `message` in one sentence."""
    said = (outcome.stdout + outcome.stderr).decode()
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, code), outcome
    assert message in said
    assert said.count("\n") == 1, said
