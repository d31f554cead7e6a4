"""`python -m benchmarks.stark_gpu`: programs/stark on this machine's first GPU beside its processors, by size.

Both provers run in the sandbox, as a prover node runs them, and the same verifier takes both proofs.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import print_machine, print_table, say
from benchmarks.stark_runs import Run, prove_and_verify
from prover_node.runner import nvml
from prover_node.runner.gpus import discover
from prover_node.runner.sandbox import SandboxRunner
from tests.support.capacity_gpu import has_gpu
from tests.support.stark import Stark, build_stark, build_stark_cuda

# The last that fill 2^10, 2^12, …, 2^18 rows; the processors are spared the last one.
SIZES = (42, 170, 682, 2730, 10922)
CPU_SIZE_MAX = 2730
REPEATS = 3
SAMPLE_S = 0.02
HEADER = ("permutations", "rows", "GPU s", "whole s", "busy", "CPU s", "whole s", "CPU/GPU", "whole")


def describe_gpu() -> str:
    """The device and the driver, as nvidia-smi names them."""
    query = ["nvidia-smi", "--id=0", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def utilisation_sampled(uuid: str) -> Iterator[list[float]]:
    """Shares of the moment in which the GPU computed, taken all the while."""
    samples: list[float] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_S):
            samples.append(nvml.utilisation(uuid))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


async def median_run(
    runner: SandboxRunner, stark: Stark, size: int, root: Path, *, gpus: int, uuid: str
) -> tuple[Run, float]:
    """The run with the median time to prove of some after one that doesn't count, and the GPU's mean utilisation."""
    runs = []
    busy: list[float] = []
    for repeat in range(REPEATS + 1):
        with utilisation_sampled(uuid) as samples:
            run = await prove_and_verify(
                runner, stark.directory, stark.program, size, root, cores=os.cpu_count() or 1, gpus=gpus
            )
        if repeat:
            runs.append(run)
            busy += samples
    return sorted(runs, key=lambda run: run.prove_s)[REPEATS // 2], statistics.mean(busy or [0.0])


async def measure(cuda: Stark, cpu: Stark, root: Path) -> list[tuple[str, ...]]:
    runner = await SandboxRunner.start("benchmark", root / "state")
    uuid = discover()[0].uuid
    rows = []
    for size in SIZES:
        say(f"{size} permutations")
        gpu_run, busy = await median_run(runner, cuda, size, root, gpus=1, uuid=uuid)
        row = [
            f"{size:,}",
            f"{gpu_run.rows:,}",
            f"{gpu_run.prove_s:.3f}",
            f"{gpu_run.prover_wall_s:.2f}",
            f"{busy:.0%}",
        ]
        if size <= CPU_SIZE_MAX:
            cpu_run, _ = await median_run(runner, cpu, size, root, gpus=0, uuid=uuid)
            row += [f"{cpu_run.prove_s:.2f}", f"{cpu_run.prover_wall_s:.2f}"]
            row += [f"{cpu_run.prove_s / gpu_run.prove_s:.1f}", f"{cpu_run.prover_wall_s / gpu_run.prover_wall_s:.1f}"]
        rows.append((*row, *[""] * (len(HEADER) - len(row))))
    await runner.close()
    return rows


def main() -> None:
    if not has_gpu():
        say("stark_gpu: not run: no GPU")
        return
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        # The contract's user inside the container is none of ours.
        root.chmod(0o755)
        cuda, cpu = build_stark_cuda(root / "cuda", "80,90"), build_stark(root / "cpu")
        rows = asyncio.run(measure(cuda, cpu, root))
    print_table(f"programs/stark on {describe_gpu()}, and on all processors; median of {REPEATS}", HEADER, rows)


if __name__ == "__main__":
    main()
