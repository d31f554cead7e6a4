"""A process that runs one job until it is killed: what it leaves is the next node's to go on with or to remove."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from prover_node.runner.base import Job, Limits, Runner
from prover_node.runner.docker import DockerRunner
from prover_node.runner.sandbox import SandboxRunner

NODE_ID = os.environ.setdefault("PROOFMILL_TEST_NODE", f"test-{os.getpid()}")
"""Of the runners in these tests: one for each test run, or two at once would remove each other's containers."""

LIMITS = Limits(
    cpu_millis=1000,
    memory_bytes=128 << 20,
    gpus=0,
    time_limit_s=600,
    output_bytes=1 << 20,
    output_inodes=8,
    tmp_bytes=1 << 20,
)


async def start_runner(kind: str, where: str, state: Path) -> Runner:
    """The runner of this kind; ``where`` is the engine's URL, or the path of bubblewrap."""
    if kind == "docker":
        return await DockerRunner.start(NODE_ID, state, url=where)
    return await SandboxRunner.start(NODE_ID, state, bwrap=Path(where))


def doomed_job(
    folder: Path, image: Path, sha256: str, *arguments: str, work: str = "", time_limit_s: int = LIMITS.time_limit_s
) -> Job:
    """The job ``doomed`` for ``work``, with its directories in ``folder``."""
    return Job(
        id="doomed",
        image=image,
        image_sha256=sha256,
        command=("/behave", *arguments),
        input_dir=folder / "input",
        assets_dir=None,
        proof_dir=None,
        output_dir=folder / "output",
        limits=replace(LIMITS, time_limit_s=time_limit_s),
        env={"FOLDER": str(folder)},
        work=work,
    )


async def run_until_killed(kind: str, where: str, folder: Path, job: Job) -> None:
    """Run the job, and say ``started`` when it runs."""
    runner = await start_runner(kind, where, folder / "state")
    await runner.run(job, on_start=lambda: print("started", flush=True))


async def start_and_kill(kind: str, where: str, folder: Path, image: Path, sha256: str, *job: str | int) -> None:
    """Begin :func:`doomed_job` in a process, and kill that outright."""
    node = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.doomed_node"),
        json.dumps([kind, where, str(folder), str(image), sha256, *job]),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    if node.stdout is None or await node.stdout.readline() != b"started\n":
        raise RuntimeError("the doomed node didn't start its job")
    node.kill()
    await node.communicate()


if __name__ == "__main__":
    kind, where, folder, image, sha256, work, time_limit_s, *arguments = json.loads(sys.argv[1])
    doomed = doomed_job(Path(folder), Path(image), sha256, *arguments, work=work, time_limit_s=time_limit_s)
    asyncio.run(run_until_killed(kind, where, Path(folder), doomed))
