"""A process that runs one endless job until it is killed: what it leaves behind is the next node's to remove."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from prover_node.runner.base import Job, Limits, Runner
from prover_node.runner.docker import DockerRunner
from prover_node.runner.sandbox import SandboxRunner

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
        return await DockerRunner.start("test", state, url=where)
    return await SandboxRunner.start("test", state, bwrap=Path(where))


async def run_for_ever(kind: str, where: str, folder: Path, image: Path, sha256: str) -> None:
    """Run the job ``doomed``, and say ``started`` when it runs."""
    runner = await start_runner(kind, where, folder / "state")
    job = Job(
        id="doomed",
        image=image,
        image_sha256=sha256,
        command=("/behave", "sleep"),
        input_dir=folder / "input",
        assets_dir=None,
        proof_dir=None,
        output_dir=folder / "output",
        limits=LIMITS,
    )
    await runner.run(job, on_start=lambda: print("started", flush=True))


if __name__ == "__main__":
    kind, where, folder, image, sha256 = json.loads(sys.argv[1])
    asyncio.run(run_for_ever(kind, where, Path(folder), Path(image), sha256))
