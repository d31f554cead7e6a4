"""What a runner costs beyond the program: `python -m benchmarks.container_start [RUNS]`, an idle program each time."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import print_machine, print_table, say
from prover_node.runner.base import Job, Limits, Reason, Runner, RunnerError
from prover_node.runner.docker import DockerRunner
from prover_node.runner.sandbox import SandboxRunner
from tests.support.behave_program import build_behave
from tests.support.engine import NoEngineError, any_engine
from tests.support.image_archives import docker_archive, file, image_config, tar

LIMITS = Limits(
    cpu_millis=1000,
    memory_bytes=256 << 20,
    gpus=0,
    time_limit_s=60,
    output_bytes=8 << 20,
    output_inodes=64,
    tmp_bytes=8 << 20,
)


def make_job(folder: Path) -> Job:
    """A job of a static program that does nothing."""
    layer = tar([file("behave", build_behave(folder), 0o755)])
    sha256 = docker_archive(
        folder / "image.tar", [layer], image_config([layer], {"Entrypoint": ["/behave", "nothing"]})
    )
    for name in ("input", "output"):
        (folder / name).mkdir()
    return Job(
        id="start",
        image=folder / "image.tar",
        image_sha256=sha256,
        command=(),
        input_dir=folder / "input",
        assets_dir=None,
        proof_dir=None,
        output_dir=folder / "output",
        limits=LIMITS,
    )


async def measure(runner: Runner, job: Job, runs: int) -> tuple[str, ...]:
    """How long whole runs take, in ms: the first, which unpacks or loads the image, and the others."""
    took = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        outcome = await runner.run(job)
        took.append((time.perf_counter() - begun) * 1000)
        if outcome.reason is not Reason.EXITED or outcome.exit_code != 0:
            raise SystemExit(f"the program failed: {outcome.detail}")
    await runner.close()
    first, later = took[0], sorted(took[1:])
    p95 = later[len(later) * 95 // 100]
    return runner.name, f"{first:.0f}", f"{statistics.median(later):.0f}", f"{p95:.0f}"


def main() -> None:
    """Measure every runner that works here."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print_machine()
    with tempfile.TemporaryDirectory(prefix="mill-start-") as name:
        folder = Path(name)
        job = make_job(folder)

        async def sandbox() -> tuple[str, ...]:
            return await measure(await SandboxRunner.start("bench", folder / "sandbox"), job, runs)

        async def docker(url: str) -> tuple[str, ...]:
            return await measure(await DockerRunner.start("bench", folder / "docker", url=url), job, runs)

        rows = []
        try:
            rows.append(asyncio.run(sandbox()))
        except RunnerError as error:
            say(f"sandbox: not measured, {error}")
        try:
            with any_engine() as engine:
                rows.append(asyncio.run(docker(engine.url)))
        except (NoEngineError, RunnerError) as error:
            say(f"docker: not measured, {error}")
    title = f"an idle program from call to outcome, ms, {runs} runs"
    print_table(title, ("runner", "first run", "p50", "p95"), rows)


if __name__ == "__main__":
    main()
