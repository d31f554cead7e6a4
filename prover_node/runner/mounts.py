"""The few mounts that root makes for a job, by system call: a process for each would cost more than the job's start."""

from __future__ import annotations

import ctypes
import os
import tempfile
from pathlib import Path

_MS_NOSUID = 2
_MS_NODEV = 4
_MS_NOEXEC = 8
_MS_BIND = 4096
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8

_libc = ctypes.CDLL(None, use_errno=True)


def mount_tmpfs(target: Path, *, size: int, inodes: int, uid: int) -> None:
    """Mount a file system in memory of ``size`` bytes for ``uid`` at ``target``; :class:`OSError` if refused."""
    # The root directory takes an inode too.
    options = f"size={size},nr_inodes={inodes + 1},uid={uid},gid={uid},mode=0700"
    _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, options)


def bind(source: Path, target: Path) -> None:
    """Show the directory ``source`` at ``target``; :class:`OSError` if refused."""
    _mount(str(source), target, "", _MS_BIND, "")


def unmount(target: Path) -> None:
    """Take away the topmost mount at ``target``; nothing happens where none is."""
    _libc.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW)


def can_mount() -> bool:
    """Whether this process may mount: root outside a container, or in one with CAP_SYS_ADMIN."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory(prefix="proofmill-mount-") as probe:
        try:
            mount_tmpfs(Path(probe), size=4096, inodes=1, uid=0)
        except OSError:
            return False
        unmount(Path(probe))
    return True


def _mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))
