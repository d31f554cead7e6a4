"""Performs the machine's jobs: fetch, run, pack. One asyncio task a job; every one ends in an answer.

Nothing here blocks the event loop: files are copied and packed in threads, containers run in processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import structlog

from client.bundle import BundleError
from prover_node.deadlines import Deadlines
from prover_node.duties import ContainerSpec, FileRef, JobKey, ProofRecord, Role, Usage
from prover_node.effects import Cancel, FetchFiles, Forget, PackProof, Prefetch, RunJob
from prover_node.events import (
    Event,
    Fetched,
    FetchFailed,
    JobBroken,
    PackFailed,
    ProofStored,
    ProofUnusable,
    RunFinished,
    Stopped,
)
from prover_node.experience import Experience
from prover_node.favourites import Favourites
from prover_node.fetcher import Fetcher, FetchError
from prover_node.inheritance import Inheritance
from prover_node.job_files import archive_sha256, pack_output, stage_job
from prover_node.metrics import Metrics
from prover_node.runner.base import Job, Outcome, Runner, RunnerError
from prover_node.storage import BlobStore
from prover_node.store_errors import StoreError
from prover_node.task_files import TaskFiles

log = structlog.get_logger("prover.jobs")

Report = Callable[[Event], Awaitable[None]]


class Jobs:
    """Jobs under way, below the folder ``work``; ``report`` takes their answers.

    A prover's files are tried for ``patience_s`` where servers don't answer. ``inheritance`` has what an earlier
    process began of them.
    """

    def __init__(
        self,
        *,
        work: Path,
        store: BlobStore,
        tasks: TaskFiles,
        fetcher: Fetcher,
        patience_s: float,
        runner: Runner,
        experience: Experience,
        favourites: Favourites,
        inheritance: Inheritance,
        deadlines: Deadlines,
        metrics: Metrics,
        report: Report,
        publish: Callable[[str], None],
    ) -> None:
        self._work = work
        self._store = store
        self._tasks = tasks
        self._fetcher = fetcher
        self._patience_s = patience_s
        self._runner = runner
        self._experience = experience
        self._favourites = favourites
        self._inheritance = inheritance
        self._deadlines = deadlines
        self._metrics = metrics
        self._report = report
        self._publish = publish
        self._running: dict[JobKey, asyncio.Task[None]] = {}
        self._held: dict[JobKey, tuple[str, ...]] = {}
        self._tidying: set[asyncio.Task[None]] = set()
        self._prefetching: set[asyncio.Task[None]] = set()

    def perform(self, effect: FetchFiles | RunJob | PackProof | Prefetch | Cancel | Forget) -> None:
        """Begin what is asked for."""
        match effect:
            case FetchFiles():
                self.fetch(effect)
            case RunJob():
                self.run(effect)
            case PackProof():
                self.pack(effect)
            case Prefetch():
                self.prefetch(effect)
            case Cancel(key):
                self.cancel(key)
            case Forget(key):
                self.forget(key)

    def fetch(self, effect: FetchFiles) -> None:
        """Answered by Fetched, FetchFailed or JobBroken."""
        # Held from now on, or making room for one file could evict another.
        self._held[effect.key] = tuple(ref.key for ref in effect.spec.all_files)
        self._store.hold(self._held[effect.key])
        self._start(effect.key, self._fetch(effect))

    def run(self, effect: RunJob) -> None:
        """Answered by RunFinished, ProofUnusable, FetchFailed or JobBroken."""
        self._favourites.used(effect.spec)
        self._start(effect.key, self._run(effect))

    def pack(self, effect: PackProof) -> None:
        """Answered by ProofStored, PackFailed or JobBroken."""
        self._start(effect.key, self._pack(effect))

    def cancel(self, key: JobKey) -> None:
        """Stop the job; answered by Stopped once its container is gone."""
        task = self._running.get(key)
        if task is not None:
            task.cancel()
        self._tidy(self._tell_stopped(key, task))

    def forget(self, key: JobKey) -> None:
        """Remove the job's working files, once it has stopped."""
        self._tidy(self._remove(key, self._running.get(key)))

    def prefetch(self, effect: Prefetch) -> None:
        """Bring files into the store; that some can't be had is no matter yet."""
        task = asyncio.create_task(self._prefetch(effect))
        self._prefetching.add(task)
        task.add_done_callback(self._prefetching.discard)

    async def close(self) -> None:
        """Stop everything and wait until it has stopped."""
        running = set(self._running.values()) | self._prefetching
        for task in running:
            task.cancel()
        if waited := running | self._tidying:
            await asyncio.wait(waited)

    def _start(self, key: JobKey, work: Coroutine[None, None, Event]) -> None:
        self._running[key] = asyncio.create_task(self._answer(key, work), name=key.name)

    async def _answer(self, key: JobKey, work: Coroutine[None, None, Event]) -> None:
        answer: Event
        structlog.contextvars.bind_contextvars(task=key.task_id)
        try:
            answer = await work
        except (OSError, StoreError) as error:
            answer = JobBroken(key, str(error))
        except Exception as error:  # a job that died in silence would be waited for for ever
            log.exception("a job failed unexpectedly", job=key.name)
            answer = JobBroken(key, f"{type(error).__name__}: {error}")
        finally:
            # The answer may start the job's next step under the same key.
            self._running.pop(key, None)
        await self._report(answer)

    async def _fetch(self, effect: FetchFiles) -> Event:
        files = effect.spec.all_files
        # A verifier gains nothing by giving up: the machine ends the wait when the vote is due.
        patience_s = math.inf if effect.key.role is Role.VERIFY else self._patience_s
        within_s = effect.within_ms / 1000 or math.inf
        began_s, role = time.monotonic(), effect.key.role.value
        missing = sum(ref.size for ref in files if ref.inline is None and not self._store.has(ref.key))
        fetches = (self._fetcher.fetch(ref, patience_s, within_s) for ref in files)
        results = await asyncio.gather(*fetches, return_exceptions=True)
        for ref, result in zip(files, results, strict=True):
            if isinstance(result, FetchError):
                return FetchFailed(effect.key, ref.kind, str(result))
            if isinstance(result, BaseException):
                raise result
        self._metrics.fetched_bytes.labels(role).inc(missing)
        self._metrics.fetch_seconds.labels(role).observe(time.monotonic() - began_s)
        if effect.key.role is Role.PROVE:
            # While others compute, so that nothing but the program takes this one's time. The run says what is wrong.
            with contextlib.suppress(RunnerError):
                path = self._blob(effect.spec.image)
                digest = await asyncio.to_thread(archive_sha256, effect.spec.image, path)
                await self._runner.prepare(path, digest)
        return Fetched(effect.key)

    async def _run(self, effect: RunJob) -> Event:
        key, spec = effect.key, effect.spec
        try:
            job = await asyncio.to_thread(self._stage, key, spec)
        except BundleError as error:
            return ProofUnusable(key, str(error))
        log.info("a container starts", job=key.name, limit_s=spec.time_limit_s)
        outcome = await self._runner.run(job)
        self._metrics.runs.labels(key.role.value, outcome.reason.value).inc()
        self._metrics.run_seconds.labels(key.role.value).observe(outcome.wall_ms / 1000)
        self._metrics.run_cpu_seconds.labels(key.role.value).inc(outcome.cpu_ms / 1000)
        self._metrics.run_gpu_seconds.labels(key.role.value).inc(outcome.gpu_ms / 1000)
        log.info(
            "a container ended",
            job=key.name,
            reason=outcome.reason.value,
            exit_code=outcome.exit_code,
            wall_ms=outcome.wall_ms,
            cpu_ms=outcome.cpu_ms,
            peak_memory_bytes=outcome.peak_memory_bytes,
            gpu_ms=outcome.gpu_ms,
            detail=outcome.detail,
        )
        if key.role is Role.PROVE:
            self._experience.add(spec, outcome)
            await self._save_logs(key.task_id, outcome)
        return RunFinished(key, outcome)

    async def _save_logs(self, task_id: int, outcome: Outcome) -> None:
        """For people: a run isn't lost for want of room for what it printed."""
        try:
            await asyncio.to_thread(self._tasks.save_logs, task_id, outcome.stdout, outcome.stderr)
        except OSError as error:
            log.warning("what a prover printed can't be kept", task=task_id, reason=str(error))

    def _stage(self, key: JobKey, spec: ContainerSpec) -> Job:
        folder = self._work / key.name
        shutil.rmtree(folder, ignore_errors=True)
        return stage_job(key, spec, folder, self._blob, left_s=self._deadlines.left_s(key))

    async def _pack(self, effect: PackProof) -> Event:
        key = effect.key
        try:
            proof = await asyncio.to_thread(self._pack_and_keep, key, effect.usage)
        except BundleError as error:
            return PackFailed(key, str(error))
        self._publish(proof.sha256)
        return ProofStored(key, proof)

    def _pack_and_keep(self, key: JobKey, usage: Usage) -> ProofRecord:
        bundle, info = pack_output(self._work / key.name)
        self._store.keep(info.sha256)
        self._store.adopt(bundle, info.sha256, info.size)
        self._tasks.save_proof(key.task_id, info.sha256)
        return ProofRecord(info.sha256, info.size, usage)

    def _blob(self, ref: FileRef) -> Path:
        path = self._store.find(ref.key)
        if path is None:
            raise StoreError(f"the {ref.kind.value} {ref.sha256} is gone from the store")
        return path

    def _tidy(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    async def _tell_stopped(self, key: JobKey, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            await asyncio.wait([task])
        await self._report(Stopped(key))

    async def _prefetch(self, effect: Prefetch) -> None:
        for ref in effect.files:
            try:
                await self._fetcher.fetch(ref, self._patience_s)
            except (FetchError, StoreError, OSError) as error:
                log.info("a file can't be had beforehand", file=ref.key, reason=str(error))

    async def _remove(self, key: JobKey, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            await asyncio.wait([task])
        self._store.release(self._held.pop(key, ()))
        await asyncio.to_thread(shutil.rmtree, self._work / key.name, ignore_errors=True)
        await self._inheritance.forget(key.work)
