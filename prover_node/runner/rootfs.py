"""Unpacks the layers of an image into a directory, so that nothing lands outside it.

Layer rules: OCI image-spec, "Image Layer Filesystem Changeset" (whiteouts, opaque directories,
entries that replace entries of lower layers).
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from prover_node.runner.base import ASSETS_MOUNT, INPUT_MOUNT, OUTPUT_MOUNT, PROOF_MOUNT
from prover_node.runner.images import (
    MALFORMED,
    Archive,
    BoundedTarInfo,
    ImageError,
    UnpackLimits,
    raise_if_machines,
)

MOUNT_POINTS = ("/proc", "/dev", "/sys", "/tmp", INPUT_MOUNT, ASSETS_MOUNT, PROOF_MOUNT, OUTPUT_MOUNT)  # noqa: S108

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MAX_LINKS = 40
_MAX_DEPTH = 256  # the standard library removes trees recursively
_MAX_ID = (1 << 31) - 1
_MAX_TIME = 1 << 33
_CHUNK = 1 << 20
_FILE_OVERHEAD = 4096


def check_layers(archive: Archive, limits: UnpackLimits) -> None:
    """Raise :class:`ImageError` for what :func:`unpack_layers` would refuse while reading.

    For engines that unpack by themselves, without bounds.
    """
    for _ in _all_entries(archive, limits):
        pass


def unpack_layers(archive: Archive, root: Path, limits: UnpackLimits) -> int:
    """Unpack all layers into the empty directory ``root`` and add the contract's mount points.

    Device nodes and fifos are left out, setuid and setgid bits are dropped. Owners are kept when
    we are root. Returns the size of all files in bytes. Raises :class:`ImageError`, leaving ``root`` for
    the caller to remove.
    """
    tree = _Tree(root)
    current = -1
    size = 0
    try:
        for layer, parts, info, source in _all_entries(archive, limits):
            # Every file takes a block more or less, and even an empty one an inode.
            size += info.size + _FILE_OVERHEAD
            if layer != current:
                current = layer
                tree.start_layer()
            tree.apply(parts, info, source)
        for path in MOUNT_POINTS:
            tree.ensure_mount_point(path)
        tree.ensure_directory(archive.config.working_dir)
        root.chmod(0o755)
    except MALFORMED as error:
        raise_if_machines(error)
        raise ImageError(f"the image can't be unpacked: {error}") from error
    return size


def _all_entries(
    archive: Archive, limits: UnpackLimits
) -> Iterator[tuple[int, tuple[str, ...], tarfile.TarInfo, IO[bytes] | None]]:
    """Each layer's entries with the path's parts, checked, and the contents where it is a file."""
    entries = 0
    left = limits.max_bytes
    for index in range(len(archive.config.diff_ids)):
        try:
            with archive.layer(index, left) as reader:
                stream = cast(IO[bytes], reader)
                with tarfile.open(fileobj=stream, mode="r|", tarinfo=BoundedTarInfo) as layer:
                    while (info := layer.next()) is not None:
                        # tarfile would remember every member, and an image may have a million.
                        layer.members.clear()  # type: ignore[attr-defined]
                        entries += 1
                        if entries > limits.max_entries:
                            raise ImageError(f"the image holds more than {limits.max_entries} files")
                        parts = _parts(info)
                        yield index, parts, info, layer.extractfile(info) if info.isreg() else None
            left -= reader.size
        except MALFORMED as error:
            raise_if_machines(error)
            raise ImageError(f"layer {index} of the image is malformed: {error}") from error


def _parts(info: tarfile.TarInfo) -> tuple[str, ...]:
    if info.issparse():
        raise ImageError(f"the image's {info.name!r} is a sparse file")
    if not (0 <= info.uid <= _MAX_ID and 0 <= info.gid <= _MAX_ID):
        raise ImageError(f"the image's {info.name!r} has an impossible owner")
    parts = tuple(part for part in info.name.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in info.name:
        raise ImageError(f"the image's {info.name!r} leads out of the image")
    return parts


class _Tree:
    """A root file system under construction; only we write to it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._touched: set[Path] = set()
        self._deepest = len(root.parts) + _MAX_DEPTH
        self._keep_owners = os.geteuid() == 0

    def start_layer(self) -> None:
        self._touched = set()

    def apply(self, parts: tuple[str, ...], info: tarfile.TarInfo, source: IO[bytes] | None) -> None:
        if not parts:
            return
        parent = self._directory(parts[:-1])
        name = parts[-1]
        if name == _OPAQUE:
            self._remove_lower(parent)
        elif name.startswith(_WHITEOUT):
            self._whiteout(parent, name.removeprefix(_WHITEOUT))
        else:
            self._add(parent / name, info, source)

    def ensure_mount_point(self, path: str) -> None:
        """Make ``path`` a real directory: a link there would lead a mount elsewhere."""
        current = self._root
        for part in path.strip("/").split("/"):
            current /= part
            if not os.path.lexists(current):
                current.mkdir()
                current.chmod(0o755)
            elif not stat.S_ISDIR(current.lstat().st_mode):
                raise ImageError(f"the image has something other than a directory at {path}")

    def ensure_directory(self, path: str) -> None:
        """Make the directory ``path`` unless it is there, as engines do for the working directory."""
        self._directory(tuple(path.split("/")))

    def _add(self, target: Path, info: tarfile.TarInfo, source: IO[bytes] | None) -> None:
        if info.isdir():
            if not _is_directory(target):
                _remove(target)
                target.mkdir()
        elif source is not None:
            _remove(target)
            with target.open("xb") as out:
                shutil.copyfileobj(source, out, _CHUNK)
        elif info.issym():
            _remove(target)
            target.symlink_to(info.linkname)
        elif info.islnk():
            self._hard_link(target, info)
        else:
            return
        self._touch(target)
        self._set_metadata(target, info)

    def _hard_link(self, target: Path, info: tarfile.TarInfo) -> None:
        parts = tuple(part for part in info.linkname.split("/") if part not in ("", "."))
        if not parts or ".." in parts:
            raise ImageError(f"the image's hard link {info.name!r} leads out of the image")
        original = self._directory(parts[:-1]) / parts[-1]
        if not os.path.lexists(original) or not stat.S_ISREG(original.lstat().st_mode):
            raise ImageError(f"the image's hard link {info.name!r} points to no file of the image")
        if original != target:
            _remove(target)
            target.hardlink_to(original)

    def _set_metadata(self, target: Path, info: tarfile.TarInfo) -> None:
        if self._keep_owners:
            os.chown(target, info.uid, info.gid, follow_symlinks=False)
        if info.issym():
            return
        mode = info.mode & 0o1777
        if not self._keep_owners:
            # Everything belongs to us, so the owner's bits alone decide what the program may read.
            mode |= 0o700 if info.isdir() else 0o400
        target.chmod(mode)
        if info.isreg():
            time = min(max(int(info.mtime), 0), _MAX_TIME)
            os.utime(target, (time, time))

    def _directory(self, parts: tuple[str, ...]) -> Path:
        """The real directory at ``parts``, following links as a process inside the image would.

        Missing directories are made; whatever the links say, the result is below the root.
        """
        current = self._root
        pending = list(reversed(parts))
        links = 0
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                current = current.parent if current != self._root else current
                continue
            if len(current.parts) > self._deepest:
                raise ImageError(f"the image nests directories more than {_MAX_DEPTH} deep")
            candidate = current / part
            if candidate.is_symlink():
                links += 1
                if links > _MAX_LINKS:
                    raise ImageError("the image has a loop of symbolic links")
                target = str(candidate.readlink())
                if target.startswith("/"):
                    current = self._root
                pending.extend(reversed(target.split("/")))
                continue
            if not os.path.lexists(candidate):
                candidate.mkdir()
                candidate.chmod(0o755)
            elif not _is_directory(candidate):
                raise ImageError(f"the image uses the file {part!r} as a directory")
            current = candidate
        return current

    def _touch(self, path: Path) -> None:
        while path != self._root and path not in self._touched:
            self._touched.add(path)
            path = path.parent

    def _whiteout(self, parent: Path, name: str) -> None:
        if name.startswith(_WHITEOUT):
            return  # bookkeeping of a storage driver
        if name in ("", ".", ".."):
            raise ImageError("the image has a whiteout without a usable name")
        target = parent / name
        if target not in self._touched:
            _remove(target)
        elif _is_directory(target):
            self._remove_lower(target)

    def _remove_lower(self, directory: Path) -> None:
        """Remove what lower layers put into ``directory``, keeping what this one did."""
        for child in list(directory.iterdir()):
            if child not in self._touched:
                _remove(child)
            elif _is_directory(child):
                self._remove_lower(child)


def _is_directory(path: Path) -> bool:
    return not path.is_symlink() and path.is_dir()


def _remove(path: Path) -> None:
    if _is_directory(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
