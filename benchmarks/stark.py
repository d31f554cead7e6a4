"""`python -m benchmarks.stark [sizes|plonky3]`: programs/stark by size, and beside Plonky3's own prover.

Plonky3 is built from `benchmarks/stark_plonky3` with the same compiler options, into `tmp/`.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import print_machine, print_table, say
from benchmarks.stark_runs import Run, prove_and_verify
from client.program.rust_toolchain import rust_environment
from prover_node.runner.sandbox import SandboxRunner
from tests.support.stark import Stark, build_stark

ROOT = Path(__file__).resolve().parents[1]
CRATE = ROOT / "benchmarks" / "stark_plonky3"
# The last that fill 2^5, 2^8, 2^10, …, 2^16 rows.
SIZES = (1, 10, 42, 170, 682, 2730)
COMPARED = (42, 170, 682)
REPEATS = 3


@dataclass(frozen=True)
class Setting:
    """FRI at rate 1/2."""

    name: str
    queries: int
    pow_bits: int


SETTINGS = (
    # One bit a query is what is conjectured, log2(4/3) what is proven in the unique-decoding regime. The second is what
    # programs/stark has in its first round.
    Setting("Plonky3, 100 bits conjectured", 80, 20),
    Setting("Plonky3, as many queries as stark", 193, 20),
)


async def measure(stark: Stark, sizes: tuple[int, ...], root: Path) -> dict[int, Run]:
    """For each size the run with the median time to prove."""
    found: dict[int, Run] = {}
    runner = await SandboxRunner.start("benchmark", root / "state")
    for size in sizes:
        say(f"stark, {size} permutations")
        runs = [
            await prove_and_verify(runner, stark.directory, stark.program, size, root, cores=os.cpu_count() or 1)
            for _ in range(REPEATS)
        ]
        found[size] = sorted(runs, key=lambda run: run.prove_s)[REPEATS // 2]
    await runner.close()
    return found


def stark_runs(stark: Stark, sizes: tuple[int, ...]) -> dict[int, Run]:
    """`measure` in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        # The contract's user inside the container is none of ours.
        Path(folder).chmod(0o755)
        return asyncio.run(measure(stark, sizes, Path(folder)))


def build_plonky3(version: str) -> Path:
    """The other prover's executable."""
    target = ROOT / "tmp" / "stark_plonky3"
    environment = os.environ | rust_environment(version) | {
        "CARGO_TARGET_DIR": str(target),
        "RUSTFLAGS": "-Ctarget-cpu=x86-64-v3",
    }  # fmt: skip
    subprocess.run(["cargo", "build", "--quiet", "--release", "--locked"], cwd=CRATE, env=environment, check=True)
    return target / "release" / "stark-plonky3"


def plonky3_run(prover: Path, permutations: int, setting: Setting) -> tuple[float, float, int]:
    """Median seconds to prove and to verify, and the proof's bytes."""
    say(f"{setting.name}, {permutations} permutations")
    runs = [
        json.loads(
            subprocess.run(
                [prover, str(permutations), str(setting.queries), str(setting.pow_bits)],
                check=True, capture_output=True, text=True,
            ).stdout
        )
        for _ in range(REPEATS)
    ]  # fmt: skip
    prove, verify = (statistics.median(run[key] for run in runs) for key in ("prove_s", "verify_s"))
    return prove, verify, runs[0]["bytes"]


def print_sizes(stark: Stark) -> None:
    rows = [
        (
            f"{size:,}", f"{run.rows:,}", f"{run.prove_s:.2f}", f"{run.prover_wall_s:.2f}", f"{run.prover_cpu_s:.2f}",
            f"{run.peak_bytes / 1e6:,.0f}", f"{run.bytes / 1000:,.0f}", f"{run.verifier_wall_s * 1000:.0f}",
        )
        for size, run in stark_runs(stark, SIZES).items()
    ]  # fmt: skip
    header = ("permutations", "rows", "prove s", "whole s", "CPU s", "peak MB", "proof kB", "verifier ms")
    print_table(f"programs/stark, CPU prover, median of {REPEATS} by time to prove", header, rows)


def print_comparison(stark: Stark) -> None:
    plonky3 = build_plonky3("1.95.0")
    rows = []
    for size, run in stark_runs(stark, COMPARED).items():
        rows.append((f"{size:,} stark", f"{run.prove_s:.2f}", "1.00", f"{run.bytes / 1000:,.0f}", ""))
        for setting in SETTINGS:
            prove, verify, size_bytes = plonky3_run(plonky3, size, setting)
            name, ratio = f"{size:,} {setting.name}", f"{prove / run.prove_s:.2f}"
            rows.append((name, f"{prove:.2f}", ratio, f"{size_bytes / 1000:,.0f}", f"{verify * 1000:.0f}"))
    header = ("permutations, prover", "prove s", "ratio", "proof kB", "verify ms")
    print_table(f"the same number of Keccak-f permutations, median of {REPEATS}", header, rows)


def main() -> None:
    wanted = sys.argv[1:] or ["sizes", "plonky3"]
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        stark = build_stark(Path(folder))
        if "sizes" in wanted:
            print_sizes(stark)
        if "plonky3" in wanted:
            print_comparison(stark)


if __name__ == "__main__":
    main()
