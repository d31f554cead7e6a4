"""The sandbox runner: the container contract by bubblewrap's namespaces, a control group and resource limits.

As root, the program runs as a user of its own (65532) and its output is a file system of its own; as an
ordinary user it runs as that user, inside a user namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prover_node.runner import cgroup, gpu_driver, mounts
from prover_node.runner.base import (
    CONTAINER_UID,
    NICENESS,
    Job,
    Limits,
    Outcome,
    Reason,
    RunnerError,
    Use,
    open_files_limit,
)
from prover_node.runner.bwrap import OWN_PROCESSES, Bubblewrap, Directories, options_file
from prover_node.runner.ending import Ending, call_at_deadline, conclude, failed
from prover_node.runner.gpu_driver import Driver
from prover_node.runner.gpus import Gpu, GpuPool, GpuWatch, discover, lost_gpu, too_few_gpus
from prover_node.runner.image_store import IMAGE_BYTES, ImageStore, UnpackedImage
from prover_node.runner.images import ImageError
from prover_node.runner.logs import LogBuffer
from prover_node.runner.output import OutputStage, largest_file, remove_home
from prover_node.runner.scope import CONTROLLERS, ScopedJob, UserScopes
from prover_node.runner.seccomp import seccomp_filter

_RUNTIME_ROOT = Path("/run/proofmill")
_POLL_S = 0.2
_CHUNK = 1 << 16
_NO_PROGRAM = "/no-program"
_TOO_LARGE_EXIT = 128 + signal.SIGXFSZ
# Joins every control group named before "--", then becomes what follows it.
_JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; exec "$@"'


@dataclass
class _Running:
    """A job's run: what it holds, how to stop it, and why it was stopped."""

    job: Job
    home: Path
    on_start: Callable[[], None] | None
    gpus: tuple[Gpu, ...] = ()
    stage: OutputStage | None = None
    group: cgroup.Cgroup | None = None
    scope: ScopedJob | None = None
    process: asyncio.subprocess.Process | None = None
    init: int | None = None  # pidfd of the sandbox's init
    stopped: Reason | None = None
    fault: str = ""
    loading: asyncio.Task[UnpackedImage] | None = None
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def load(self, images: ImageStore) -> asyncio.Task[UnpackedImage]:
        """Get hold of the unpacked image, until the run is released."""
        use = images.use(self.job.image, self.job.image_sha256)
        self.loading = asyncio.create_task(asyncio.to_thread(self.held.enter_context, use))
        return self.loading

    def stop(self, reason: Reason) -> None:
        """Kill everything in the sandbox; the first reason counts."""
        self.stopped = self.stopped or reason
        # With its init the whole pid namespace dies before bubblewrap ends; bubblewrap itself is
        # killed only while there is no init yet.
        if self.init is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.init, signal.SIGKILL)
            if self.group is not None:
                self.group.release_cpu()
        elif self.process is not None and self.process.returncode is None:
            self.process.kill()

    def fail(self, fault: str) -> None:
        """Stop because of what this machine did."""
        self.fault = fault
        self.stop(Reason.RUNNER_ERROR)

    def started(self, init: int) -> None:
        """The sandbox's init has the process id ``init``."""
        with contextlib.suppress(ProcessLookupError):
            self.init = os.pidfd_open(init)
        if self.stopped is not None:
            self.stop(self.stopped)
        elif self.on_start is not None:
            self.on_start()


@dataclass(frozen=True)
class _Ended:
    exit_code: int | None
    wall_ms: int
    gpu_ms: int
    stdout: bytes
    stderr: bytes


