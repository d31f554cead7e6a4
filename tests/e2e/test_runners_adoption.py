"""Containers outlive their node's process: the next one goes on with them, or removes what nobody wants.

Only an engine can do that: a sandbox dies with the process that started it (docs/adr/0006-runner.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE

from prover_node.runner.base import Job, Outcome, Reason
from prover_node.runner.docker import DockerRunner
from prover_node.settings import Settings
from tests.support.behave_jobs import Image, outputs
from tests.support.doomed_node import NODE_ID, doomed_job, start_and_kill
from tests.support.engine import Engine
from tests.support.prover_bench import Bench
from tests.support.prover_nodes import ProverNodes

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


def containers(engine: Engine, node: str = NODE_ID, *status: str) -> list[str]:
    """Ids of the node's, if need be only those with this status."""
    client = docker.APIClient(engine.url)
    filters = {"label": f"proofmill.node={node}"} | ({"status": list(status)} if status else {})
    found = client.containers(all=True, filters=filters)
    client.close()
    return [container["Id"] for container in found]


async def wait_until_ended(engine: Engine) -> None:
    client = docker.APIClient(engine.url)
    for container in containers(engine):
        await asyncio.to_thread(client.wait, container, timeout=60)
    client.close()


async def test_the_next_process_goes_on_with_a_container_and_has_its_output(left: Left) -> None:
    job = await left.begin("wait")
    before = containers(left.engine)
    runner = await start(left.engine, left.folder)
    assert runner.survivors() == {WORK: "doomed"}
    begun = asyncio.Event()
    running = asyncio.create_task(runner.run(job, on_start=begun.set))
    await begun.wait()
    assert containers(left.engine) == before
    (left.folder / "input/go").touch()
    outcome = await running
    await runner.close()
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, 0), outcome
    # Its first words may have been lost with the killed process.
    assert outcome.stdout.decode().removeprefix("begun\n") == f"{GAP}ended\n"
    assert outcome.stderr.decode() == GAP
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
    job = doomed_job(folder, behave_image.path, behave_image.sha256, "wait", work=WORK)
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
    (folder / "input/go").touch()
    outcome = await left.go_on(replace(job, output_dir=folder / "again"))
    assert (outcome.exit_code, outputs(replace(job, output_dir=folder / "again"))) == (0, ["proof"])


def hasty(settings: Settings) -> Settings:
    return replace(settings, drain_s=0)


@pytest.fixture(scope="module")
def bench(docker_engine: Engine, behave_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Daemons on the engine that don't wait for anything when they are told to stop."""
    folder = tmp_path_factory.mktemp("provers")
    with ProverNodes(folder, docker_url=docker_engine.url, configure=hasty) as nodes:
        yield Bench(nodes, behave_image.path)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_daemon_that_is_killed_or_upgraded_loses_no_work(bench: Bench, docker_engine: Engine, end: str) -> None:
    nodes = bench.nodes
    since = {index: len(nodes.log(index)) for index in range(nodes.count)}
    task_id = bench.run(bench.behaving("wait"))
    prover = nodes.first_to_log(rf'"prove-{task_id}-.*"a container starts"', since)
    node = nodes.node_id(prover)
    nodes.wait(lambda: containers(docker_engine, node, "running") != [], "the container runs")
    (container,) = containers(docker_engine, node)
    getattr(nodes, end)(prover)
    assert containers(docker_engine, node) == [container]
    before = len(nodes.log(prover))
    nodes.start(prover)
    nodes.wait(lambda: nodes.seen(prover, "a container starts", since=before), "the container is gone on with")
    for inputs in nodes.home(prover).work.glob("*/input"):
        (inputs / "go").touch()
    answer = nodes.ended(task_id)
    assert answer.task.progress.status == TASK_STATUS_DONE, nodes.tails()
    assert nodes.seen(prover, "containers of an earlier process are still there", since=since[prover])
    words = (nodes.home(prover).tasks / str(task_id) / "stdout").read_text()
    # Its last words may have come before the new process listened.
    assert words.removeprefix("begun\n").removesuffix("ended\n") == GAP
    assert container not in containers(docker_engine, node)
    nodes.wait(lambda: list(nodes.home(prover).work.iterdir()) == [], "its files are removed")
