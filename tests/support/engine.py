"""A Docker engine for the tests: the one that is running, or a private one started by hand when we are root.

The private engine has its own data, socket and containerd below one temporary directory, and no network at all: no
bridge, no firewall rules. It never touches an engine that the machine may have.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import requests
from docker.errors import DockerException

CHECKOUT = Path(__file__).resolve().parents[2]
UNPACKED = CHECKOUT / ".tools" / "docker"  # where scripts/tools.py puts Debian's packages
START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0


class NoEngineError(Exception):
    """No engine is running and none could be started; the message says why."""


@dataclass(frozen=True)
class Engine:
    """A Docker engine that answers at `url` (`unix://…`, `tcp://…`)."""

    url: str
    private: bool


def accepts(path: str) -> bool:
    """Whether anything accepts connections on the unix socket at `path`."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def answers(url: str) -> bool:
    """Whether a Docker-compatible engine answers a ping at `url`."""
    # Asked first because the SDK leaks the socket of an attempt that fails.
    if url.startswith("unix://") and not accepts(url.removeprefix("unix://")):
        return False
    try:
        client = docker.DockerClient(base_url=url, timeout=10)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, requests.RequestException):
        return False
    finally:
        client.close()


def running_engine() -> Engine | None:
    """The engine that the user named, or the machine's Docker or Podman socket; None when nothing answers."""
    named = os.environ.get("DOCKER_HOST")
    sockets = [
        Path("/var/run/docker.sock"),
        Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")) / "podman/podman.sock",
        Path("/run/podman/podman.sock"),
    ]
    for url in [named] if named else [f"unix://{path}" for path in sockets if path.exists()]:
        if answers(url):
            return Engine(url, private=False)
    if named:
        raise NoEngineError(f"DOCKER_HOST is {named}, but no engine answers there")
    return None


def private_environment() -> dict[str, str]:
    """The environment in which dockerd finds its helpers and libraries, unpacked or the machine's own."""
    path = [str(UNPACKED / "usr/sbin"), str(UNPACKED / "usr/bin"), os.environ.get("PATH", os.defpath), "/usr/sbin"]
    environment = {**os.environ, "PATH": os.pathsep.join([*path, "/sbin"])}
    environment.pop("DOCKER_HOST", None)
    libraries = [str(folder) for part in ("lib", "usr/lib") for folder in UNPACKED.glob(f"{part}/*-linux-gnu*")]
    if libraries:
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
    return environment


def unmount_below(directory: Path) -> None:
    """Detach what an engine that had to be killed left mounted, deepest first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((m for m in mounts if Path(m).is_relative_to(directory)), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, stderr=subprocess.DEVNULL)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End dockerd and the containerd that it started (both in a session of their own)."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_LIMIT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def private_engine() -> Iterator[Engine]:
    """Start dockerd by hand, yield it when it answers, and leave nothing behind at the end."""
    if os.geteuid():
        raise NoEngineError("no engine is running, and starting a private one needs root")
    environment = private_environment()
    dockerd = shutil.which("dockerd", path=environment["PATH"])
    if dockerd is None:
        raise NoEngineError("no engine is running and there is no dockerd; `scripts/tools.py ensure dockerd` gets one")
    # Should the tests be killed outright, the kernel ends dockerd too.
    setpriv = shutil.which("setpriv")
    guard = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
    home = Path(tempfile.mkdtemp(prefix="mill-dockerd-"))
    engine = Engine(f"unix://{home}/docker.sock", private=True)
    try:
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *guard,
                    dockerd,
                    *("--iptables=false", "--ip6tables=false", "--bridge=none", "--group", str(os.getgid())),
                    *("--data-root", str(home / "data"), "--exec-root", str(home / "exec")),
                    *("--pidfile", str(home / "pid"), "--host", engine.url),
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + START_LIMIT_S
            while not answers(engine.url):
                if process.poll() is not None or time.monotonic() > deadline:
                    said = (home / "log").read_text(errors="replace").strip().splitlines()[-5:]
                    raise NoEngineError(f"the private dockerd didn't come up: {' | '.join(said)}")
                time.sleep(0.1)
            yield engine
        finally:
            stop(process)
    finally:
        unmount_below(home)
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def any_engine() -> Iterator[Engine]:
    """The running engine, else a private one for as long as the block lasts; raises NoEngineError."""
    found = running_engine()
    if found is not None:
        yield found
        return
    with private_engine() as engine:
        yield engine
