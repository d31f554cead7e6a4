"""Control groups for an ordinary user: a transient scope of the user's systemd for each job.

Interface: systemd-run(1), systemd.resource-control(5). The group disappears with its last process, so the
shell that starts the sandbox stays in it and notes down what the job used.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from dataclasses import dataclass

from prover_node.runner.base import CPU_WEIGHT, Limits
from prover_node.runner.cgroup import Usage, parse_table

CONTROLLERS = ("memory", "cpu", "pids")
OWN_PROCESSES = 1
"""The shell that stays."""

_GROUP = "group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)"
_PROBE = _GROUP + '; for file in memory.max cpu.max pids.max; do cat "$group/$file" || echo missing; done'
# The trap keeps the shell alive, and only it, when systemd stops a scope because of a lack of memory.
_JOB = (
    "trap : TERM; out=/proc/self/fd/$1; shift; "
    '"$@"; code=$?; ' + _GROUP + "; "
    '{ cat "$group/memory.events" "$group/cpu.stat"; echo peak "$(cat "$group/memory.peak")"; } >"$out"; exit $code'
)
_PROBE_LIMITS = ("-p", "MemoryMax=64M", "-p", "CPUQuota=50%", "-p", "TasksMax=16")
_PROBE_ANSWERS = dict(zip(CONTROLLERS, ("67108864", "50000 100000", "16"), strict=True))


@dataclass(frozen=True)
class UserScopes:
    """What scopes of this user's systemd can limit: ``controllers`` are some of :data:`CONTROLLERS`."""

    controllers: frozenset[str]
    _base: tuple[str, ...]

    @classmethod
    async def detect(cls) -> UserScopes | None:
        """``None`` where there is no systemd of this user, or its scopes limit nothing."""
        run = shutil.which("systemd-run")
        if run is None:
            return None
        base = (run, "--user", "--scope", "--quiet", "--collect", "-p", "MemorySwapMax=0")
        # Older versions don't know the property, nor do what it forbids.
        for command in ((*base, "-p", "OOMPolicy=continue"), base):
            process = await asyncio.create_subprocess_exec(
                *command,
                *_PROBE_LIMITS,
                *("--", "/bin/sh", "-c", _PROBE),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            stdout, _ = await process.communicate()
            answers = dict(zip(CONTROLLERS, stdout.decode().splitlines(), strict=False))
            limited = frozenset(name for name in CONTROLLERS if answers.get(name) == _PROBE_ANSWERS[name])
            if process.returncode == 0 and limited:
                return cls(limited, command)
        return None

    def job(self, node: str, job: str, limits: Limits, *, extra_pids: int) -> ScopedJob:
        """A scope with the limits, and ``extra_pids`` for the sandbox's own processes."""
        # A scope of a crashed node may still bear the name.
        unit = f"--unit=proofmill-{node}-{job}-{secrets.token_hex(4)}.scope"
        properties = (
            f"MemoryMax={limits.memory_bytes}",
            f"CPUQuota={limits.cpu_millis / 10:g}%",
            f"CPUWeight={CPU_WEIGHT}",
            f"TasksMax={limits.pids + extra_pids + OWN_PROCESSES}",
        )
        settings = [part for value in properties for part in ("-p", value)]
        return ScopedJob([*self._base, unit, *settings, "--"])


class ScopedJob:
    """One job's scope; ``fd`` is where its shell notes down what was used."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self.fd = os.memfd_create("usage", os.MFD_CLOEXEC)

    def launcher(self) -> list[str]:
        """What runs before the sandbox; needs ``fd``, and dies with us."""
        guard = ["setpriv", "--pdeathsig", "KILL", "--"]
        return [*guard, *self._command, "/bin/sh", "-c", _JOB, "sh", str(self.fd)]

    def usage(self) -> Usage:
        """What the ended job used; nothing if its shell was killed."""
        os.lseek(self.fd, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self.fd), "r") as notes:
            table = parse_table(notes.read())
        return Usage(
            cpu_ms=table.get("usage_usec", 0) // 1000,
            peak_memory_bytes=table.get("peak", 0),
            out_of_memory=table.get("oom_kill", 0) > 0,
        )

    def close(self) -> None:
        """Forget the notes."""
        os.close(self.fd)
