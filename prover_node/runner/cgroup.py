"""Control groups for the sandbox runner: one a job, in a v1 (or hybrid) or a v2 hierarchy, as root.

Interfaces: the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import NamedTuple, Protocol

from prover_node.runner.base import Limits

ROOT_NAME = "proofmill"
_PERIOD_US = 100_000
_MIN_QUOTA_US = 1_000
_V1_NEEDED = ("memory", "cpu", "pids")
_V1_USED = (*_V1_NEEDED, "cpuacct")
_V2_NEEDED = ("memory", "cpu", "pids")


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

    def usage(self) -> Usage:
        """What the job used until now."""
        ...


class Hierarchy(Protocol):
    """Where this machine lets us make control groups."""

    def create(self, node: str, job: str, limits: Limits, *, extra_pids: int) -> Cgroup:
        """A group with the limits, and ``extra_pids`` for the sandbox's own processes."""
        ...

    def roots(self, node: str) -> tuple[Path, ...]:
        """The directories below which this node's groups lie."""
        ...


def detect() -> Hierarchy | None:
    """The hierarchy to use, or ``None`` when this process can't make groups with all three limits."""
    if os.geteuid() != 0:
        return None
    mounts = _mounts()
    v1 = {name: path for name, path in mounts.items() if name in _V1_USED}
    if all(name in v1 and os.access(v1[name], os.W_OK) for name in _V1_NEEDED):
        return _V1(v1)
    unified = mounts.get("unified")
    if unified is not None and _V2.usable(unified):
        return _V2(unified)
    return None


async def destroy(directories: tuple[Path, ...]) -> None:
    """Kill whatever is in the groups and remove them."""
    for directory in directories:
        for _ in range(500):
            _kill_all(directory)
            try:
                directory.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                # The kernel counts a killed process until it has been torn down.
                await asyncio.sleep(0.01)
            else:
                break


def leftovers(hierarchy: Hierarchy, node: str) -> dict[str, tuple[Path, ...]]:
    """The groups of this node that exist, by job: an earlier process's, when none of ours run."""
    found: dict[str, list[Path]] = {}
    for root in hierarchy.roots(node):
        with contextlib.suppress(FileNotFoundError):
            for directory in root.iterdir():
                if directory.is_dir():
                    found.setdefault(directory.name, []).append(directory)
    return {job: tuple(directories) for job, directories in found.items()}


class _V1:
    def __init__(self, mounts: dict[str, Path]) -> None:
        self._mounts = mounts

    def roots(self, node: str) -> tuple[Path, ...]:
        # Controllers may share a mount.
        return tuple(dict.fromkeys(mount / ROOT_NAME / node for mount in self._mounts.values()))

    def create(self, node: str, job: str, limits: Limits, *, extra_pids: int) -> Cgroup:
        group = _V1Group({name: mount / ROOT_NAME / node / job for name, mount in self._mounts.items()})
        for directory in group.directories:
            directory.mkdir(parents=True)
        memory, cpu, pids = (group.paths[name] for name in _V1_NEEDED)
        _write(memory / "memory.limit_in_bytes", limits.memory_bytes)
        if (memory / "memory.memsw.limit_in_bytes").exists():
            _write(memory / "memory.memsw.limit_in_bytes", limits.memory_bytes)
        _write(cpu / "cpu.cfs_period_us", _PERIOD_US)
        _write(cpu / "cpu.cfs_quota_us", _quota(limits))
        _write(pids / "pids.max", limits.pids + extra_pids)
        return group


class _V1Group:
    def __init__(self, paths: dict[str, Path]) -> None:
        self.paths = paths

    @property
    def directories(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(self.paths.values()))

    def usage(self) -> Usage:
        cpu = int((self.paths["cpuacct"] / "cpuacct.usage").read_text()) if "cpuacct" in self.paths else 0
        memory = self.paths["memory"]
        return Usage(
            cpu_ms=cpu // 1_000_000,
            peak_memory_bytes=int((memory / "memory.max_usage_in_bytes").read_text()),
            out_of_memory=_table(memory / "memory.oom_control").get("oom_kill", 0) > 0,
        )


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
        except OSError:
            return False
        return True

    def roots(self, node: str) -> tuple[Path, ...]:
        return (self._mount / ROOT_NAME / node,)

    def create(self, node: str, job: str, limits: Limits, *, extra_pids: int) -> Cgroup:
        parent = self._mount / ROOT_NAME / node
        parent.mkdir(exist_ok=True, parents=True)
        _enable(parent)
        group = parent / job
        group.mkdir()
        _write(group / "memory.max", limits.memory_bytes)
        if (group / "memory.swap.max").exists():
            _write(group / "memory.swap.max", 0)
        _write(group / "cpu.max", f"{_quota(limits)} {_PERIOD_US}")
        _write(group / "pids.max", limits.pids + extra_pids)
        return _V2Group(group)


class _V2Group:
    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def directories(self) -> tuple[Path, ...]:
        return (self._path,)

    def usage(self) -> Usage:
        peak = self._path / "memory.peak"  # Linux 5.19 and newer
        return Usage(
            cpu_ms=_table(self._path / "cpu.stat").get("usage_usec", 0) // 1000,
            peak_memory_bytes=int(peak.read_text()) if peak.exists() else 0,
            out_of_memory=_table(self._path / "memory.events").get("oom_kill", 0) > 0,
        )


def _mounts() -> dict[str, Path]:
    """Each v1 controller's mount point, and the v2 one as ``unified``."""
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


def _write(path: Path, value: int | str) -> None:
    path.write_text(str(value))


def _table(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _kill_all(directory: Path) -> None:
    with contextlib.suppress(OSError):
        for pid in (directory / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
