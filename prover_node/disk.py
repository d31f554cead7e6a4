"""What the daemon asks of a disk: to be told when it is full, and to have written what it says it has."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from io import FileIO
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE of linux/falloc.h
_libc = ctypes.CDLL(None, use_errno=True)


def is_full(error: OSError) -> bool:
    """Whether the disk, or the user's quota on it, has no room for what was to be written."""
    return error.errno in _FULL


def free_bytes(path: Path) -> int:
    """Bytes that this process may still write to the file system of ``path``."""
    return shutil.disk_usage(path).free


def set_aside(descriptor: int, size: int) -> bool:
    """Have the disk keep room for ``size`` bytes behind the end of an open file, which stays where it is.

    Whether it does; some file systems can't, and a full one has none. Source: fallocate(2).
    """
    end = os.fstat(descriptor).st_size
    answer = _libc.fallocate(descriptor, _KEEP_SIZE, ctypes.c_int64(end), ctypes.c_int64(size))
    return int(answer) == 0


def write_whole(file: FileIO, data: bytes) -> None:
    """Write all of ``data`` to an unbuffered file; OSError if only a part of it finds room."""
    if file.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
