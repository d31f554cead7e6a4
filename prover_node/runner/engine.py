"""A Docker engine, or Podman's Docker-compatible socket, through the Docker SDK: the only file that imports it.

Every call blocks, and may be made from any thread. The SDK's errors leave as :class:`EngineError`.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar, cast

import requests
from docker import APIClient
from docker.errors import APIError, DockerException, NotFound
from docker.types import DeviceRequest, LogConfig, Mount, Ulimit
from docker.utils.socket import STDOUT, frames_iter
from urllib3.exceptions import ReadTimeoutError

from prover_node.runner.base import CPU_WEIGHT, SHARED_MEMORY_BYTES, Limits, open_files_limit
from prover_node.runner.engine_image import EngineImage
from prover_node.runner.logs import LogBuffer

MAX_CONNECTIONS = 256
NO_DEVICE_DRIVER = "could not select device driver"
"""What the engine says of a container with GPUs where nothing can give it any."""

_SOCKETS = (Path("/var/run/docker.sock"), Path("/run/podman/podman.sock"))
_PERIOD_US = 100_000
_USUAL_SHARES = 1024
_PROBE_IMAGE = "proofmill-probe"
_CONFLICT = 409
_GOOD_FILTER_MAJOR = 25
_STARTED_STATES = ("running", "exited", "stopped")
_WAIT_S = 2

_P = ParamSpec("_P")
_T = TypeVar("_T")


class EngineError(Exception):
    """The engine refused or failed; the message is what it said."""


@dataclass(frozen=True)
class Facts:
    """What an engine says about itself: limits that it ``lacks``, by their names in this module's answers."""

    linux: bool
    rootless: bool
    weak_filter: bool
    """Its default seccomp profile may let programs reach the host by AF_VSOCK or use io_uring."""
    filters_by_path: bool
    """It takes a seccomp profile as the name of a file, as Podman does, and not its text."""
    cgroup_driver: str
    lacks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container to make. ``mounts``: target, source on this machine, whether the program may write."""

    name: str
    image: str
    argv: tuple[str, ...]
    user: str
    working_dir: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    mounts: tuple[tuple[str, Path, bool], ...]
    limits: Limits
    largest_file: int | None
    gpus: tuple[str, ...]
    """Ids of the devices."""
    cgroup_parent: str | None
    seccomp: str | None
    """A profile, as the engine takes it, or ``None`` for its own default."""


@dataclass(frozen=True)
class Found:
    """A container that is there; ``started`` also if it has ended."""

    id: str
    labels: Mapping[str, str]
    started: bool


@dataclass(frozen=True)
class Ended:
    """How a container ended, by the engine's own clock."""

    out_of_memory: bool
    wall_ms: int


@dataclass
class Measured:
    """The engine's last measurement of a container."""

    cpu_ms: int = 0
    memory_bytes: int = 0
    peak_memory_bytes: int = 0


def _engine_errors(function: Callable[_P, _T]) -> Callable[_P, _T]:
    @functools.wraps(function)
    def wrapped(*arguments: _P.args, **named: _P.kwargs) -> _T:
        try:
            return function(*arguments, **named)
        except (DockerException, requests.RequestException, OSError) as error:
            explanation = error.explanation if isinstance(error, APIError) else None
            raise EngineError(str(explanation or error)) from error

    return wrapped


