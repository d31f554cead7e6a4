"""A job's ``/mnt/output``: bounded while the program runs, copied out when it has ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from prover_node.runner.base import CONTAINER_UID, Limits
from prover_node.runner.mounts import mount_tmpfs, unmount

_OUTPUT = "output"
_CHUNK = 1 << 20
_MAX_DEPTH = 100  # a path in a bundle has at most 255 characters


class OutputTooLarge(Exception):
    """The program left more in its output than the limits allow."""


class OutputStage:
    """The directory that a program sees as ``/mnt/output``; it lies in the job's ``home``.

    With ``own_file_system`` it is a file system of the limits' size, so no write can exceed them.
    Without, :meth:`exceeded` has to be asked from time to time.
    """

    def __init__(self, path: Path, limits: Limits, *, own_file_system: bool) -> None:
        self.path = path
        self.own_file_system = own_file_system
        self._limits = limits

    @classmethod
    def make(cls, home: Path, limits: Limits, *, own_file_system: bool) -> OutputStage:
        """A new one; :class:`OSError` if it can't be."""
        path = home / _OUTPUT
        path.mkdir(mode=0o700)
        if own_file_system:
            mount_tmpfs(path, size=limits.output_bytes, inodes=limits.output_inodes, uid=CONTAINER_UID)
        return cls(path, limits, own_file_system=own_file_system)

    @classmethod
    def find(cls, home: Path, limits: Limits) -> OutputStage:
        """The one that an earlier process made."""
        path = home / _OUTPUT
        return cls(path, limits, own_file_system=path.is_mount())

    def exceeded(self) -> bool:
        """Whether the limits are reached: nothing more can be, or should have been, written."""
        if self.own_file_system:
            usage = os.statvfs(self.path)
            return usage.f_bavail == 0 or usage.f_favail == 0
        return _exceeds(self.path, self._limits.output_bytes, self._limits.output_inodes)

    def collect(self, destination: Path) -> None:
        """Copy what the ended program left to the empty directory ``destination``.

        Links, fifos and sockets are recreated, never followed or opened, so that packing can name
        them; modes and owners become plain. Raises :class:`OutputTooLarge` before copying more
        than the limits: a sparse file can pretend to be larger than its file system.
        """
        _Copy(self._limits).directory(self.path, destination)


def largest_file(limits: Limits) -> int:
    """The resource limit on a file's size, in bytes, where the output isn't a file system of its own.

    A page more than may be in it, so that a file that was cut there shows as too large.
    """
    return max(limits.output_bytes, limits.tmp_bytes) + 4096


def remove_home(home: Path) -> None:
    """Take away a job's directory: mounts, with what they show left untouched, and its output.

    What can't be removed now is left for the next start.
    """
    if not home.is_dir():
        return
    for entry in home.iterdir():
        unmount(entry)
        with contextlib.suppress(OSError):
            if not entry.is_dir():
                entry.unlink()
            elif entry.name.startswith(_OUTPUT):
                _remove_tree(entry)
            else:
                # Never recursively: were it still mounted, this would delete what it shows.
                entry.rmdir()
    with contextlib.suppress(OSError):
        home.rmdir()


def _remove_tree(root: Path) -> None:
    """Remove a tree that a program may have locked, or nested deeper than paths and stacks reach."""
    pending = [root]
    moved = 0
    while pending:
        directory = pending.pop()
        directory.chmod(0o700)
        with os.scandir(directory) as found:
            children = list(found)
        for child in children:
            path = directory / child.name
            if child.is_dir(follow_symlinks=False):
                path.chmod(0o700)
                moved += 1
                pending.append(path.rename(root.with_name(f"{root.name}.{moved}")))
            else:
                path.unlink()
        directory.rmdir()


class _Copy:
    def __init__(self, limits: Limits) -> None:
        self._bytes_left = limits.output_bytes
        self._entries_left = limits.output_inodes
        self._copied: dict[tuple[int, int], Path] = {}

    def directory(self, source: Path, destination: Path) -> None:
        pending = [(source, destination, 0)]
        while pending:
            source, destination, depth = pending.pop()
            if depth > _MAX_DEPTH:
                raise OutputTooLarge(f"the program nests directories more than {_MAX_DEPTH} deep")
            source.chmod(0o700)
            with os.scandir(source) as found:
                for item in found:
                    self._entries_left -= 1
                    if self._entries_left < 0:
                        raise OutputTooLarge("the program left more files than it may")
                    target = destination / item.name
                    status = item.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        target.mkdir()
                        target.chmod(0o755)
                        pending.append((source / item.name, target, depth + 1))
                    else:
                        self._entry(source / item.name, target, status)

    def _entry(self, source: Path, target: Path, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        if identity in self._copied:
            target.hardlink_to(self._copied[identity])
            return
        if stat.S_ISLNK(status.st_mode):
            target.symlink_to(source.readlink())
        elif stat.S_ISREG(status.st_mode):
            self._file(source, target, status)
        else:
            os.mknod(target, stat.S_IFMT(status.st_mode) | 0o600)
        if status.st_nlink > 1:
            self._copied[identity] = target

    def _file(self, source: Path, target: Path, status: os.stat_result) -> None:
        self._bytes_left -= status.st_size
        if self._bytes_left < 0:
            raise OutputTooLarge("the program left more bytes than it may")
        if os.geteuid() != 0:
            source.chmod(0o400)
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as reader, target.open("xb") as writer:
            shutil.copyfileobj(reader, writer, _CHUNK)
        target.chmod(0o644)


def _exceeds(root: Path, max_bytes: int, max_entries: int) -> bool:
    """Whether the files below ``root`` take more space or number than allowed, while they change."""
    total = entries = 0
    pending = [root]
    while pending:
        directory = pending.pop()
        try:
            children = _children(directory)
        except PermissionError:
            return True  # a program that keeps locking it hides something
        except OSError:
            continue  # just removed
        for child in children:
            with contextlib.suppress(FileNotFoundError):
                status = child.stat(follow_symlinks=False)
                entries += 1
                total += status.st_blocks * 512
                if total > max_bytes or entries > max_entries:
                    return True
                if stat.S_ISDIR(status.st_mode):
                    pending.append(directory / child.name)
    return False


def _children(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            return list(found)
    except PermissionError:
        directory.chmod(0o700)
        with os.scandir(directory) as found:
            return list(found)
