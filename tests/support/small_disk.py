"""A real file system of a few MiB, in memory, that can be filled to the last byte."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class NoSmallDiskError(Exception):
    """None can be mounted here; the message says why."""


@dataclass(frozen=True)
class SmallDisk:
    """Mounted at ``root``."""

    root: Path

    @property
    def _ballast(self) -> Path:
        return self.root / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Take all that is free but ``leave`` bytes."""
        self.empty()
        status = os.statvfs(self.root)
        with self._ballast.open("wb") as out:
            os.posix_fallocate(out.fileno(), 0, max(status.f_bavail * status.f_frsize - leave, 1))

    def empty(self) -> None:
        """Give back what was taken."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(root: Path, size: int) -> Iterator[SmallDisk]:
    """A file system of ``size`` bytes at the new folder ``root``; raises NoSmallDiskError."""
    if os.geteuid():
        raise NoSmallDiskError("a small file system can be mounted by root alone")
    root.mkdir()
    options = f"size={size},mode=0755"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(root)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        raise NoSmallDiskError(f"a small file system can't be mounted: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)
