"""The docker runner: the container contract by a container engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from prover_node.runner import cgroup, mounts
from prover_node.runner.base import (
    ASSETS_MOUNT,
    CONTAINER_UID,
    INPUT_MOUNT,
    OUTPUT_MOUNT,
    PROOF_MOUNT,
    Job,
    Outcome,
    Reason,
    RunnerError,
    Use,
)
from prover_node.runner.ending import Ending, call_at_deadline, conclude, failed
from prover_node.runner.engine import (
    MAX_CONNECTIONS,
    NO_DEVICE_DRIVER,
    Attached,
    Container,
    Engine,
    EngineError,
    Measured,
    default_url,
)
from prover_node.runner.engine_images import EngineImages, Loaded
from prover_node.runner.gpus import Gpu, GpuPool, GpuWatch, discover, lost_gpu, too_few_gpus
from prover_node.runner.image_store import IMAGE_BYTES
from prover_node.runner.images import ImageError
from prover_node.runner.logs import LogBuffer
from prover_node.runner.output import OutputStage, largest_file, remove_home
from prover_node.runner.seccomp import engine_profile
from prover_node.runner.survivors import JOB_LABEL, NODE_LABEL, Survivor, as_survivor, labels

_POLL_S = 0.2
# Streams end with their container, unless the engine was asked too late to follow it.
_STREAMS_END_S = 5
_TOO_LARGE_EXIT = 153  # 128 + SIGXFSZ
_KILLED_EXIT = 137  # 128 + SIGKILL
_END_ALLOWANCE_S = 60
_LATE_S = 2
NO_GPU_RUNTIME = (
    "the container engine can't give GPUs to containers: install the NVIDIA container toolkit, "
    "run nvidia-ctk runtime configure, and restart the engine"
)
# What runc says, on the program's own stderr, when the last step of starting it fails.
_EXEC_FAILED = re.compile(rb"\A(?:standard_init_linux\.go:\d+: )?exec (?:user process caused: |/?\S+: )(.+)\n?\Z")

_T = TypeVar("_T")


@dataclass
class _Running:
    """A job's run: what it holds, how far it is, and why it was stopped."""

    job: Job
    name: str
    home: Path
    gpus: tuple[Gpu, ...]
    started: bool = False
    left: bool = False
    """To the next process."""
    concluded: bool = False
    """Its outcome is known, and its output collected."""
    stopped: Reason | None = None
    fault: str = ""
    stage: OutputStage | None = None
    group: cgroup.Cgroup | None = None
    measured: Measured = field(default_factory=Measured)
    attached: Attached | None = None
    logs: tuple[LogBuffer, ...] = ()
    give_up: threading.Event = field(default_factory=threading.Event)
    calls: list[asyncio.Future[Any]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)