class Attached:
    """The connection that carries a container's standard output and error."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    @_engine_errors
    def read(self, stdout: LogBuffer, stderr: LogBuffer) -> None:
        """Read both to their end, so that the program never waits for us."""
        for stream, data in frames_iter(self._stream, tty=False):
            (stdout if stream == STDOUT else stderr).feed(data)

    def hang_up(self) -> None:
        """End the connection under a reader that may be waiting on it: closing alone wouldn't wake it."""
        with (
            contextlib.suppress(OSError),  # it has ended already
            socket.socket(fileno=os.dup(self._stream.fileno())) as connection,
        ):
            connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; nobody may be reading any more."""
        # The SDK hangs the response on the socket object; only closing it closes the connection.
        cast(requests.Response, vars(self._stream)["_response"]).close()


class Engine:
    """A connected engine."""

    @_engine_errors
    def __init__(self, url: str) -> None:
        # Asked first because the SDK leaks the socket of an attempt that fails.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(url.removeprefix("unix://"))
        # Attached streams keep their connections.
        self._api = APIClient(url, version="auto", max_pool_size=MAX_CONNECTIONS)

    def close(self) -> None:
        """Close all connections."""
        self._api.close()

    @_engine_errors
    def facts(self) -> Facts:
        """What it can do."""
        info: dict[str, Any] = self._api.info()
        version: dict[str, Any] = self._api.version()
        components = {component["Name"] for component in version.get("Components") or ()}
        limits = {"MemoryLimit": "memory", "CpuCfsQuota": "cpu", "PidsLimit": "processes"}
        return Facts(
            linux=info.get("OSType") == "linux",
            weak_filter=not ("Engine" in components and _is_recent(str(version.get("Version")))),
            filters_by_path="Podman Engine" in components,
            rootless=any("name=rootless" in option for option in info.get("SecurityOptions") or ()),
            cgroup_driver=str(info.get("CgroupDriver")),
            lacks=tuple(name for key, name in limits.items() if not info.get(key)),
        )

    @_engine_errors
    def sees(self, directory: Path, file: str, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a container called ``name`` would find ``file`` in ``directory``."""
        mount = Mount("/mnt", str(directory), type="bind", read_only=True)
        with self._probe(name, labels, mounts=[mount]):
            try:
                stream, _ = self._api.get_archive(name, f"/mnt/{file}")
                for _ in stream:
                    pass
            except NotFound:
                return False
        return True

    @_engine_errors
    def gives_gpus(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a container called ``name`` could have GPUs."""
        with self._probe(name, labels, device_requests=[DeviceRequest(count=-1, capabilities=[["gpu"]])]):
            try:
                self._api.start(name)
            except APIError as error:
                # With GPUs, what fails is to find a program in an empty image.
                return NO_DEVICE_DRIVER not in str(error.explanation)
        return True

    @contextlib.contextmanager
    def _probe(self, name: str, labels: Mapping[str, str], **host: Any) -> Iterator[None]:
        """A container of an empty image, for as long as the block lasts."""
        layer = io.BytesIO()
        tarfile.open(fileobj=layer, mode="w").close()
        self._api.import_image_from_data(layer.getvalue(), repository=_PROBE_IMAGE)
        try:
            self._api.create_container(
                _PROBE_IMAGE,
                command=["none"],
                name=name,
                labels=dict(labels),
                host_config=self._api.create_host_config(network_mode="none", **host),
            )
            yield
        finally:
            self.remove(name)

    @_engine_errors
    def find_image(self, image: EngineImage) -> str | None:
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

    @_engine_errors
    def load_image(self, archive: Iterator[bytes]) -> str | None:
        """Load a docker-archive; what the engine has against it, if anything."""
        errors = [line["error"] for line in self._api.load_image(archive) if "error" in line]
        return str(errors[0]) if errors else None

    @_engine_errors
    def tagged_images(self, repository: str) -> dict[str, int]:
        """The size in bytes of each image that has a tag in ``repository``, by the tag's last part."""
        found: dict[str, int] = {}
        for image in self._api.images(name=repository):
            for tag in image["RepoTags"] or ():
                name, _, last = tag.rpartition(":")
                if name.endswith(repository):
                    found[last] = int(image["Size"])
        return found

    @_engine_errors
    def tag_image(self, image: str, repository: str, tag: str) -> None:
        """Give the image a name; nothing happens if it has it already."""
        self._api.tag(image, repository, tag, force=True)

    @_engine_errors
    def remove_image(self, tag: str) -> bool:
        """Take the tag away, and the image if nobody else names it; whether it is gone, for a container may use it."""
        try:
            self._api.remove_image(tag)
        except NotFound:
            return True
        except APIError as error:
            if error.status_code == _CONFLICT:
                return False
            raise
        return True

    @_engine_errors
    def containers(self, label: str) -> list[Found]:
        """All containers, running or not, that have ``label``."""
        found = self._api.containers(all=True, filters={"label": label})
        return [Found(one["Id"], one["Labels"], one["State"] in _STARTED_STATES) for one in found]

    @_engine_errors
    def create(self, container: Container) -> None:
        """Make a container under the contract of protocol §4, without starting it."""
        limits = container.limits
        # Should no node be there to stop it, a program that computes ends by itself.
        cpu_s = 60 + limits.time_limit_s * (1 + limits.cpu_millis // 1000)
        # With 0 for core, a handler that the kernel pipes dumps to would get them; 1 byte is too little for either.
        maxima = {"core": 1, "cpu": cpu_s, "nofile": open_files_limit()}
        if container.largest_file is not None:
            maxima["fsize"] = container.largest_file
        ulimits = [Ulimit(name=name, soft=value, hard=value) for name, value in maxima.items()]
        gpus = [DeviceRequest(device_ids=list(container.gpus), capabilities=[["gpu"]])] if container.gpus else None
        self._api.create_container(
            container.image,
            entrypoint=list(container.argv),
            name=container.name,
            hostname="proofmill",
            user=container.user,
            working_dir=container.working_dir,
            environment=dict(container.environment),
            labels=dict(container.labels),
            host_config=self._api.create_host_config(
                mounts=[
                    Mount(target, str(source), type="bind", read_only=not writable)
                    for target, source, writable in container.mounts
                ],
                network_mode="none",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges", *([f"seccomp={container.seccomp}"] if container.seccomp else [])],
                ipc_mode="private",
                shm_size=SHARED_MEMORY_BYTES,
                pids_limit=limits.pids,
                mem_limit=limits.memory_bytes,
                memswap_limit=limits.memory_bytes,
                cpu_shares=CPU_WEIGHT * _USUAL_SHARES // 100,
                cpu_period=_PERIOD_US,
                cpu_quota=max(limits.cpu_millis * _PERIOD_US // 1000, 1000),
                tmpfs={"/tmp": f"size={limits.tmp_bytes},mode=1777,nosuid,nodev,exec"},  # noqa: S108
                ulimits=ulimits,
                # The streams are read as they come; a log would fill the engine's disk.
                log_config=LogConfig(type="none"),
                cgroup_parent=container.cgroup_parent,
                device_requests=gpus,
            ),
        )

    @_engine_errors
    def attach(self, name: str) -> Attached:
        """Connect to the streams of a container that isn't started yet."""
        stream = self._api.attach_socket(name, params={"stdout": 1, "stderr": 1, "stream": 1})
        return Attached(cast(IO[bytes], stream))

    @_engine_errors
    def start(self, name: str) -> None:
        """Start the container."""
        self._api.start(name)

    @_engine_errors
    def running_s(self, name: str) -> float | None:
        """How long the started container has been running by now; ``None`` if it has ended."""
        state = self._api.inspect_container(name)["State"]
        if not state["Running"]:
            return None
        return (datetime.now(UTC) - datetime.fromisoformat(state["StartedAt"])).total_seconds()

    @_engine_errors
    def wait(self, name: str, timeout_s: float, give_up: threading.Event) -> int | None:
        """Wait until the container has ended; its exit code, or ``None`` if we were told to give up."""
        deadline = time.monotonic() + timeout_s
        while not give_up.is_set():
            # In slices, because a request under way can't be given up; Podman looks every few seconds only.
            try:
                return int(self._api.wait(name, timeout=_WAIT_S)["StatusCode"])
            except requests.RequestException as error:
                if not _timed_out(error) or time.monotonic() > deadline:
                    raise
            state = self._api.inspect_container(name)["State"]
            if not state["Running"]:
                return int(state["ExitCode"])
        return None

    @_engine_errors
    def ended(self, name: str) -> Ended:
        """How the container, which is there still, ended."""
        state = self._api.inspect_container(name)["State"]
        started, finished = (datetime.fromisoformat(state[key]) for key in ("StartedAt", "FinishedAt"))
        wall_ms = max(int((finished - started).total_seconds() * 1000), 0)
        return Ended(out_of_memory=bool(state["OOMKilled"]), wall_ms=wall_ms)

    @_engine_errors
    def measure(self, name: str, measured: Measured, give_up: threading.Event) -> None:
        """Follow the engine's measurements, about one a second, until the container ends or we are told to give up."""
        samples: Iterator[dict[str, Any]] = self._api.stats(name, decode=True, stream=True)
        for sample in samples:
            memory = sample.get("memory_stats")
            if not memory or give_up.is_set():
                break
            cpu = sample.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0)
            seen = memory.get("max_usage") or memory.get("usage") or 0
            measured.cpu_ms = max(measured.cpu_ms, cpu // 1_000_000)
            measured.memory_bytes = memory.get("usage") or 0
            measured.peak_memory_bytes = max(measured.peak_memory_bytes, seen)

    @_engine_errors
    def kill(self, name: str) -> None:
        """Kill the container; :class:`EngineError` if it isn't running (any more)."""
        # Hundreds of processes need much cpu time to die: under a low limit that could take minutes.
        with contextlib.suppress(APIError):
            self._api.update_container(name, cpu_quota=-1)
        self._api.kill(name)

    @_engine_errors
    def remove(self, name: str) -> None:
        """Kill and remove the container, if there is one."""
        with contextlib.suppress(NotFound):
            self._api.remove_container(name, force=True, v=True)


def _is_recent(version: str) -> bool:
    """Whether Docker's default profile refuses AF_VSOCK (since 23.0) and io_uring (since 25.0)."""
    major = version.partition(".")[0]
    return major.isdigit() and int(major) >= _GOOD_FILTER_MAJOR


def _timed_out(error: requests.RequestException) -> bool:
    """Whether the engine just hadn't answered yet; while a body is read, that comes as a connection's error."""
    return isinstance(error, requests.Timeout) or any(isinstance(part, ReadTimeoutError) for part in error.args)


def default_url() -> str:
    """The socket of the engine that this machine has; Docker's where it has none, for the error message."""
    return f"unix://{next((path for path in _SOCKETS if path.is_socket()), _SOCKETS[0])}"
