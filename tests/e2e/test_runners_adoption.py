"""Containers outlive their node's process: the next one goes on with them, or removes what nobody wants.

Only an engine can do that: a sandbox dies with the process that started it (docs/adr/0006-runner.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from prover_node.runner.base import Job, Outcome, Reason
from prover_node.runner.docker import DockerRunner
from tests.support.behave_jobs import Image, outputs
from tests.support.doomed_node import NODE_ID, doomed_job, start_and_kill
from tests.support.engine import Engine

WORK = "prove-7"
GAP = "\n[the node was started again: what the program wrote meanwhile is missing]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the doomed job needs."""
    (tmp_path / "input").mkdir()
    (tmp_path / "input").chmod(0o755)
    for name in ("output", "again"):
        (tmp_path / name).mkdir()
    return tmp_path


async def start(engine: Engine, folder: Path) -> DockerRunner:
    """The next process's runner, which has looked around."""
    runner = await DockerRunner.start(NODE_ID, folder / "state", url=engine.url)
    await runner.cleanup_orphans()
    return runner


@pytest.fixture
async def left(docker_engine: Engine, folder: Path, behave_image: Image) -> AsyncIterator[Left]:
    """Lets a node be killed at work, and at the end looks for what is left of all."""
    yield Left(docker_engine, folder, behave_image)
    assert containers(docker_engine) == []
    assert list((folder / "state/containers").iterdir()) == []
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()  # noqa: ASYNC240


class Left:
    """A node that was killed while its container ran."""

    def __init__(self, engine: Engine, folder: Path, image: Image) -> None:
        self.engine = engine
        self.folder = folder
        self.image = image

    async def begin(self, *arguments: str, work: str = WORK, time_limit_s: int = 60) -> Job:
        """Have it run this; the job as the next process would name it."""
        where = ("docker", self.engine.url, self.folder)
        await start_and_kill(*where, self.image.path, self.image.sha256, work, time_limit_s, *arguments)
        job = doomed_job(
            self.folder, self.image.path, self.image.sha256, *arguments, work=work, time_limit_s=time_limit_s
        )
        return replace(job, id="another-name", output_dir=self.folder / "again")

    async def go_on(self, job: Job) -> Outcome:
        """Start the next process's runner, and have it run the job."""
        runner = await start(self.engine, self.folder)
        try:
            return await runner.run(job)
        finally:
            await runner.close()


def containers(engine: Engine) -> list[str]:
    """Ids of this node's."""
    client = docker.APIClient(engine.url)
    found = client.containers(all=True, filters={"label": f"proofmill.node={NODE_ID}"})
    client.close()
    return [container["Id"] for container in found]


async def wait_until_ended(engine: Engine) -> None:
    client = docker.APIClient(engine.url)
    for container in containers(engine):
        await asyncio.to_thread(client.wait, container, timeout=60)
    client.close()


async def test_the_next_process_goes_on_with_a_container_and_has_its_output(left: Left) -> None:
    job = await left.begin("slow-talk", "3")
    before = containers(left.engine)
    runner = await start(left.engine, left.folder)
    assert runner.survivors() == {WORK: "doomed"}
    begun = asyncio.Event()
    running = asyncio.create_task(runner.run(job, on_start=begun.set))
    await begun.wait()
    assert containers(left.engine) == before
    outcome = await running
    await runner.close()
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, 0), outcome
    assert outcome.wall_ms >= 3000
    assert outcome.stdout.decode() == f"begun\n{GAP}ended\n"
    assert outputs(job) == ["proof"]


async def test_one_that_ended_meanwhile_counts_too(left: Left) -> None:
    job = await left.begin("exit", "7")
    await wait_until_ended(left.engine)
    outcome = await left.go_on(job)
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, 7)


async def test_its_time_goes_on_from_where_it_was(left: Left) -> None:
    job = await left.begin("sleep", time_limit_s=2)
    outcome = await left.go_on(job)
    assert outcome.reason is Reason.TIME_LIMIT
    assert outcome.wall_ms >= 2000


async def test_one_that_took_too_long_while_nobody_looked_has_failed(left: Left) -> None:
    job = await left.begin("slow", "4", time_limit_s=1)
    await wait_until_ended(left.engine)
    outcome = await left.go_on(job)
    assert outcome.reason is Reason.TIME_LIMIT
    assert outputs(job) == []


async def test_another_container_is_not_taken_for_it(left: Left) -> None:
    job = await left.begin("sleep")
    other = replace(job, command=("/behave", "ok"))
    outcome = await left.go_on(other)
    assert (outcome.exit_code, outputs(other)) == (0, ["proof"])


async def test_what_nobody_wants_is_removed(left: Left) -> None:
    await left.begin("sleep")
    runner = await start(left.engine, left.folder)
    await runner.discard_survivors(["prove-8"])
    assert runner.survivors() == {WORK: "doomed"}
    await runner.discard_survivors([WORK])
    assert (runner.survivors(), containers(left.engine)) == ({}, [])
    await runner.close()


async def test_a_node_that_is_stopped_leaves_its_containers_if_it_is_told_to(
    left: Left, docker_engine: Engine, folder: Path, behave_image: Image
) -> None:
    job = doomed_job(folder, behave_image.path, behave_image.sha256, "slow-talk", "3", work=WORK)
    first = await start(docker_engine, folder)
    begun = asyncio.Event()
    running = asyncio.create_task(first.run(job, on_start=begun.set))
    await begun.wait()
    before = containers(docker_engine)
    first.leave_running()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await first.close()
    assert containers(docker_engine) == before
    outcome = await left.go_on(replace(job, output_dir=folder / "again"))
    assert (outcome.exit_code, outputs(replace(job, output_dir=folder / "again"))) == (0, ["proof"])