class SandboxRunner:
    """See :class:`prover_node.runner.base.Runner`; made by :meth:`start`."""

    name = "sandbox"

    def __init__(
        self,
        node_id: str,
        state_dir: Path,
        bubblewrap: Bubblewrap,
        *,
        gpus: tuple[Gpu, ...],
        driver: Driver | None,
        image_bytes: int,
    ) -> None:
        self._node_id = node_id
        self._bubblewrap = bubblewrap
        self._driver = driver
        self.gpu_obstacle = gpu_driver.NO_DRIVER if gpus and driver is None else ""
        self._gpus = GpuPool(() if self.gpu_obstacle else gpus)
        self._privileged = os.geteuid() == 0
        self._hierarchy = cgroup.detect()
        self._scopes: UserScopes | None = None
        self._images = ImageStore(state_dir / "images", max_bytes=image_bytes)
        # As root, the sandboxed user has to reach the mounts, whatever lies above the state directory.
        self._home = _RUNTIME_ROOT / node_id if self._privileged else state_dir / "sandboxes"
        self._home.mkdir(parents=True, exist_ok=True)
        self._home.chmod(0o711 if self._privileged else 0o700)
        if self._privileged:
            _RUNTIME_ROOT.chmod(0o711)  # whatever our umask is
        self._active: dict[str, _Running] = {}

    @classmethod
    async def start(
        cls,
        node_id: str,
        state_dir: Path,
        *,
        bwrap: Path | None = None,
        gpus: tuple[Gpu, ...] | None = None,
        driver: Driver | None = None,
        image_bytes: int = IMAGE_BYTES,
    ) -> SandboxRunner:
        """A runner that has shown that it works here, with ``bwrap`` or the one on PATH.

        ``gpus`` are those to hand out, by default all of this machine, and ``driver`` is by default what the
        machine's linker finds. Unpacked images take ``image_bytes`` at most. :class:`RunnerError` says why it
        doesn't work.
        """
        bubblewrap = await asyncio.to_thread(Bubblewrap.find, bwrap)
        for tool in ("setpriv", "prlimit"):
            if shutil.which(tool) is None:
                raise RunnerError(f"the sandbox runner needs {tool} on PATH: install util-linux")
        if os.geteuid() == 0 and not mounts.can_mount():
            raise RunnerError(
                "the sandbox runner may not mount file systems although it runs as root: "
                "run it as an ordinary user, or with CAP_SYS_ADMIN"
            )
        gpus = discover() if gpus is None else gpus
        if gpus and driver is None:
            driver = await asyncio.to_thread(Driver.find)
        runner = cls(node_id, state_dir, bubblewrap, gpus=gpus, driver=driver, image_bytes=image_bytes)
        await runner._probe()
        if not runner._privileged:
            runner._scopes = await UserScopes.detect()
        return runner

    @property
    def gpus(self) -> int:
        """See :attr:`Runner.gpus`."""
        return self._gpus.total

    def unenforced(self) -> tuple[str, ...]:
        """See :meth:`Runner.unenforced`."""
        ungrouped = {
            "memory": "The limit on memory holds for each process, not for a job's processes together, {why}.",
            "cpu": "The limit on cpu isn't enforced, {why}.",
            "pids": "The limit on processes holds for the user, not for each job, {why}.",
        }
        why = "because this process can't make control groups for it"
        grouped = self._controllers()
        sentences = [text.format(why=why) for name, text in ungrouped.items() if name not in grouped]
        if not self._privileged:
            sentences.append(
                "The output isn't a file system of its own, because only root may mount one: "
                "each file is bounded, and the whole is measured five times a second."
            )
        if not self._bubblewrap.can_disable_userns:
            sentences.append("Programs may make user namespaces, because this bubblewrap is older than 0.8.")
        return tuple(sentences)

    async def run(self, job: Job, *, on_start: Callable[[], None] | None = None) -> Outcome:
        """See :meth:`Runner.run`."""
        if job.id in self._active:
            return failed(Reason.RUNNER_ERROR, f"a job {job.id} is already running")
        gpus = self._gpus.take(job.limits.gpus)
        if gpus is None:
            return failed(Reason.RUNNER_ERROR, too_few_gpus(job.limits.gpus, self))
        run = self._active[job.id] = _Running(job, self._home / job.id, on_start, gpus)
        deadline = call_at_deadline(job, run.stop)
        try:
            image = await asyncio.shield(run.load(self._images))
            if run.stopped is not None:
                return failed(run.stopped, "the job was stopped before it began")
            argv = image.config.argv(job.command)
            return await self._conclude(run, await self._execute(run, image, self._prepare(run, image), argv))
        except ImageError as error:
            return failed(Reason.IMAGE_UNUSABLE, str(error))
        except OSError as error:
            return failed(Reason.RUNNER_ERROR, f"the sandbox can't be prepared: {error}")
        finally:
            deadline.cancel()
            await asyncio.shield(asyncio.create_task(self._release(run)))

    def uses(self) -> Mapping[str, Use]:
        return {
            job_id: cgroup.use_of(run.group, (gpu.number for gpu in run.gpus))
            for job_id, run in self._active.items()
            if run.process is not None
        }

    async def prepare(self, image: Path, image_sha256: str) -> None:
        """See :meth:`Runner.prepare`."""

        def unpack() -> None:
            with self._images.use(image, image_sha256):
                pass

        try:
            await asyncio.to_thread(unpack)
        except (ImageError, OSError) as error:
            raise RunnerError(str(error)) from error

    def keep_images(self, sha256s: Collection[str]) -> None:
        """See :meth:`Runner.keep_images`."""
        self._images.keep(sha256s)

    def survivors(self) -> Mapping[str, str]:
        """None: a sandbox dies with the process that started it. See :meth:`Runner.survivors`."""
        return {}

    async def discard_survivors(self, works: Collection[str]) -> None:
        """There are none. See :meth:`Runner.discard_survivors`."""

    def leave_running(self) -> None:
        """Not possible here. See :meth:`Runner.leave_running`."""

    async def cancel(self, job_id: str) -> None:
        """See :meth:`Runner.cancel`."""
        if job_id in self._active:
            self._active[job_id].stop(Reason.CANCELLED)

    async def cleanup_orphans(self) -> list[str]:
        """See :meth:`Runner.cleanup_orphans`."""
        groups = cgroup.jobs(self._hierarchy, self._node_id) if self._hierarchy else set()
        homes = {path.name for path in self._home.iterdir()}
        orphans = sorted((groups | homes) - set(self._active))
        for job in orphans:
            if self._hierarchy is not None:
                await cgroup.destroy(self._hierarchy, self._node_id, job)
            await asyncio.to_thread(remove_home, self._home / job)
        return orphans

    async def close(self) -> None:
        """See :meth:`Runner.close`."""
        running = list(self._active.values())
        for run in running:
            run.stop(Reason.CANCELLED)
        for run in running:
            await run.released.wait()
        if self._hierarchy is not None:
            cgroup.forget(self._hierarchy, self._node_id)
        with contextlib.suppress(OSError):  # what an earlier process left is for cleanup_orphans
            self._home.rmdir()

    async def _probe(self) -> None:
        """Make a sandbox around nothing: it has worked if all that fails is to find a program in it."""
        rootfs = self._home / f"probe-{secrets.token_hex(8)}" / "rootfs"
        for mount_point in ("proc", "dev", "tmp"):
            (rootfs / mount_point).mkdir(parents=True)
        for directory in (rootfs.parent, rootfs):
            directory.chmod(0o755)
        options = options_file(self._bubblewrap.options(rootfs, tmp_bytes=1 << 20))
        try:
            process = await asyncio.create_subprocess_exec(
                *self._launcher(None, None, None),
                *self._bubblewrap.command(options, [_NO_PROGRAM]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=[options],
            )
            _, stderr = await process.communicate()
        finally:
            os.close(options)
            shutil.rmtree(rootfs.parent)
        said = stderr.decode(errors="replace").strip()
        if not said.startswith(f"bwrap: execvp {_NO_PROGRAM}:"):
            raise RunnerError(
                f"bubblewrap doesn't work here: {said} (it needs user namespaces for ordinary users: see the sysctls "
                "user.max_user_namespaces and, where they exist, kernel.unprivileged_userns_clone and "
                "kernel.apparmor_restrict_unprivileged_userns)"
            )

    def _prepare(self, run: _Running, image: UnpackedImage) -> Directories:
        """Make the directories, mounts and control group of a job; ``run`` records each at once."""
        job = run.job
        run.home.mkdir()
        if self._privileged:
            os.chown(run.home, 0, CONTAINER_UID)
            run.home.chmod(0o710)
        if job.output_dir is not None:
            run.stage = OutputStage.make(run.home, job.limits, own_file_system=self._privileged)
        if self._hierarchy is not None:
            run.group = self._hierarchy.create(self._node_id, job.id)
            run.group.limit(job.limits, extra_pids=OWN_PROCESSES, devices=gpu_driver.device_files(run.gpus))
        elif self._scopes is not None:
            run.scope = self._scopes.job(self._node_id, job.id, job.limits, extra_pids=OWN_PROCESSES)
        return Directories(
            rootfs=self._reachable(run, image.rootfs, "rootfs"),
            input=self._reachable(run, job.input_dir, "input"),
            assets=self._reachable(run, job.assets_dir, "assets") if job.assets_dir else None,
            proof=self._reachable(run, job.proof_dir, "proof") if job.proof_dir else None,
            output=run.stage.path if run.stage else None,
        )

    def _reachable(self, run: _Running, source: Path, name: str) -> Path:
        """``source`` at a path that the sandboxed user can walk to."""
        if not self._privileged:
            return source
        target = run.home / name
        target.mkdir()
        mounts.bind(source, target)
        return target

    async def _execute(
        self, run: _Running, image: UnpackedImage, directories: Directories, argv: tuple[str, ...]
    ) -> _Ended:
        limits = run.job.limits
        status_read, status_write = os.pipe()
        seccomp = _seccomp_fd()
        options = options_file(
            self._bubblewrap.job_options(
                directories,
                tmp_bytes=limits.tmp_bytes,
                environment=gpu_driver.environment(run.gpus, image.config.environment(run.job.env)),
                working_dir=image.config.working_dir,
                status_fd=status_write,
                seccomp_fd=seccomp,
                devices=gpu_driver.arguments(run.gpus, self._driver),
            )
        )
        notes = run.scope.fd if run.scope else None
        inherited = [fd for fd in (status_write, options, seccomp, notes) if fd is not None]
        try:
            started = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *self._launcher(limits, run.group, run.scope),
                *self._bubblewrap.command(options, argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=inherited,
            )
        except BaseException:
            os.close(status_read)
            raise
        finally:
            for descriptor in (status_write, options, *([] if seccomp is None else [seccomp])):
                os.close(descriptor)
        run.process = process
        try:
            return await self._watch(run, process, status_read, started)
        finally:
            # Still running only when the awaiting task was cancelled.
            if process.returncode is None:
                run.stop(Reason.CANCELLED)
            await process.wait()

    async def _watch(
        self, run: _Running, process: asyncio.subprocess.Process, status_read: int, started: float
    ) -> _Ended:
        if process.stdout is None or process.stderr is None:
            raise OSError("the sandbox's output pipes are missing")
        limits = run.job.limits
        stdout, stderr = LogBuffer(limits.log_bytes), LogBuffer(limits.log_bytes)
        timer = asyncio.get_running_loop().call_later(limits.time_limit_s, run.stop, Reason.TIME_LIMIT)
        if run.stopped is not None:  # while the process was being made
            run.stop(run.stopped)
        meter = None
        if run.stage is not None and not self._privileged:
            meter = asyncio.create_task(_bound_output(run, run.stage))
        watch = GpuWatch(run.gpus)
        watching = asyncio.create_task(watch.follow(run.fail))
        try:
            exit_code, *_ = await asyncio.gather(
                _read_status(status_read, run),
                _drain(process.stdout, stdout),
                _drain(process.stderr, stderr),
                process.wait(),
            )
        finally:
            timer.cancel()
            if meter is not None:
                meter.cancel()
            watching.cancel()
            await asyncio.wait([watching])
        wall_ms = int((time.monotonic() - started) * 1000)
        return _Ended(exit_code, wall_ms, watch.busy_ms, stdout.value(), stderr.value())

    async def _conclude(self, run: _Running, ended: _Ended) -> Outcome:
        measured = run.group or run.scope
        usage = measured.usage() if measured is not None else cgroup.Usage(0, 0, out_of_memory=False)
        unusable = error = None
        if ended.exit_code is None:
            said = ended.stderr.decode(errors="replace").strip().removeprefix("bwrap: ")
            if said.startswith("execvp "):
                unusable = said.removeprefix("execvp ")
            else:
                error = f"the sandbox couldn't be started: {said}"
        ending = Ending(
            exit_code=ended.exit_code,
            stopped=run.stopped,
            out_of_memory=usage.out_of_memory,
            file_too_large=not self._privileged and ended.exit_code == _TOO_LARGE_EXIT,
            not_executable=unusable,
            error=error,
            fault=run.fault or (lost_gpu(run.gpus) if ended.exit_code != 0 else ""),
            wall_ms=ended.wall_ms,
            cpu_ms=usage.cpu_ms,
            peak_memory_bytes=usage.peak_memory_bytes,
            gpu_ms=ended.gpu_ms,
            stdout=ended.stdout,
            stderr=ended.stderr,
        )
        return await conclude(ending, run.job, run.stage)

    async def _release(self, run: _Running) -> None:
        if run.init is not None:
            # A program may trace the sandbox's init, and keep it from ending with bubblewrap.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(run.init, signal.SIGKILL)
        if self._hierarchy is not None:
            await cgroup.destroy(self._hierarchy, self._node_id, run.job.id)
        if run.scope is not None:
            run.scope.close()
        if run.init is not None:
            os.close(run.init)
            run.init = None
        await asyncio.to_thread(remove_home, run.home)
        if run.loading is not None:
            await asyncio.gather(run.loading, return_exceptions=True)
        run.held.close()
        self._gpus.give_back(run.gpus)
        del self._active[run.job.id]
        run.released.set()

    def _controllers(self) -> frozenset[str]:
        """The limits that control groups keep here."""
        if self._hierarchy is not None:
            return frozenset(CONTROLLERS)
        return self._scopes.controllers if self._scopes is not None else frozenset()

    def _launcher(self, limits: Limits | None, group: cgroup.Cgroup | None, scope: ScopedJob | None) -> list[str]:
        """What runs before bubblewrap: join the control group, drop root, set resource limits."""
        command: list[str] = []
        if scope is not None:
            command += scope.launcher()
        if group is not None:
            files = [str(directory / "cgroup.procs") for directory in group.directories]
            command += ["/bin/sh", "-c", _JOIN, "sh", *files, "--"]
        if self._privileged:
            identity = str(CONTAINER_UID)
            command += ["setpriv", f"--reuid={identity}", f"--regid={identity}", "--clear-groups", "--"]
        return [*command, "nice", "-n", str(NICENESS), "prlimit", *self._resource_limits(limits), "--"]

    def _resource_limits(self, limits: Limits | None) -> list[str]:
        """Limits by process and by user: little, where there are control groups."""
        # With 0, a handler that the kernel pipes core dumps to would still get them; 1 byte is too little for either.
        options = ["--core=1", f"--nofile={open_files_limit()}"]
        if limits is None:
            return options
        grouped = self._controllers()
        if "memory" not in grouped:
            options.append(f"--data={limits.memory_bytes}")
        if "pids" not in grouped:
            options.append(f"--nproc={self._processes() + limits.pids + OWN_PROCESSES}")
        if not self._privileged:
            options.append(f"--fsize={largest_file(limits)}")
        return options

    def _processes(self) -> int:
        """How many processes the sandboxed user has now: the kernel counts them all against its limit."""
        uid = CONTAINER_UID if self._privileged else os.geteuid()
        count = 0
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                count += entry.name.isdigit() and entry.stat().st_uid == uid
        return count


def _seccomp_fd() -> int | None:
    program = seccomp_filter()
    if program is None:
        return None
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    os.write(descriptor, program)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


async def _read_status(descriptor: int, run: _Running) -> int | None:
    """Follow bubblewrap's status lines; the program's exit code, or ``None`` if it never ran."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    exit_code: int | None = None
    try:
        async for line in reader:
            status = json.loads(line)
            if "child-pid" in status:
                run.started(status["child-pid"])
            exit_code = status.get("exit-code", exit_code)
    finally:
        transport.close()
    return exit_code


async def _drain(stream: asyncio.StreamReader, log: LogBuffer) -> None:
    while data := await stream.read(_CHUNK):
        log.feed(data)


async def _bound_output(run: _Running, stage: OutputStage) -> None:
    while True:
        await asyncio.sleep(_POLL_S)
        if await asyncio.to_thread(stage.exceeded):
            run.stop(Reason.OUTPUT_LIMIT)
