"""What the machine asks for, done on disk and with a runner: above all that what is cancelled really ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from prover_node.deadlines import Deadlines
from prover_node.duties import ContainerSpec, FileKind, FileRef, JobKey, Resources, Role
from prover_node.effects import Cancel, FetchFiles, Forget, Prefetch, RunJob
from prover_node.events import Event, Fetched, Stopped
from prover_node.experience import Experience
from prover_node.favourites import Favourites
from prover_node.fetcher import Fetcher
from prover_node.inheritance import Inheritance
from prover_node.jobs import Jobs
from prover_node.metrics import Metrics
from prover_node.public_http import FetchPolicy
from prover_node.runner.base import Job, Outcome
from prover_node.storage import BlobStore
from prover_node.task_files import TaskFiles
from tests.support.empty_runner import EmptyRunner
from tests.support.prover_duties import outcome

KEY = JobKey(Role.PROVE, 1, 0, 1)


def inline(kind: FileKind, data: bytes) -> FileRef:
    name = "" if kind is FileKind.IMAGE else "file"
    return FileRef(kind, name, hashlib.sha256(data).hexdigest(), len(data), (), data)


IMAGE, FILE = inline(FileKind.IMAGE, b"image"), inline(FileKind.INPUT, b"input")
SPEC = ContainerSpec(IMAGE, (), (FILE,), Resources(1000, 1 << 20), 60)


@dataclass
class SlowRunner(EmptyRunner):
    """Containers run for ever, and take a moment to die."""

    name: str = "sandbox"
    gpus: int = 0
    gpu_obstacle: str = ""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    may_die: asyncio.Event = field(default_factory=asyncio.Event)
    alive: set[str] = field(default_factory=set)
    prepared: list[str] = field(default_factory=list)

    def unenforced(self) -> tuple[str, ...]:
        return ()

    async def run(self, job: Job, *, on_start: Callable[[], None] | None = None) -> Outcome:
        self.alive.add(job.id)
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await self.may_die.wait()
            self.alive.discard(job.id)
        return outcome()

    async def prepare(self, image: Path, image_sha256: str) -> None:
        self.prepared.append(image_sha256)

    async def cancel(self, job_id: str) -> None:
        """Jobs are stopped by their tasks."""

    async def close(self) -> None:
        """Nothing is held."""


@dataclass
class Bench:
    jobs: Jobs
    runner: SlowRunner
    store: BlobStore
    work: Path
    answers: asyncio.Queue[Event]

    async def answer(self) -> Event:
        async with asyncio.timeout(10):
            return await self.answers.get()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    answers: asyncio.Queue[Event] = asyncio.Queue()
    store, runner = BlobStore(tmp_path / "blobs", 1 << 20), SlowRunner()
    async with Fetcher(store, FetchPolicy(allow_private=True)) as fetcher:
        jobs = Jobs(
            work=tmp_path / "work",
            store=store,
            tasks=TaskFiles(tmp_path / "tasks"),
            fetcher=fetcher,
            patience_s=0.1,
            runner=runner,
            experience=Experience(tmp_path / "experience"),
            favourites=Favourites(store, 1 << 20),
            inheritance=Inheritance(runner, tmp_path / "work"),
            deadlines=Deadlines(),
            metrics=Metrics(),
            report=answers.put,
            publish=lambda digest: None,
        )
        yield Bench(jobs, runner, store, tmp_path / "work", answers)
        runner.may_die.set()
        await jobs.close()


async def test_a_cancelled_job_is_told_to_have_stopped_only_when_its_container_is_gone(bench: Bench) -> None:
    bench.jobs.perform(FetchFiles(KEY, SPEC))
    assert await bench.answer() == Fetched(KEY)
    bench.jobs.perform(RunJob(KEY, SPEC))
    await bench.runner.started.wait()
    bench.jobs.perform(Cancel(KEY))
    bench.jobs.perform(Forget(KEY))
    for _ in range(10):
        await asyncio.sleep(0)
    assert bench.runner.alive == {KEY.name}
    assert bench.answers.empty()
    bench.runner.may_die.set()
    assert await bench.answer() == Stopped(KEY)
    assert bench.runner.alive == set()


async def test_a_job_that_is_cancelled_when_it_does_nothing_has_stopped_at_once(bench: Bench) -> None:
    bench.jobs.perform(FetchFiles(KEY, SPEC))
    await bench.answer()
    bench.jobs.perform(Cancel(KEY))
    bench.jobs.perform(Forget(KEY))
    assert await bench.answer() == Stopped(KEY)


async def test_what_is_fetched_beforehand_is_there_and_what_cannot_be_had_is_no_matter(bench: Bench) -> None:
    gone = FileRef(FileKind.ASSET, "gone", "9" * 64, 5, ("http://127.0.0.1:9/gone",))
    bench.jobs.perform(Prefetch((gone, FILE)))
    async with asyncio.timeout(10):
        while not bench.store.has(FILE.key):  # noqa: ASYNC110 - there is no answer to wait for
            await asyncio.sleep(0.01)
    assert not bench.store.has(gone.key)


async def test_a_prover_s_image_is_unpacked_before_its_turn_comes(bench: Bench) -> None:
    bench.jobs.perform(FetchFiles(KEY, SPEC))
    assert await bench.answer() == Fetched(KEY)
    assert bench.runner.prepared == [IMAGE.sha256]
