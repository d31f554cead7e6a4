"""What the daemon asks of a disk: to be told when it is full, and to have written what it says it has."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full(error: OSError) -> bool:
    """Whether the disk, or the user's quota on it, has no room for what was to be written."""
    return error.errno in _FULL


def free_bytes(path: Path) -> int:
    """Bytes that this process may still write to the file system of ``path``."""
    return shutil.disk_usage(path).free


def sync_file(path: Path) -> None:
    """Have the disk take what was written to ``path``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Make renames in ``path`` last."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
