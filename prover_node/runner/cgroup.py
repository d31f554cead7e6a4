"""Control groups for the sandbox runner: one a job, in a v1 (or hybrid) or a v2 hierarchy, as root.

Interfaces: the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from prover_node.runner.base import CPU_WEIGHT, Limits, Use

ROOT_NAME = "proofmill"
_PERIOD_US = 100_000
_MIN_QUOTA_US = 1_000
_V1_SHARES = 1024  # the usual share
_V1_NEEDED = ("memory", "cpu", "pids")
_V1_USED = (*_V1_NEEDED, "cpuacct", "devices")
_V2_NEEDED = ("memory", "cpu", "pids")
# null, zero, full, random, urandom, tty, console's and the terminals' multiplexer: what every sandbox's /dev has.
_USUAL_DEVICES = ("c 1:3 rw", "c 1:5 rw", "c 1:7 rw", "c 1:8 rw", "c 1:9 rw", "c 5:0 rw", "c 5:2 rw", "c 136:* rw")


class Usage(NamedTuple):
    """What a job used, and whether the kernel killed a process of it for lack of memory."""

    cpu_ms: int
    peak_memory_bytes: int
    out_of_memory: bool


class Cgroup(Protocol):
    """The control group of one job."""

    @property
    def directories(self) -> tuple[Path, ...]:
        """The group's directory in each hierarchy; a process joins by writing to ``cgroup.procs`` in each."""
        ...

    def limit(self, limits: Limits, *, extra_pids: int, devices: Iterable[Path] = ()) -> None:
        """Set the limits, with ``extra_pids`` for the sandbox's own processes.

        Where a hierarchy confines devices (v1), ``devices`` and the usual ones are all that may be opened.
        """
        ...

    def release_cpu(self) -> None:
        """Lift the limit on cpu: what is killed needs cpu time to die, and hundreds of processes need much of it."""
        ...

    def usage(self) -> Usage:
        """What the job used until now."""
        ...

    def memory_bytes(self) -> int:
        """What the job holds now."""
        ...


def use_of(group: Cgroup | None, gpus: Iterable[int]) -> Use:
    """What a running job uses; of processors and memory nothing is known without a group, or once it is gone."""
    try:
        cpu_ms, memory_bytes = (group.usage().cpu_ms, group.memory_bytes()) if group is not None else (0, 0)
    except (OSError, ValueError):
        cpu_ms = memory_bytes = 0
    return Use(cpu_ms=cpu_ms, memory_bytes=memory_bytes, gpus=tuple(gpus))


class Hierarchy(Protocol):
    """Where this machine lets us make control groups."""

    def create(self, node: str, job: str) -> Cgroup:
        """A group without limits, ``proofmill/<node>/<job>`` in each hierarchy."""
        ...

    def reopen(self, node: str, job: str) -> Cgroup | None:
        """The group that an earlier process created, if it is there."""
        ...

    def roots(self, node: str) -> tuple[Path, ...]:
        """The directories below which this node's groups lie, those that an engine adds included."""
        ...


def detect() -> Hierarchy | None:
    """The hierarchy to use, or ``None`` when this process can't make groups with all three limits."""
    if os.geteuid() != 0:
        return None
    mounts = _mounts()
    if all(name in mounts and os.access(mounts[name], os.W_OK) for name in _V1_NEEDED):
        return _V1(mounts)
    unified = mounts.get("unified")
    if unified is not None and _V2.usable(unified):
        return _V2(unified)
    return None


async def destroy(hierarchy: Hierarchy, node: str, job: str) -> None:
    """Kill whatever is in the job's groups, and in those that an engine made below, and remove them."""
    for root in hierarchy.roots(node):
        for _ in range(500):
            if _try_remove(root / job):
                break
            # The kernel counts a killed process until it has been torn down.
            await asyncio.sleep(0.01)


def forget(hierarchy: Hierarchy, node: str) -> None:
    """Remove the directories that hold this node's groups, if there are none left."""
    for root in hierarchy.roots(node):
        with contextlib.suppress(OSError):
            root.rmdir()


def jobs(hierarchy: Hierarchy, node: str) -> set[str]:
    """The jobs of this node for which there is a group."""
    found: set[str] = set()
    for root in hierarchy.roots(node):
        with contextlib.suppress(FileNotFoundError):
            found |= {directory.name for directory in root.iterdir() if directory.is_dir()}
    return found


