"""The docker runner: the container contract by a container engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import Callable
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
)
from prover_node.runner.ending import Ending, conclude, failed
from prover_node.runner.engine import MAX_CONNECTIONS, Attached, Container, Engine, EngineError, Measured, default_url
from prover_node.runner.engine_image import EngineImage, docker_archive, engine_image
from prover_node.runner.gpus import GpuPool, discover
from prover_node.runner.images import Archive, ImageConfig, ImageError, UnpackLimits
from prover_node.runner.logs import LogBuffer
from prover_node.runner.output import OutputStage, largest_file, remove_home
from prover_node.runner.rootfs import check_layers

_NODE_LABEL, _JOB_LABEL = "proofmill.node", "proofmill.job"
_REPOSITORY = "proofmill-program"
_POLL_S = 0.2
_TOO_LARGE_EXIT = 153  # 128 + SIGXFSZ
_END_ALLOWANCE_S = 60
# What runc says, on the program's own stderr, when the last step of starting it fails.
_EXEC_FAILED = re.compile(rb"\A(?:standard_init_linux\.go:\d+: )?exec (?:user process caused: |/?\S+: )(.+)\n?\Z")

_T = TypeVar("_T")


@dataclass
class _Running:
    """A job's run: what it holds, how far it is, and why it was stopped."""

    job: Job
    name: str
    home: Path
    started: bool = False
    stopped: Reason | None = None
    stage: OutputStage | None = None
    group: cgroup.Cgroup | None = None
    gpus: tuple[str, ...] = ()
    attached: Attached | None = None
    calls: list[asyncio.Future[Any]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class _Loaded:
    """An image that the engine has, and the id that it gave it."""

    config: ImageConfig
    image: EngineImage
    id: str


class DockerRunner:
    """See :class:`prover_node.runner.base.Runner`; made by :meth:`start`."""

    name = "docker"

    def __init__(self, node_id: str, state_dir: Path, engine: Engine, gpu_ids: tuple[str, ...]) -> None:
        self._node_id = node_id
        self._engine = engine
        self._home = state_dir / "containers"
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._threads = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix="docker-runner")
        self._gpus = GpuPool(gpu_ids)
        self._image_locks: dict[str, asyncio.Lock] = {}
        self._images: dict[str, _Loaded] = {}
        self._active: dict[str, _Running] = {}
        self._own_file_systems = False
        self._hierarchy: cgroup.Hierarchy | None = None
        self._lacking: tuple[str, ...] = ()
        # As root, the program gets a user of its own. An ordinary user couldn't read or remove what
        # such a program writes, so there it runs as that user, which isn't root either.
        self._user = f"{CONTAINER_UID}:{CONTAINER_UID}" if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"

    @classmethod
    async def start(
        cls, node_id: str, state_dir: Path, *, url: str | None = None, gpu_ids: tuple[str, ...] | None = None
    ) -> DockerRunner:
        """A runner on the engine at ``url`` (``unix://…``), by default DOCKER_HOST, Docker's or Podman's socket.

        ``gpu_ids`` are the GPUs to hand out, by default all that this machine has. Raises
        :class:`RunnerError` if no engine answers there, or not one that can keep the contract.
        """
        url = url or os.environ.get("DOCKER_HOST") or default_url()
        if not url.startswith("unix://"):
            raise RunnerError(f"the docker runner needs an engine on this machine (unix://…), not {url}")
        try:
            engine = await asyncio.to_thread(Engine, url)
        except EngineError as error:
            raise RunnerError(f"no container engine answers at {url}: {error}") from error
        runner = cls(node_id, state_dir, engine, discover() if gpu_ids is None else gpu_ids)
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
        gpus = self._gpus.take(job.limits.gpus)
        if gpus is None:
            total = self._gpus.total
            return failed(Reason.RUNNER_ERROR, f"{job.limits.gpus} GPUs are asked for, but of {total} too few are free")
        run = _Running(job, f"proofmill-{self._node_id}-{job.id}", self._home / job.id, gpus=gpus)
        self._active[job.id] = run
        try:
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
            await asyncio.shield(asyncio.create_task(self._release(run)))

    async def prepare(self, image: Path, image_sha256: str) -> None:
        """See :meth:`Runner.prepare`."""
        try:
            async with self._image_locks.setdefault(image_sha256, asyncio.Lock()):
                await self._in_thread(self._load, image, image_sha256)
        except (ImageError, EngineError) as error:
            raise RunnerError(str(error)) from error

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
        for job in (groups | homes) - set(self._active):
            if self._hierarchy is not None:
                await cgroup.destroy(self._hierarchy, self._node_id, job)
            await asyncio.to_thread(remove_home, self._home / job)
            orphans.add(job)
        return sorted(orphans)

    async def close(self) -> None:
        """See :meth:`Runner.close`."""
        running = list(self._active.values())
        for run in running:
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
            if facts.cgroup_driver == "cgroupfs":
                self._hierarchy = cgroup.detect()
            self._own_file_systems = mounts.can_mount() and await self._in_thread(self._sees_our_mounts)
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
            labels = {_NODE_LABEL: self._node_id, _JOB_LABEL: home.name}
            return self._engine.sees(probe, "seen", f"proofmill-{self._node_id}-{home.name}", labels)
        finally:
            remove_home(home)

    async def _remove_containers(self) -> set[str]:
        """Remove this node's containers but those of its jobs now; the jobs that they were for."""
        orphans: set[str] = set()
        found = await self._in_thread(self._engine.containers, f"{_NODE_LABEL}={self._node_id}")
        for container, labels in found.items():
            job = labels.get(_JOB_LABEL, "")
            if job not in self._active:
                await self._in_thread(self._engine.remove, container)
                orphans.add(job)
        return orphans

    async def _image(self, run: _Running) -> _Loaded:
        """Make sure that the engine has the job's image, under the id that its layers give it."""
        job = run.job
        lock = self._image_locks.setdefault(job.image_sha256, asyncio.Lock())
        async with lock:
            return await self._call(run, self._load, job.image, job.image_sha256)

    def _load(self, path: Path, sha256: str) -> _Loaded:
        known = self._images.get(sha256)
        if known is not None and self._engine.find_image(known.image) == known.id:
            return known
        with Archive(path) as archive:
            image = engine_image(archive.config.diff_ids, f"{_REPOSITORY}:{sha256}")
            found = self._engine.find_image(image)
            if found is None:
                # The engine unpacks without bounds.
                check_layers(archive, UnpackLimits())
                refusal = self._engine.load_image(docker_archive(archive, image))
                if refusal is not None:
                    raise ImageError(f"the container engine can't load the image: {refusal}")
                found = self._engine.find_image(image)
            if found is None:
                raise EngineError("it doesn't show the image that it was given")
            self._images[sha256] = _Loaded(archive.config, image, found)
            return self._images[sha256]

    async def _execute(self, run: _Running, loaded: _Loaded, on_start: Callable[[], None] | None) -> Outcome:
        limits, engine = run.job.limits, self._engine
        container = self._prepare(run, loaded)
        await self._call(run, engine.create, container)
        stdout, stderr = LogBuffer(limits.log_bytes), LogBuffer(limits.log_bytes)
        attached = await self._call(run, self._attach, run)
        reading = self._begin(run, attached.read, stdout, stderr)
        try:
            await self._call(run, engine.start, run.name)
        except EngineError as error:
            return _not_started(run, str(error))
        run.started = True
        if run.stopped is not None:
            await self._stop(run, run.stopped)
        elif on_start is not None:
            on_start()
        measured = Measured()
        if run.group is None:
            self._begin(run, engine.measure, run.name, measured)
        waiting = self._begin(run, engine.wait, run.name, limits.time_limit_s + _END_ALLOWANCE_S)
        await self._watch(run, waiting)
        await reading
        exit_code = waiting.result()
        ended = await self._call(run, engine.ended, run.name)
        usage = run.group.usage() if run.group is not None else None
        exec_failed = _EXEC_FAILED.match(stderr.value()) if exit_code else None
        ending = Ending(
            exit_code=exit_code,
            stopped=run.stopped,
            out_of_memory=ended.out_of_memory,
            file_too_large=not self._own_file_systems and exit_code == _TOO_LARGE_EXIT,
            not_executable=exec_failed[1].decode(errors="replace") if exec_failed else None,
            wall_ms=ended.wall_ms,
            cpu_ms=usage.cpu_ms if usage is not None else measured.cpu_ms,
            peak_memory_bytes=usage.peak_memory_bytes if usage is not None else measured.peak_memory_bytes,
            stdout=stdout.value(),
            stderr=stderr.value(),
        )
        return await conclude(ending, run.job, run.stage)

    def _prepare(self, run: _Running, loaded: _Loaded) -> Container:
        """Make the output and control group of a job, which ``run`` records at once, and say what to run."""
        job = run.job
        argv = loaded.config.argv(job.command)
        run.home.mkdir()
        binds = [(INPUT_MOUNT, job.input_dir), (ASSETS_MOUNT, job.assets_dir), (PROOF_MOUNT, job.proof_dir)]
        mounted = [(target, source, False) for target, source in binds if source is not None]
        if job.output_dir is not None:
            run.stage = OutputStage(run.home, job.limits, own_file_system=self._own_file_systems)
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
            labels={_NODE_LABEL: self._node_id, _JOB_LABEL: job.id},
            mounts=tuple(mounted),
            limits=job.limits,
            largest_file=None if self._own_file_systems else largest_file(job.limits),
            gpus=run.gpus,
            cgroup_parent=f"/{cgroup.ROOT_NAME}/{self._node_id}/{job.id}" if run.group is not None else None,
        )

    def _attach(self, run: _Running) -> Attached:
        run.attached = self._engine.attach(run.name)
        return run.attached

    async def _watch(self, run: _Running, waiting: asyncio.Future[int]) -> None:
        """Wait until the program ends, stopping it when a limit is reached."""
        timer = asyncio.get_running_loop().call_later(run.job.limits.time_limit_s, self._stop_soon, run)
        try:
            while not waiting.done():
                measured = run.stage is not None and not self._own_file_systems and run.stopped is None
                await asyncio.wait([waiting], timeout=_POLL_S if measured else None)
                if waiting.done():
                    break
                if measured and run.stage is not None and await asyncio.to_thread(run.stage.exceeded):
                    await self._stop(run, Reason.OUTPUT_LIMIT)
        finally:
            timer.cancel()

    def _stop_soon(self, run: _Running) -> None:
        run.stopped = run.stopped or Reason.TIME_LIMIT
        self._begin(run, self._kill, run.name)

    async def _stop(self, run: _Running, reason: Reason) -> None:
        run.stopped = run.stopped or reason
        if run.started:
            await self._in_thread(self._kill, run.name)

    def _kill(self, container: str) -> None:
        with contextlib.suppress(EngineError):  # it has just ended by itself
            self._engine.kill(container)

    async def _release(self, run: _Running) -> None:
        pending = True
        while pending:
            # A container that is still being made can only be removed once it is there.
            pending = not all(call.done() for call in run.calls)
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
        if self._hierarchy is not None:
            await cgroup.destroy(self._hierarchy, self._node_id, run.job.id)
        await asyncio.to_thread(remove_home, run.home)
        self._gpus.give_back(run.gpus)
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
    if "could not select device driver" in said:
        return failed(
            Reason.RUNNER_ERROR,
            "the container engine can't give GPUs to containers: install the NVIDIA container toolkit",
        )
    if "exec:" in said:
        reason = said.rpartition("exec:")[2].strip().removesuffix(": unknown")
        return failed(Reason.IMAGE_UNUSABLE, f"the image's command can't be executed: {reason}")
    return failed(Reason.RUNNER_ERROR, f"the container can't be started: {said}")