class DockerRunner:
    """See :class:`prover_node.runner.base.Runner`; made by :meth:`start`."""

    name = "docker"

    def __init__(
        self, node_id: str, state_dir: Path, engine: Engine, *, gpus: tuple[Gpu, ...], image_bytes: int
    ) -> None:
        self._node_id = node_id
        self._engine = engine
        self._home = state_dir / "containers"
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._threads = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix="docker-runner")
        self._gpus = GpuPool(gpus)
        self.gpu_obstacle = ""
        self._images = EngineImages(engine, node_id, state_dir / "engine-images", image_bytes)
        self._image_locks: dict[str, asyncio.Lock] = {}
        self._active: dict[str, _Running] = {}
        self._survivors: dict[str, Survivor] = {}
        self._leaving = False
        self._own_file_systems = False
        self._hierarchy: cgroup.Hierarchy | None = None
        self._lacking: tuple[str, ...] = ()
        self._seccomp: str | None = None
        # As root, the program gets a user of its own. An ordinary user couldn't read or remove what
        # such a program writes, so there it runs as that user, which isn't root either.
        self._user = f"{CONTAINER_UID}:{CONTAINER_UID}" if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"

    @classmethod
    async def start(
        cls,
        node_id: str,
        state_dir: Path,
        *,
        url: str | None = None,
        gpus: tuple[Gpu, ...] | None = None,
        image_bytes: int = IMAGE_BYTES,
    ) -> DockerRunner:
        """A runner on the engine at ``url`` (``unix://…``), by default DOCKER_HOST, Docker's or Podman's socket.

        ``gpus`` are those to hand out, by default all that this machine has. Images that it had the engine load
        take ``image_bytes`` at most. Raises :class:`RunnerError` if no engine answers there, or not one that can
        keep the contract.
        """
        url = url or os.environ.get("DOCKER_HOST") or default_url()
        if not url.startswith("unix://"):
            raise RunnerError(f"the docker runner needs an engine on this machine (unix://…), not {url}")
        try:
            engine = await asyncio.to_thread(Engine, url)
        except EngineError as error:
            raise RunnerError(f"no container engine answers at {url}: {error}") from error
        gpus = discover() if gpus is None else gpus
        runner = cls(node_id, state_dir, engine, gpus=gpus, image_bytes=image_bytes)
        try:
            await runner._examine(url)
        except BaseException:
            await runner.close()
            raise
        return runner

    @property
    def gpus(self) -> int:
        """See :attr:`Runner.gpus`."""
        return self._gpus.total

    def unenforced(self) -> tuple[str, ...]:
        """See :meth:`Runner.unenforced`."""
        sentences = [
            f"The limit on {name} isn't enforced, because the container engine can't." for name in self._lacking
        ]
        if not self._own_file_systems:
            sentences.append(
                "The output isn't a file system of its own, because this process may not mount one that the engine "
                "sees: each file is bounded, and the whole is measured five times a second."
            )
        return tuple(sentences)

    async def run(self, job: Job, *, on_start: Callable[[], None] | None = None) -> Outcome:
        """See :meth:`Runner.run`."""
        if job.id in self._active:
            return failed(Reason.RUNNER_ERROR, f"a job {job.id} is already running")
        survivor = self._survivors.pop(job.work, None)
        if survivor is not None and not survivor.fits(job):
            try:
                await self._discard(survivor)
            except RunnerError as error:
                return failed(Reason.RUNNER_ERROR, str(error))
            survivor = None
        gpus = self._gpus.take(job.limits.gpus) if survivor is None else survivor.gpus
        if gpus is None:
            return failed(Reason.RUNNER_ERROR, too_few_gpus(job.limits.gpus, self))
        if survivor is None:
            run = _Running(job, f"proofmill-{self._node_id}-{job.id}", self._home / job.id, gpus)
        else:
            run = _Running(job, survivor.container, survivor.home, gpus, started=True)
        self._active[job.id] = run
        self._images.hold(job.image_sha256)
        deadline = call_at_deadline(job, lambda reason: self._stop_soon(run, reason))
        try:
            if survivor is not None:
                return await self._go_on(run, on_start)
            loaded = await self._image(run)
            if run.stopped is not None:
                return failed(run.stopped, "the job was stopped before it began")
            return await self._execute(run, loaded, on_start)
        except ImageError as error:
            return failed(Reason.IMAGE_UNUSABLE, str(error))
        except EngineError as error:
            return failed(Reason.RUNNER_ERROR, f"the container engine failed: {error}")
        except OSError as error:
            return failed(Reason.RUNNER_ERROR, f"the container can't be prepared: {error}")
        finally:
            deadline.cancel()
            await asyncio.shield(asyncio.create_task(self._release(run)))

    def uses(self) -> Mapping[str, Use]:
        return {run.job.id: self._use(run) for run in self._active.values() if run.started}

    @staticmethod
    def _use(run: _Running) -> Use:
        gpus = tuple(gpu.number for gpu in run.gpus)
        if run.group is not None:
            return cgroup.use_of(run.group, gpus)
        return Use(cpu_ms=run.measured.cpu_ms, memory_bytes=run.measured.memory_bytes, gpus=gpus)

    async def prepare(self, image: Path, image_sha256: str) -> None:
        """See :meth:`Runner.prepare`."""
        try:
            async with self._image_locks.setdefault(image_sha256, asyncio.Lock()):
                await self._in_thread(self._images.load, image, image_sha256)
        except (ImageError, EngineError, OSError) as error:
            raise RunnerError(str(error)) from error

    def keep_images(self, sha256s: Collection[str]) -> None:
        """See :meth:`Runner.keep_images`."""
        self._images.keep(sha256s)

    async def cancel(self, job_id: str) -> None:
        """See :meth:`Runner.cancel`."""
        if job_id in self._active:
            await self._stop(self._active[job_id], Reason.CANCELLED)

    async def cleanup_orphans(self) -> list[str]:
        """See :meth:`Runner.cleanup_orphans`."""
        try:
            orphans = await self._remove_containers()
        except EngineError as error:
            raise RunnerError(f"the container engine can't remove old containers: {error}") from error
        groups = cgroup.jobs(self._hierarchy, self._node_id) if self._hierarchy else set()
        homes = {path.name for path in self._home.iterdir()}
        for job in (groups | homes) - self._in_use():
            await self._clear(self._home / job)
            orphans.add(job)
        return sorted(orphans)

    def survivors(self) -> Mapping[str, str]:
        """See :meth:`Runner.survivors`."""
        return {work: survivor.job_id for work, survivor in self._survivors.items()}

    async def discard_survivors(self, works: Collection[str]) -> None:
        """See :meth:`Runner.discard_survivors`."""
        for work in works:
            survivor = self._survivors.pop(work, None)
            if survivor is not None:
                await self._discard(survivor)

    def leave_running(self) -> None:
        """See :meth:`Runner.leave_running`."""
        self._leaving = True

    async def close(self) -> None:
        """See :meth:`Runner.close`."""
        running = list(self._active.values())
        for run in running:
            if self._leaving and self._may_be_left(run):
                self._let_go(run)
            else:
                await self._stop(run, Reason.CANCELLED)
        for run in running:
            await run.released.wait()
        if self._hierarchy is not None:
            cgroup.forget(self._hierarchy, self._node_id)
        self._threads.shutdown()
        self._engine.close()

    async def _examine(self, url: str) -> None:
        """Find out what the engine can enforce; refuse what can't run containers of ours."""
        try:
            facts = await self._in_thread(self._engine.facts)
            if not facts.linux:
                raise RunnerError(f"the engine at {url} doesn't run Linux containers")
            if facts.rootless:
                raise RunnerError(f"the engine at {url} is rootless, which the docker runner doesn't support")
            self._lacking = facts.lacks
            self._seccomp = engine_profile() if facts.weak_filter else None
            if self._seccomp is not None and facts.filters_by_path:
                path = self._home.parent / "seccomp.json"
                path.write_text(self._seccomp)
                self._seccomp = str(path.resolve())
            if facts.cgroup_driver == "cgroupfs":
                self._hierarchy = cgroup.detect()
            self._own_file_systems = mounts.can_mount() and await self._in_thread(self._sees_our_mounts)
            if self._gpus.total and not await self._in_thread(self._gives_gpus):
                self.gpu_obstacle = NO_GPU_RUNTIME
                self._gpus = GpuPool(())
        except EngineError as error:
            raise RunnerError(f"the container engine at {url} doesn't work: {error}") from error

    def _sees_our_mounts(self) -> bool:
        """Whether a file system that we mount shows up in the engine's containers.

        It doesn't where the engine lives in a mount namespace of its own.
        """
        home = self._home / f"probe-{secrets.token_hex(8)}"
        probe = home / "output"
        probe.mkdir(parents=True)
        try:
            mounts.mount_tmpfs(probe, size=1 << 16, inodes=8, uid=0)
            (probe / "seen").touch()
            labels = {NODE_LABEL: self._node_id, JOB_LABEL: home.name}
            return self._engine.sees(probe, "seen", f"proofmill-{self._node_id}-{home.name}", labels)
        finally:
            remove_home(home)

    def _gives_gpus(self) -> bool:
        name = f"probe-{secrets.token_hex(8)}"
        labels = {NODE_LABEL: self._node_id, JOB_LABEL: name}
        return self._engine.gives_gpus(f"proofmill-{self._node_id}-{name}", labels)

    async def _remove_containers(self) -> set[str]:
        """Remove this node's containers but those of its jobs now and the survivors; the jobs that they were for."""
        orphans: set[str] = set()
        for found in await self._in_thread(self._engine.containers, f"{NODE_LABEL}={self._node_id}"):
            job = found.labels.get(JOB_LABEL, "")
            if job in self._in_use():
                continue
            survivor = as_survivor(found, self._home, self._gpus)
            if survivor is not None and survivor.work not in self._survivors:
                self._survivors[survivor.work] = survivor
                continue
            if survivor is not None:
                self._gpus.give_back(survivor.gpus)
            await self._in_thread(self._engine.remove, found.id)
            orphans.add(job)
        return orphans

    def _in_use(self) -> set[str]:
        """Names of the homes and groups that belong to a container that is still wanted."""
        homes = {run.home.name for run in self._active.values()}
        return homes | {survivor.home.name for survivor in self._survivors.values()}

    async def _discard(self, survivor: Survivor) -> None:
        try:
            await self._in_thread(self._engine.remove, survivor.container)
        except EngineError as error:
            raise RunnerError(f"the container engine can't remove an old container: {error}") from error
        await self._clear(survivor.home)
        self._gpus.give_back(survivor.gpus)

    async def _clear(self, home: Path) -> None:
        """Remove what a job's container leaves beside itself."""
        if self._hierarchy is not None:
            await cgroup.destroy(self._hierarchy, self._node_id, home.name)
        await asyncio.to_thread(remove_home, home)

    async def _image(self, run: _Running) -> Loaded:
        """Make sure that the engine has the job's image, under the id that its layers give it."""
        job = run.job
        lock = self._image_locks.setdefault(job.image_sha256, asyncio.Lock())
        async with lock:
            return await self._call(run, self._images.load, job.image, job.image_sha256)

    async def _execute(self, run: _Running, loaded: Loaded, on_start: Callable[[], None] | None) -> Outcome:
        engine = self._engine
        container = self._prepare(run, loaded)
        await self._call(run, engine.create, container)
        try:
            # Podman looks for the command when it is asked for the streams.
            attached = await self._call(run, self._attach, run)
            reading = self._begin(run, attached.read, *self._open_logs(run))
            await self._call(run, engine.start, run.name)
        except EngineError as error:
            return _not_started(run, str(error))
        run.started = True
        return await self._follow(run, reading, run.job.limits.time_limit_s, on_start)

    async def _go_on(self, run: _Running, on_start: Callable[[], None] | None) -> Outcome:
        """Take over the container of an earlier process, which is running or has ended meanwhile."""
        limits = run.job.limits
        if run.job.output_dir is not None:
            run.stage = OutputStage.find(run.home, limits)
        if self._hierarchy is not None:
            run.group = self._hierarchy.reopen(self._node_id, run.home.name)
        logs = self._open_logs(run)
        running_s = await self._call(run, self._engine.running_s, run.name)
        reading = None
        if running_s is not None:
            reading = self._begin(run, (await self._call(run, self._attach, run)).read, *logs)
        return await self._follow(run, reading, limits.time_limit_s - (running_s or 0), on_start)

    async def _follow(
        self,
        run: _Running,
        reading: asyncio.Future[None] | None,
        left_s: float,
        on_start: Callable[[], None] | None,
    ) -> Outcome:
        """Follow the started container to its end, at most ``left_s`` from now."""
        if run.stopped is not None:
            await self._stop(run, run.stopped)
        elif on_start is not None:
            on_start()
        watch = GpuWatch(run.gpus)
        if run.group is None:
            self._begin(run, self._engine.measure, run.name, run.measured, run.give_up)
        left_s = max(left_s, 0)
        waiting = self._begin(run, self._engine.wait, run.name, left_s + _END_ALLOWANCE_S, run.give_up)
        watching = asyncio.create_task(watch.follow(lambda fault: self._fail(run, fault)))
        try:
            await self._watch(run, waiting, left_s)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        exit_code = waiting.result()
        if exit_code is None:
            return failed(Reason.CANCELLED, "the container goes on, for the next process of this node")
        if reading is not None:
            await asyncio.wait([reading], timeout=_STREAMS_END_S)
        return await self._conclude(run, exit_code, watch)

    async def _conclude(self, run: _Running, exit_code: int, watch: GpuWatch) -> Outcome:
        stdout, stderr = (log.value() for log in run.logs)
        ended = await self._call(run, self._engine.ended, run.name)
        usage = run.group.usage() if run.group is not None else None
        exec_failed = _EXEC_FAILED.match(stderr) if exit_code else None
        cut = run.stage is not None and not run.stage.own_file_system and exit_code == _TOO_LARGE_EXIT
        peak = usage.peak_memory_bytes if usage is not None else run.measured.peak_memory_bytes
        # Podman doesn't always notice what the kernel killed.
        full = exit_code == _KILLED_EXIT and peak >= run.job.limits.memory_bytes
        limit_ms = 1000 * (run.job.limits.time_limit_s + _LATE_S)
        ending = Ending(
            exit_code=exit_code,
            # It may have gone on while there was no process of this node to stop it.
            stopped=run.stopped or (Reason.TIME_LIMIT if ended.wall_ms > limit_ms else None),
            fault=run.fault or (lost_gpu(run.gpus) if exit_code else ""),
            out_of_memory=ended.out_of_memory or full,
            file_too_large=cut,
            not_executable=exec_failed[1].decode(errors="replace") if exec_failed else None,
            wall_ms=ended.wall_ms,
            cpu_ms=usage.cpu_ms if usage is not None else run.measured.cpu_ms,
            peak_memory_bytes=peak,
            gpu_ms=watch.busy_ms,
            stdout=stdout,
            stderr=stderr,
        )
        outcome = await conclude(ending, run.job, run.stage)
        run.concluded = True
        return outcome

    def _open_logs(self, run: _Running) -> tuple[LogBuffer, LogBuffer]:
        limit = run.job.limits.log_bytes
        stdout, stderr = (LogBuffer(limit, run.home / name) for name in ("stdout", "stderr"))
        run.logs = stdout, stderr
        return stdout, stderr

    def _prepare(self, run: _Running, loaded: Loaded) -> Container:
        """Make the output and control group of a job, which ``run`` records at once, and say what to run."""
        job = run.job
        argv = loaded.config.argv(job.command)
        run.home.mkdir()
        binds = [(INPUT_MOUNT, job.input_dir), (ASSETS_MOUNT, job.assets_dir), (PROOF_MOUNT, job.proof_dir)]
        mounted = [(target, source, False) for target, source in binds if source is not None]
        if job.output_dir is not None:
            run.stage = OutputStage.make(run.home, job.limits, own_file_system=self._own_file_systems)
            if os.geteuid() == 0 and not self._own_file_systems:
                os.chown(run.stage.path, CONTAINER_UID, CONTAINER_UID)
            mounted.append((OUTPUT_MOUNT, run.stage.path, True))
        if self._hierarchy is not None:
            # The engine's own group goes with the container, this one stays until we have read it.
            run.group = self._hierarchy.create(self._node_id, job.id)
        return Container(
            name=run.name,
            image=loaded.id,
            argv=argv,
            user=self._user,
            working_dir=loaded.config.working_dir,
            environment=loaded.config.environment(job.env),
            labels=labels(self._node_id, job, run.gpus),
            mounts=tuple(mounted),
            limits=job.limits,
            largest_file=None if self._own_file_systems else largest_file(job.limits),
            gpus=tuple(gpu.engine_id for gpu in run.gpus),
            cgroup_parent=f"/{cgroup.ROOT_NAME}/{self._node_id}/{job.id}" if run.group is not None else None,
            seccomp=self._seccomp,
        )

    def _attach(self, run: _Running) -> Attached:
        run.attached = self._engine.attach(run.name)
        return run.attached

    async def _watch(self, run: _Running, waiting: asyncio.Future[int | None], left_s: float) -> None:
        """Wait until the program ends, stopping it when a limit is reached."""
        timer = asyncio.get_running_loop().call_later(left_s, self._stop_soon, run, Reason.TIME_LIMIT)
        stage = run.stage if run.stage is not None and not run.stage.own_file_system else None
        try:
            while not waiting.done():
                measured = stage is not None and run.stopped is None
                await asyncio.wait([waiting], timeout=_POLL_S if measured else None)
                if waiting.done():
                    break
                if measured and stage is not None and await asyncio.to_thread(stage.exceeded):
                    await self._stop(run, Reason.OUTPUT_LIMIT)
        finally:
            timer.cancel()

    def _fail(self, run: _Running, fault: str) -> None:
        """Stop the job because of what this machine did."""
        run.fault = fault
        self._stop_soon(run, Reason.RUNNER_ERROR)

    def _stop_soon(self, run: _Running, reason: Reason) -> None:
        run.stopped = run.stopped or reason
        if run.started:
            self._begin(run, self._kill, run.name)

    async def _stop(self, run: _Running, reason: Reason) -> None:
        run.stopped = run.stopped or reason
        if run.started:
            await self._in_thread(self._kill, run.name)

    def _kill(self, container: str) -> None:
        with contextlib.suppress(EngineError):  # it has just ended by itself
            self._engine.kill(container)

    def _may_be_left(self, run: _Running) -> bool:
        """Whether the next process could take the container over."""
        return bool(run.job.work) and run.started and run.stopped is None

    def _let_go(self, run: _Running) -> None:
        """End all that this process waits for, but not the container."""
        run.left = True
        run.give_up.set()
        if run.attached is not None:
            run.attached.hang_up()

    async def _release(self, run: _Running) -> None:
        if self._leaving and not run.concluded and self._may_be_left(run):
            self._let_go(run)
        pending = True
        while pending:
            # A container that is still being made can only be removed once it is there.
            pending = not all(call.done() for call in run.calls)
            if not run.left:
                with contextlib.suppress(EngineError):
                    await self._in_thread(self._engine.remove, run.name)
            if run.attached is not None:
                run.attached.hang_up()
            if pending:
                await asyncio.wait(run.calls, timeout=_POLL_S)
        # What went wrong has been said, or follows from the container's removal.
        await asyncio.gather(*run.calls, return_exceptions=True)
        if run.attached is not None:
            run.attached.close()
        for log in run.logs:
            log.close()
        if not run.left:
            await self._clear(run.home)
        self._gpus.give_back(run.gpus)
        self._images.release(run.job.image_sha256)
        del self._active[run.job.id]
        run.released.set()

    def _begin(self, run: _Running, function: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        """Start a call for ``run``, which is not released before it has ended."""
        call = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        run.calls.append(call)
        return call

    async def _call(self, run: _Running, function: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.shield(self._begin(run, function, *arguments))

    async def _in_thread(self, function: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _not_started(run: _Running, said: str) -> Outcome:
    if run.stopped is not None:
        return failed(run.stopped, "the job was stopped before it began")
    if NO_DEVICE_DRIVER in said:
        return failed(Reason.RUNNER_ERROR, NO_GPU_RUNTIME)
    if "exec:" in said:
        reason = said.rpartition("exec:")[2].strip().removesuffix(": unknown")
        return failed(Reason.IMAGE_UNUSABLE, f"the image's command can't be executed: {reason}")
    return failed(Reason.RUNNER_ERROR, f"the container can't be started: {said}")
