"""Nothing is left behind after many runs that end in every way: no process, mount, group, container, file or memory.

By default as many runs as a test may take; SOAK_RUNS=1000 makes it a soak.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
from collections import Counter
from pathlib import Path

import docker

from prover_node.runner.base import Job, Reason, Runner
from prover_node.runner.docker import DockerRunner
from prover_node.runner.sandbox import SandboxRunner
from tests.support.behave_jobs import MIB, Backend, Image, make_job
from tests.support.doomed_node import NODE_ID

NODE = f"{NODE_ID}-soak"
RUNS = {kind: int(os.environ.get("SOAK_RUNS", runs)) for kind, runs in (("sandbox", 40), ("docker", 16))}
AT_ONCE = 4
ENDS: tuple[tuple[tuple[str, ...], Reason], ...] = (
    (("ok",), Reason.EXITED),
    (("exit", "3"), Reason.EXITED),
    (("fill",), Reason.OUTPUT_LIMIT),
    (("memory",), Reason.OUT_OF_MEMORY),
    (("children",), Reason.EXITED),
    (("odd-output",), Reason.EXITED),
    (("sleep",), Reason.CANCELLED),
    (("no-such-mode",), Reason.EXITED),
)


async def start(backend: Backend, folder: Path) -> Runner:
    if backend.kind == "docker":
        return await DockerRunner.start(NODE, folder / "state", url=backend.where)
    return await SandboxRunner.start(NODE, folder / "state", bwrap=Path(backend.where))


async def run_one(runner: Runner, job: Job) -> Reason:
    """One job; an endless one is cancelled as soon as it runs."""
    begun = asyncio.Event()
    running = asyncio.create_task(runner.run(job, on_start=begun.set))
    if job.command[1] == "sleep":
        await begun.wait()
        await runner.cancel(job.id)
    return (await running).reason


async def run_all(runner: Runner, image: Image, folder: Path, runs: range) -> Counter[tuple[str, Reason]]:
    """Ends of the runs by what was run; a few at a time."""
    ends: Counter[tuple[str, Reason]] = Counter()
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        arguments, _ = ENDS[number % len(ENDS)]
        async with places:
            job = make_job(image, folder / f"run-{number}", *arguments, memory_bytes=64 * MIB, pids=16)
            ends[arguments[0], await run_one(runner, job)] += 1

    await asyncio.gather(*(one(number) for number in runs))
    return ends


def left_behind(backend: Backend, folder: Path) -> dict[str, object]:
    """All that a run could leave, in this process and on this machine."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found: dict[str, object] = {
        "mounts": [line for line in mounts if str(folder) in line or f"/proofmill/{NODE}/" in line],
        "groups": [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/proofmill/{NODE}/*") if path.is_dir()],
        "homes": [
            path.name
            for home in (folder / "state/containers", folder / "state/sandboxes", Path("/run/proofmill") / NODE)
            if home.is_dir()
            for path in home.iterdir()
        ],
    }
    if backend.kind == "docker":
        client = docker.APIClient(backend.where)
        found["containers"] = client.containers(all=True, filters={"label": f"proofmill.node={NODE}"})
        found["volumes"] = client.volumes()["Volumes"] or []
        client.close()
    return found


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a list is all that is wanted


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


async def test_many_runs_leave_nothing(runner: Backend, behave_image: Image, tmp_path: Path) -> None:
    made = await start(runner, tmp_path)
    await run_all(made, behave_image, tmp_path, range(len(ENDS)))  # what is made once is made now
    before, files = (len(children()), left_behind(runner, tmp_path)), open_files()
    memory = resident_bytes()
    ends = await run_all(made, behave_image, tmp_path, range(100, 100 + RUNS[runner.kind]))
    assert (len(children()), left_behind(runner, tmp_path)) == before
    # Connections to an engine are kept, as many as were needed at once.
    assert open_files() <= files + (4 * AT_ONCE if runner.kind == "docker" else 0)
    print(f"{ends.total()} runs, open files {files} -> {open_files()}, MiB {memory >> 20} -> {resident_bytes() >> 20}")
    await made.close()
    assert set(ends) == {(arguments[0], reason) for arguments, reason in ENDS}
    assert ends.total() == RUNS[runner.kind]
