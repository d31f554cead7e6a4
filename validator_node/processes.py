"""Remembers which processes are ours, so that nothing else is ever signalled.

A record is a file with a process id and the kernel's start time of that process: the pair is never reused while the
machine runs, whereas the id alone soon is.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.05
_KILLED_SECONDS = 5.0


@dataclass(frozen=True)
class ProcessRecord:
    """One process that we started. start_ticks: field 22 of /proc/<pid>/stat, in clock ticks since boot."""

    pid: int
    start_ticks: int
    boot_id: str

    def alive(self) -> bool:
        """Whether that very process is still there (a zombie isn't)."""
        return describe(self.pid) == self

    def request_stop(self) -> None:
        """Ask the process to end, and don't wait."""
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if the process is still the one that was recorded."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait_gone(self, seconds: float) -> bool:
        """Wait until the process has ended; False if it hasn't in time."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def stop(self, seconds: float) -> None:
        """Ask the process to end (SIGTERM), and end it (SIGKILL) if it hasn't in time."""
        self.request_stop()
        if not self.wait_gone(seconds):
            self.kill()

    def kill(self) -> None:
        """End the process if it still runs (SIGKILL), and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait_gone(_KILLED_SECONDS)


def describe(pid: int) -> ProcessRecord | None:
    """The record of a running process; None if there is none or it is a zombie."""
    try:
        # The program's name, in parentheses, may hold anything, so count fields behind the last one.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    if fields[0] in {"Z", "X"}:
        return None
    return ProcessRecord(pid, int(fields[19]), boot_id)


def write_record(path: Path, pid: int) -> None:
    """Remember a process that was just started; it must not have been reaped yet."""
    record = describe(pid)
    if record is None:
        return  # it has ended already: there is nothing to remember
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps({"pid": record.pid, "start_ticks": record.start_ticks, "boot_id": record.boot_id}))
    fresh.replace(path)


def read_record(path: Path) -> ProcessRecord | None:
    """The recorded process, alive or not; None if nothing (readable) was recorded."""
    try:
        data = json.loads(path.read_text())
        return ProcessRecord(int(data["pid"]), int(data["start_ticks"]), str(data["boot_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