class _V1:
    def __init__(self, mounts: dict[str, Path]) -> None:
        self._mounts = mounts

    def roots(self, node: str) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(mount / ROOT_NAME / node for mount in self._mounts.values()))

    def create(self, node: str, job: str) -> Cgroup:
        # On the root of all jobs: a weight counts among siblings, and the daemon is beside that.
        base = self._mounts["cpu"] / ROOT_NAME
        base.mkdir(exist_ok=True)
        _write(base / "cpu.shares", CPU_WEIGHT * _V1_SHARES // 100)
        group = self._group(node, job)
        for directory in group.directories:
            directory.mkdir(parents=True)
        return group

    def reopen(self, node: str, job: str) -> Cgroup | None:
        group = self._group(node, job)
        return group if all(directory.is_dir() for directory in group.directories) else None

    def _group(self, node: str, job: str) -> _V1Group:
        used = (name for name in _V1_USED if name in self._mounts)
        return _V1Group({name: self._mounts[name] / ROOT_NAME / node / job for name in used})


class _V1Group:
    def __init__(self, paths: dict[str, Path]) -> None:
        self._paths = paths

    @property
    def directories(self) -> tuple[Path, ...]:
        # Controllers may share a mount.
        return tuple(dict.fromkeys(self._paths.values()))

    def limit(self, limits: Limits, *, extra_pids: int, devices: Iterable[Path] = ()) -> None:
        memory, cpu, pids = (self._paths[name] for name in _V1_NEEDED)
        _write(memory / "memory.limit_in_bytes", limits.memory_bytes)
        if (memory / "memory.memsw.limit_in_bytes").exists():
            _write(memory / "memory.memsw.limit_in_bytes", limits.memory_bytes)
        _write(cpu / "cpu.cfs_period_us", _PERIOD_US)
        _write(cpu / "cpu.cfs_quota_us", _quota(limits))
        _write(pids / "pids.max", limits.pids + extra_pids)
        if "devices" in self._paths:
            _write(self._paths["devices"] / "devices.deny", "a")
            for rule in (*_USUAL_DEVICES, *filter(None, map(_device_rule, devices))):
                _write(self._paths["devices"] / "devices.allow", rule)

    def release_cpu(self) -> None:
        _write(self._paths["cpu"] / "cpu.cfs_quota_us", -1)

    def usage(self) -> Usage:
        cpu = int((self._paths["cpuacct"] / "cpuacct.usage").read_text()) if "cpuacct" in self._paths else 0
        memory = self._paths["memory"]
        return Usage(
            cpu_ms=cpu // 1_000_000,
            peak_memory_bytes=int((memory / "memory.max_usage_in_bytes").read_text()),
            out_of_memory=_table(memory / "memory.oom_control").get("oom_kill", 0) > 0,
        )

    def memory_bytes(self) -> int:
        return int((self._paths["memory"] / "memory.usage_in_bytes").read_text())


class _V2:
    def __init__(self, mount: Path) -> None:
        self._mount = mount

    @staticmethod
    def usable(mount: Path) -> bool:
        """Whether groups below ``mount`` can have all the limits; enables the controllers."""
        try:
            _enable(mount)
            base = mount / ROOT_NAME
            base.mkdir(exist_ok=True)
            _enable(base)
            _write(base / "cpu.weight", CPU_WEIGHT)
        except OSError:
            return False
        return True

    def roots(self, node: str) -> tuple[Path, ...]:
        return (self._mount / ROOT_NAME / node,)

    def create(self, node: str, job: str) -> Cgroup:
        parent = self._mount / ROOT_NAME / node
        parent.mkdir(exist_ok=True, parents=True)
        _enable(parent)
        group = parent / job
        group.mkdir()
        return _V2Group(group)

    def reopen(self, node: str, job: str) -> Cgroup | None:
        group = self._mount / ROOT_NAME / node / job
        return _V2Group(group) if group.is_dir() else None


class _V2Group:
    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def directories(self) -> tuple[Path, ...]:
        return (self._path,)

    def limit(self, limits: Limits, *, extra_pids: int, devices: Iterable[Path] = ()) -> None:
        # Devices need a BPF program here; the sandbox's /dev and its lack of CAP_MKNOD already leave no others.
        _write(self._path / "memory.max", limits.memory_bytes)
        if (self._path / "memory.swap.max").exists():
            _write(self._path / "memory.swap.max", 0)
        _write(self._path / "cpu.max", f"{_quota(limits)} {_PERIOD_US}")
        _write(self._path / "pids.max", limits.pids + extra_pids)

    def release_cpu(self) -> None:
        _write(self._path / "cpu.max", f"max {_PERIOD_US}")

    def usage(self) -> Usage:
        peak = self._path / "memory.peak"  # Linux 5.19 and newer
        return Usage(
            cpu_ms=_table(self._path / "cpu.stat").get("usage_usec", 0) // 1000,
            peak_memory_bytes=int(peak.read_text()) if peak.exists() else 0,
            out_of_memory=_table(self._path / "memory.events").get("oom_kill", 0) > 0,
        )

    def memory_bytes(self) -> int:
        return int((self._path / "memory.current").read_text())


def _mounts() -> dict[str, Path]:
    """The mount point of each v1 controller (or other mount option), and the v2 one as ``unified``."""
    mounts: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ")[:3]
        path = Path(left.split(" ")[4].encode().decode("unicode_escape"))
        if kind == "cgroup2":
            mounts.setdefault("unified", path)
        elif kind == "cgroup":
            for name in options.split(","):
                mounts.setdefault(name, path)
    return mounts


def _enable(directory: Path) -> None:
    """Give the children of a v2 group the controllers we need; :class:`OSError` if it lacks one."""
    wanted = set(_V2_NEEDED) - set((directory / "cgroup.subtree_control").read_text().split())
    if wanted:
        _write(directory / "cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(wanted)))


def _quota(limits: Limits) -> int:
    return max(limits.cpu_millis * _PERIOD_US // 1000, _MIN_QUOTA_US)


def _device_rule(path: Path) -> str:
    status = path.stat()
    if not stat.S_ISCHR(status.st_mode):
        return ""
    return f"c {os.major(status.st_rdev)}:{os.minor(status.st_rdev)} rw"


def _write(path: Path, value: int | str) -> None:
    path.write_text(str(value))


def parse_table(text: str) -> dict[str, int]:
    """The lines of a name and a number in a control group's file."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _table(path: Path) -> dict[str, int]:
    return parse_table(path.read_text())


def _try_remove(directory: Path) -> bool:
    """Kill what is in a group; whether the group is gone."""
    gone = True
    for path, _, _ in os.walk(directory, topdown=False):
        group = Path(path)
        with contextlib.suppress(OSError):
            for pid in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        try:
            group.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            gone = False
    return gone
