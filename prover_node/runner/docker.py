"""The docker runner: the container contract by a Docker engine (or Podman's Docker-compatible socket).

The only file that imports the SDK. Its calls block, so each runs in a thread of this runner's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import secrets
import socket
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import requests
from docker import APIClient
from docker.errors import APIError, DockerException, NotFound
from docker.types import DeviceRequest, LogConfig, Mount, Ulimit
from docker.utils.socket import STDOUT, frames_iter

from prover_node.runner import cgroup, mounts
from prover_node.runner.base import (
    ASSETS_MOUNT,
    CONTAINER_UID,
    INPUT_MOUNT,
    OUTPUT_MOUNT,
    PROOF_MOUNT,
    Job,
    Limits,
    Outcome,
    Reason,
    RunnerError,
)
from prover_node.runner.ending import Ending, conclude, failed
from prover_node.runner.engine_image import EngineImage, docker_archive, engine_image
from prover_node.runner.gpus import GpuPool, discover
from prover_node.runner.images import Archive, ImageConfig, ImageError, UnpackLimits
from prover_node.runner.logs import LogBuffer
from prover_node.runner.output import OutputStage, largest_file, remove_home
from prover_node.runner.rootfs import check_layers

_SOCKETS = (Path("/var/run/docker.sock"), Path("/run/podman/podman.sock"))

_NODE_LABEL, _JOB_LABEL = "proofmill.node", "proofmill.job"
_REPOSITORY = "proofmill-program"
_MAX_THREADS = 256
_PERIOD_US = 100_000
_POLL_S = 0.2
_TOO_LARGE_EXIT = 153  # 128 + SIGXFSZ
_END_ALLOWANCE_S = 60
# What runc says, on the program's own stderr, when the last step of starting it fails.
_EXEC_FAILED = re.compile(rb"\A(?:standard_init_linux\.go:\d+: )?exec (?:user process caused: |/?\S+: )(.+)\n?\Z")

_EngineErrors = (DockerException, requests.RequestException)
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
    attached: IO[bytes] | None = None
    calls: list[asyncio.Future[Any]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class _Loaded:
    """An image that the engine has, and the id that it gave it."""

    config: ImageConfig
    image: EngineImage
    id: str


@dataclass
class _Usage:
    """The last measurement of a container, where it has no control group that outlives it."""

    cpu_ms: int = 0
    peak_memory_bytes: int = 0


class DockerRunner:
    """See :class:`prover_node.runner.base.Runner`; made by :meth:`start`."""

    name = "docker"

    def __init__(self, node_id: str, state_dir: Path, api: APIClient, gpu_ids: tuple[str, ...]) -> None:
        self._node_id = node_id
        self._api = api
        self._home = state_dir / "containers"
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._threads = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="docker-runner")
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
        url = url or os.environ.get("DOCKER_HOST") or _default_url()
        if not url.startswith("unix://"):
            raise RunnerError(f"the docker runner needs an engine on this machine (unix://…), not {url}")
        try:
            # Asked first because the SDK leaks the socket of an attempt that fails.
            _knock(url)
            # Attached streams keep their connections, so there can be as many as threads.
            api = await asyncio.to_thread(APIClient, url, version="auto", max_pool_size=_MAX_THREADS)
        except (OSError, *_EngineErrors) as error:
            raise RunnerError(f"no container engine answers at {url}: {error}") from error
        runner = cls(node_id, state_dir, api, discover() if gpu_ids is None else gpu_ids)
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
        sentences = list(self._lacking)
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
        except RunnerError as error:
            return failed(Reason.RUNNER_ERROR, str(error))
        except (OSError, *_EngineErrors) as error:
            return failed(Reason.RUNNER_ERROR, f"the container engine failed: {_explain(error)}")
        finally:
            await asyncio.shield(asyncio.create_task(self._release(run)))

    async def cancel(self, job_id: str) -> None:
        """See :meth:`Runner.cancel`."""
        if job_id in self._active:
            await self._stop(self._active[job_id], Reason.CANCELLED)

    async def cleanup_orphans(self) -> list[str]:
        """See :meth:`Runner.cleanup_orphans`."""
        containers = await self._in_thread(
            self._api.containers, all=True, filters={"label": f"{_NODE_LABEL}={self._node_id}"}
        )
        orphans: set[str] = set()
        for container in containers:
            job = container["Labels"].get(_JOB_LABEL, "")
            if job not in self._active:
                await self._in_thread(self._remove, container["Id"])
                orphans.add(job)
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
        self._api.close()

    async def _examine(self, url: str) -> None:
        """Find out what the engine can enforce; refuse what can't run containers of ours."""
        try:
            info: dict[str, Any] = await self._in_thread(self._api.info)
            if info.get("OSType") != "linux":
                raise RunnerError(f"the engine at {url} doesn't run Linux containers")
            if any("name=rootless" in option for option in info.get("SecurityOptions") or ()):
                raise RunnerError(f"the engine at {url} is rootless, which the docker runner doesn't support")
            lacks = {
                "MemoryLimit": "The memory limit",
                "CpuCfsQuota": "The cpu limit",
                "PidsLimit": "The limit on processes",
            }
            self._lacking = tuple(
                f"{what} isn't enforced, because the container engine can't."
                for key, what in lacks.items()
                if not info.get(key)
            )
            if info.get("CgroupDriver") == "cgroupfs":
                self._hierarchy = cgroup.detect()
            self._own_file_systems = mounts.can_mount() and await self._in_thread(self._sees_our_mounts)
        except _EngineErrors as error:
            raise RunnerError(f"the container engine at {url} doesn't work: {_explain(error)}") from error

    def _sees_our_mounts(self) -> bool:
        """Whether a file system that we mount shows up in the engine's containers.

        It doesn't where the engine lives in a mount namespace of its own.
        """
        home = self._home / f"probe-{secrets.token_hex(8)}"
        probe = home / "output"
        probe.mkdir(parents=True)
        layer = io.BytesIO()
        tarfile.open(fileobj=layer, mode="w").close()
        name = f"proofmill-{home.name}"
        try:
            mounts.mount_tmpfs(probe, size=1 << 16, inodes=8, uid=0)
            (probe / "seen").touch()
            self._api.import_image_from_data(layer.getvalue(), repository="proofmill-probe")
            self._api.create_container(
                "proofmill-probe",
                command=["none"],
                name=name,
                labels={_NODE_LABEL: self._node_id},
                host_config=self._api.create_host_config(
                    network_mode="none", mounts=[Mount("/mnt", str(probe), type="bind", read_only=True)]
                ),
            )
            stream, _ = self._api.get_archive(name, "/mnt/seen")
            for _ in stream:
                pass
        except NotFound:
            return False
        finally:
            self._remove(name)
            remove_home(home)
        return True

    async def _image(self, run: _Running) -> _Loaded:
        """Make sure that the engine has the job's image, under the id that its layers give it."""
        job = run.job
        lock = self._image_locks.setdefault(job.image_sha256, asyncio.Lock())
        async with lock:
            return await self._call(run, self._load, job.image, job.image_sha256)

    def _load(self, path: Path, sha256: str) -> _Loaded:
        known = self._images.get(sha256)
        if known is not None and self._find(known.image) == known.id:
            return known
        with Archive(path) as archive:
            image = engine_image(archive.config.diff_ids, f"{_REPOSITORY}:{sha256}")
            found = self._find(image)
            if found is None:
                # The engine unpacks without bounds.
                check_layers(archive, UnpackLimits())
                errors = [
                    line["error"] for line in self._api.load_image(docker_archive(archive, image)) if "error" in line
                ]
                if errors:
                    raise ImageError(f"the container engine can't load the image: {errors[0]}")
                found = self._find(image)
            if found is None:
                raise RunnerError("the container engine doesn't show the image that it was given")
            self._images[sha256] = _Loaded(archive.config, image, found)
            return self._images[sha256]

    def _find(self, image: EngineImage) -> str | None:
        """The id under which the engine has exactly this image.

        It is the digest of the config. Engines that keep images in containerd use another digest; there
        the image with our tag counts, if its layers are the image's, since anyone may set a tag.
        """
        with contextlib.suppress(NotFound):
            if self._api.inspect_image(image.id)["Id"] == image.id:
                return image.id
        with contextlib.suppress(NotFound):
            found = self._api.inspect_image(image.tag)
            layers = [f"sha256:{diff_id}" for diff_id in image.diff_ids]
            if found["RootFS"]["Layers"] == layers and not found["Config"].get("Volumes"):
                return str(found["Id"])
        return None

    async def _execute(self, run: _Running, loaded: _Loaded, on_start: Callable[[], None] | None) -> Outcome:
        limits = run.job.limits
        argv = loaded.config.argv(run.job.command)
        self._prepare(run)
        container = await self._call(run, self._create, run, loaded, argv)
        stdout, stderr = LogBuffer(limits.log_bytes), LogBuffer(limits.log_bytes)
        attached = await self._call(run, self._attach, run, container)
        reading = self._begin(run, _read_frames, attached, stdout, stderr)
        try:
            await self._call(run, self._api.start, container)
        except APIError as error:
            return self._not_started(run, error)
        run.started = True
        if run.stopped is not None:
            await self._stop(run, run.stopped)
        elif on_start is not None:
            on_start()
        usage = _Usage()
        if run.group is None:
            self._begin(run, self._measure, container, usage)
        wait = partial(self._api.wait, timeout=limits.time_limit_s + _END_ALLOWANCE_S)
        waiting = self._begin(run, wait, container)
        await self._watch(run, waiting)
        await reading
        exit_code: int = waiting.result()["StatusCode"]
        state = (await self._call(run, self._api.inspect_container, container))["State"]
        if run.group is not None:
            used = run.group.usage()
            usage = _Usage(used.cpu_ms, used.peak_memory_bytes)
        exec_failed = _EXEC_FAILED.match(stderr.value()) if exit_code else None
        ending = Ending(
            exit_code=exit_code,
            stopped=run.stopped,
            out_of_memory=bool(state["OOMKilled"]),
            file_too_large=not self._own_file_systems and exit_code == _TOO_LARGE_EXIT,
            not_executable=exec_failed[1].decode(errors="replace") if exec_failed else None,
            wall_ms=_elapsed_ms(state),
            cpu_ms=usage.cpu_ms,
            peak_memory_bytes=usage.peak_memory_bytes,
            stdout=stdout.value(),
            stderr=stderr.value(),
        )
        return await conclude(ending, run.job, run.stage)

    def _prepare(self, run: _Running) -> None:
        run.home.mkdir()
        if run.job.output_dir is not None:
            run.stage = OutputStage(run.home, run.job.limits, own_file_system=self._own_file_systems)
            if os.geteuid() == 0 and not self._own_file_systems:
                os.chown(run.stage.path, CONTAINER_UID, CONTAINER_UID)
        if self._hierarchy is not None:
            run.group = self._hierarchy.create(self._node_id, run.job.id)

    def _create(self, run: _Running, loaded: _Loaded, argv: tuple[str, ...]) -> str:
        job, limits = run.job, run.job.limits
        binds = [(INPUT_MOUNT, job.input_dir), (ASSETS_MOUNT, job.assets_dir), (PROOF_MOUNT, job.proof_dir)]
        volumes = [Mount(at, str(path), type="bind", read_only=True) for at, path in binds if path is not None]
        if run.stage is not None:
            volumes.append(Mount(OUTPUT_MOUNT, str(run.stage.path), type="bind"))
        container = self._api.create_container(
            loaded.id,
            entrypoint=list(argv),
            name=run.name,
            hostname="proofmill",
            user=self._user,
            working_dir=loaded.config.working_dir,
            environment=loaded.config.environment(job.env),
            labels={_NODE_LABEL: self._node_id, _JOB_LABEL: job.id},
            host_config=self._api.create_host_config(
                mounts=volumes,
                network_mode="none",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                ipc_mode="private",
                pids_limit=limits.pids,
                mem_limit=limits.memory_bytes,
                memswap_limit=limits.memory_bytes,
                cpu_period=_PERIOD_US,
                cpu_quota=max(limits.cpu_millis * _PERIOD_US // 1000, 1000),
                tmpfs={"/tmp": f"size={limits.tmp_bytes},mode=1777,nosuid,nodev,exec"},  # noqa: S108
                ulimits=self._ulimits(limits),
                log_config=LogConfig(type="none"),
                cgroup_parent=f"/{cgroup.ROOT_NAME}/{self._node_id}/{job.id}" if run.group is not None else None,
                device_requests=[DeviceRequest(device_ids=list(run.gpus), capabilities=[["gpu"]])]
                if run.gpus
                else None,
            ),
        )
        return str(container["Id"])

    def _ulimits(self, limits: Limits) -> list[Ulimit]:
        ulimits = [Ulimit(name="core", soft=0, hard=0)]
        if not self._own_file_systems:
            ulimits.append(Ulimit(name="fsize", soft=largest_file(limits), hard=largest_file(limits)))
        return ulimits

    def _attach(self, run: _Running, container: str) -> IO[bytes]:
        attached = self._api.attach_socket(container, params={"stdout": 1, "stderr": 1, "stream": 1})
        run.attached = cast(IO[bytes], attached)
        return run.attached

    def _not_started(self, run: _Running, error: APIError) -> Outcome:
        said = _explain(error)
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

    async def _watch(self, run: _Running, waiting: asyncio.Future[Any]) -> None:
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
        with contextlib.suppress(*_EngineErrors):  # it has just ended by itself
            self._api.kill(container)

    def _measure(self, container: str, usage: _Usage) -> None:
        """Follow the engine's measurements, about one a second, until the container ends."""
        with contextlib.suppress(*_EngineErrors):
            samples: Iterator[dict[str, Any]] = self._api.stats(container, decode=True, stream=True)
            for sample in samples:
                cpu = sample.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0)
                memory = sample.get("memory_stats", {})
                usage.cpu_ms = max(usage.cpu_ms, cpu // 1_000_000)
                seen = memory.get("max_usage") or memory.get("usage") or 0
                usage.peak_memory_bytes = max(usage.peak_memory_bytes, seen)
                if not memory:
                    break

    async def _release(self, run: _Running) -> None:
        pending = True
        while pending:
            # A container that is still being made can only be removed once it is there.
            pending = not all(call.done() for call in run.calls)
            with contextlib.suppress(*_EngineErrors):
                await self._in_thread(self._remove, run.name)
            if run.attached is not None:
                _hang_up(run.attached)
            if pending:
                await asyncio.wait(run.calls, timeout=_POLL_S)
        if run.attached is not None:
            _disconnect(run.attached)
        if self._hierarchy is not None:
            await cgroup.destroy(self._hierarchy, self._node_id, run.job.id)
        await asyncio.to_thread(remove_home, run.home)
        self._gpus.give_back(run.gpus)
        del self._active[run.job.id]
        run.released.set()

    def _remove(self, container: str) -> None:
        with contextlib.suppress(NotFound):
            self._api.remove_container(container, force=True, v=True)

    def _begin(self, run: _Running, function: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        """Start a call for ``run``, which is not released before it has ended."""
        call = asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments))
        run.calls.append(call)
        return call

    async def _call(self, run: _Running, function: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.shield(self._begin(run, function, *arguments))

    async def _in_thread(self, function: Callable[..., _T], *arguments: object, **named: object) -> _T:
        call = partial(function, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _default_url() -> str:
    """The socket of the engine that this machine has; Docker's where it has none, for the error message."""
    return f"unix://{next((path for path in _SOCKETS if path.is_socket()), _SOCKETS[0])}"


def _knock(url: str) -> None:
    """Raise :class:`OSError` unless something accepts connections at ``url``."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(url.removeprefix("unix://"))


def _read_frames(attached: IO[bytes], stdout: LogBuffer, stderr: LogBuffer) -> None:
    """Read a container's streams to their end, so that it never waits for us."""
    for stream, data in frames_iter(attached, tty=False):
        (stdout if stream == STDOUT else stderr).feed(data)


def _disconnect(attached: IO[bytes]) -> None:
    # The SDK hangs the response on the socket object; only closing it closes the connection.
    cast(requests.Response, vars(attached)["_response"]).close()


def _hang_up(attached: IO[bytes]) -> None:
    """End the connection under a reader that may be waiting on it: closing alone wouldn't wake it."""
    with (
        contextlib.suppress(OSError),  # it has ended already
        socket.socket(fileno=os.dup(attached.fileno())) as connection,
    ):
        connection.shutdown(socket.SHUT_RDWR)


def _elapsed_ms(state: dict[str, Any]) -> int:
    started, finished = (datetime.fromisoformat(state[key]) for key in ("StartedAt", "FinishedAt"))
    return max(int((finished - started).total_seconds() * 1000), 0)


def _explain(error: Exception) -> str:
    return str(error.explanation) if isinstance(error, APIError) and error.explanation else str(error)
