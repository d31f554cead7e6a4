"""What the benchmarks of programs/stark have in common: one whole run of a prover, and its verification."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from client.program.description import BuiltImage, BuiltProgram
from prover_node.runner.base import Job, Limits, Outcome, Reason, Runner
from tests.support.stark import true_statement, write_statement

_SENTENCE = re.compile(r"(\d+) rows of \d+ columns, proved in ([\d.]+) s, (\d+) bytes")


@dataclass(frozen=True)
class Run:
    """One proof: what its prover said, and what whole containers took."""

    rows: int
    prove_s: float
    """The proving alone: without the trace, the keys and the verification of its own."""
    bytes: int
    prover_wall_s: float
    prover_cpu_s: float
    peak_bytes: int
    verifier_wall_s: float


async def prove_and_verify(
    runner: Runner, built: Path, program: BuiltProgram, permutations: int, root: Path, *, cores: int, gpus: int = 0
) -> Run:
    """One run of both containers for so many permutations. Raises SystemExit if one of them fails."""
    limits = Limits(
        cpu_millis=1000 * cores, memory_bytes=64 << 30, gpus=gpus, time_limit_s=3600,
        output_bytes=8 << 20, output_inodes=10, tmp_bytes=1 << 20,
    )  # fmt: skip
    inputs, proof = root / "inputs", root / "proof"
    write_statement(inputs, true_statement(permutations))
    proof.mkdir(exist_ok=True)
    for old in proof.iterdir():
        old.unlink()

    def job(name: str, image: BuiltImage, *, output: Path | None, given: Path | None) -> Job:
        return Job(
            id=name, image=built / image.file, image_sha256=image.sha256, command=image.command, input_dir=inputs,
            assets_dir=None, proof_dir=given, output_dir=output, limits=limits,
        )  # fmt: skip

    proved = _succeeded(await runner.run(job("prover", program.prover, output=proof, given=None)))
    verified = _succeeded(await runner.run(job("verifier", program.verifier, output=None, given=proof)))
    said = _SENTENCE.search(proved.stdout.decode())
    if said is None:
        raise SystemExit(f"the prover says something unknown: {proved.stdout.decode()}")
    return Run(
        rows=int(said[1]),
        prove_s=float(said[2]),
        bytes=int(said[3]),
        prover_wall_s=proved.wall_ms / 1000,
        prover_cpu_s=proved.cpu_ms / 1000,
        peak_bytes=proved.peak_memory_bytes,
        verifier_wall_s=verified.wall_ms / 1000,
    )


def _succeeded(outcome: Outcome) -> Outcome:
    if (outcome.reason, outcome.exit_code) != (Reason.EXITED, 0):
        raise SystemExit(f"a container failed: {outcome.detail} {outcome.stderr.decode(errors='replace')}")
    return outcome
