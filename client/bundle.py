"""Proof bundles: a prover's output directory as one deterministic tar (protocol §4).

The format is the POSIX ustar subset with exactly one encoding for each directory tree: an entry for
every directory and regular file, in ascending byte order of their paths, owner 0, mode 0755 or 0644,
time 0, and two zero blocks at the end. Reading re-encodes every header and compares, so a bundle
that unpacks is the very bundle that packing its files would give.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

BLOCK = 512
_CHUNK = 1 << 20
_MAX_FILE = 8**11 - 1  # the ustar size field has eleven octal digits
_FILE, _DIRECTORY = b"0", b"5"


class BundleError(Exception):
    """The directory can't be packed, or the bundle is malformed, hostile or too large."""


@dataclass(frozen=True)
class BundleLimits:
    """``max_bytes`` bounds the sum of the file sizes; ``max_files`` counts files and directories."""

    max_bytes: int
    max_files: int


class BundleInfo(NamedTuple):
    """``sha256`` (hex) and ``size`` (bytes) of the packed tar."""

    sha256: str
    size: int


class _Entry(NamedTuple):
    name: bytes
    directory: bool
    size: int
    identity: tuple[int, int]


def pack(directory: Path, out_path: Path, limits: BundleLimits) -> BundleInfo:
    """Pack ``directory`` into ``out_path``, which appears complete or not at all.

    Raises :class:`BundleError` for anything but plain files and directories (symbolic links, hard
    links, devices, fifos, sockets), unusable names, too much, or no file at all.
    """
    entries = sorted(_walk(directory, b"", limits.max_files), key=lambda entry: entry.name)
    if len(entries) > limits.max_files:
        raise BundleError(f"the output holds more than {limits.max_files} files and directories")
    if all(entry.directory for entry in entries):
        raise BundleError("the output holds no file, so there is nothing to prove with")
    total = sum(entry.size for entry in entries)
    if total > limits.max_bytes:
        raise BundleError(f"the output's {total} bytes exceed the {limits.max_bytes} allowed")

    digest = hashlib.sha256()
    size = 0
    descriptor, name = tempfile.mkstemp(prefix=".bundle-", dir=out_path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out:
            for entry in entries:
                for chunk in _encode(directory, entry):
                    digest.update(chunk)
                    size += out.write(chunk)
            trailer = bytes(2 * BLOCK)
            digest.update(trailer)
            size += out.write(trailer)
            out.flush()
            os.fsync(out.fileno())
        temporary.chmod(0o644)
        temporary.rename(out_path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return BundleInfo(digest.hexdigest(), size)


def unpack(bundle: Path, dest: Path, *, max_bytes: int, max_files: int) -> None:
    """Unpack ``bundle`` to ``dest``, which must not exist or be an empty directory.

    Raises :class:`BundleError` unless the bundle is exactly what :func:`pack` makes and within the
    limits; ``dest`` then stays as it was. Files come out 0644 and directories 0755.
    """
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        if dest.is_symlink() or (dest.exists() and (not dest.is_dir() or any(dest.iterdir()))):
            raise BundleError(f"{dest} already exists and is not an empty directory")
        with bundle.open("rb") as source:
            temporary = Path(tempfile.mkdtemp(prefix=".unbundle-", dir=dest.parent))
            try:
                _unpack_entries(source, temporary, max_bytes, max_files)
                temporary.chmod(0o755)
                temporary.rename(dest)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
    except OSError as error:
        raise BundleError(f"the bundle {bundle} can't be unpacked to {dest}: {error}") from error


def _unpack_entries(source: BinaryIO, root: Path, max_bytes: int, max_files: int) -> None:
    directories = {b""}
    previous = b""
    count = files = total = 0
    while (header := _read(source, BLOCK)) != bytes(BLOCK):
        name, directory, size = _parse_header(header)
        if name <= previous:
            raise BundleError(f"the bundle's entry {_show(name)} is out of order or there twice")
        parent, _, _ = name.rpartition(b"/")
        if parent not in directories:
            raise BundleError(f"the bundle's entry {_show(name)} comes without its directory")
        previous = name
        count += 1
        total += size
        if count > max_files:
            raise BundleError(f"the bundle holds more than {max_files} files and directories")
        if total > max_bytes:
            raise BundleError(f"the bundle's files exceed the {max_bytes} bytes allowed")
        target = root / os.fsdecode(name)
        if directory:
            directories.add(name)
            target.mkdir()
            target.chmod(0o755)
        else:
            files += 1
            _unpack_file(source, target, size)
    if _read(source, BLOCK) != bytes(BLOCK) or source.read(1):
        raise BundleError("the bundle does not end with exactly two zero blocks")
    if not files:
        raise BundleError("the bundle holds no file")


def _unpack_file(source: BinaryIO, target: Path, size: int) -> None:
    with target.open("xb") as out:
        left = size
        while left:
            chunk = _read(source, min(left, _CHUNK))
            out.write(chunk)
            left -= len(chunk)
    target.chmod(0o644)
    if any(_read(source, -size % BLOCK)):
        raise BundleError("the bundle has data in a file's padding")


def _read(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise BundleError("the bundle is cut short")
    return data


def _walk(root: Path, prefix: bytes, max_files: int) -> Iterator[_Entry]:
    """Every file and directory below ``root``; stops soon after ``max_files`` of them."""
    pending = [prefix]
    count = 0
    while pending:
        prefix = pending.pop()
        with os.scandir(root / os.fsdecode(prefix)) as found:
            for item in found:
                count += 1
                if count > max_files + 1:
                    return
                own = os.fsencode(item.name)
                name = prefix + b"/" + own if prefix else own
                _check_name(name)
                status = item.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    pending.append(name)
                    yield _Entry(name, True, 0, (status.st_dev, status.st_ino))
                elif not stat.S_ISREG(status.st_mode):
                    raise BundleError(
                        f"the output's {_show(name)} is a {_kind(status.st_mode)}, "
                        "but only files and directories can be in a proof"
                    )
                elif status.st_nlink != 1:
                    raise BundleError(f"the output's {_show(name)} is a hard link")
                elif status.st_size > _MAX_FILE:
                    raise BundleError(f"the output's {_show(name)} is larger than 8 GiB")
                else:
                    yield _Entry(name, False, status.st_size, (status.st_dev, status.st_ino))


def _encode(root: Path, entry: _Entry) -> Iterator[bytes]:
    yield _header(entry.name, entry.directory, entry.size)
    if entry.directory:
        return
    path = root / os.fsdecode(entry.name)
    # A fifo put in the file's place must not block us, nor a link lead us elsewhere.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as source:
        status = os.fstat(source.fileno())
        if (status.st_dev, status.st_ino) != entry.identity or status.st_size != entry.size:
            raise BundleError(f"the output's {_show(entry.name)} changed while it was packed")
        left = entry.size
        while left:
            chunk = source.read(min(left, _CHUNK))
            if not chunk:
                raise BundleError(f"the output's {_show(entry.name)} shrank while it was packed")
            left -= len(chunk)
            yield chunk
    yield bytes(-entry.size % BLOCK)


def _header(name: bytes, directory: bool, size: int) -> bytes:
    """The one 512-byte ustar header of an entry."""
    stored = name + b"/" if directory else name
    prefix, short = _split_name(stored)
    block = bytearray(BLOCK)
    block[0 : len(short)] = short
    block[100:108] = b"0000755\0" if directory else b"0000644\0"
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = b"%011o\0" % size
    block[136:148] = b"%011o\0" % 0
    block[148:156] = b" " * 8
    block[156:157] = _DIRECTORY if directory else _FILE
    block[257:265] = b"ustar\x0000"
    block[345 : 345 + len(prefix)] = prefix
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _split_name(stored: bytes) -> tuple[bytes, bytes]:
    """Split a path into ustar's prefix and name fields, at the first slash that makes it fit."""
    if len(stored) <= 100:
        return b"", stored
    slash = stored.find(b"/", len(stored) - 101, len(stored) - 1)
    if slash <= 0 or slash > 155:
        raise BundleError(f"the path {_show(stored)} is too long for a bundle")
    return stored[:slash], stored[slash + 1 :]


def _parse_header(block: bytes) -> tuple[bytes, bool, int]:
    kind = block[156:157]
    if kind not in (_FILE, _DIRECTORY):
        raise BundleError(f"the bundle has an entry of type {kind!r}, but only files and directories may be in it")
    prefix = block[345:500].split(b"\0", 1)[0]
    name = block[0:100].split(b"\0", 1)[0]
    name = prefix + b"/" + name if prefix else name
    directory = kind == _DIRECTORY
    name = name.removesuffix(b"/") if directory else name
    _check_name(name)
    digits = block[124:135]
    if not all(byte in b"01234567" for byte in digits):
        raise BundleError(f"the bundle's entry {_show(name)} has an unreadable size")
    size = int(digits, 8)
    if (directory and size) or _header(name, directory, size) != block:
        raise BundleError(f"the bundle's entry {_show(name)} is not in canonical form")
    return name, directory, size


def _check_name(name: bytes) -> None:
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        raise BundleError(f"the path {_show(name)} is not UTF-8") from None
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise BundleError(f"the path {_show(name)} contains a control character")
    if any(part in (b"", b".", b"..") for part in name.split(b"/")):
        raise BundleError(f"the path {_show(name)} is absolute or leads out of the bundle")


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "symbolic link"
    if stat.S_ISFIFO(mode):
        return "fifo"
    if stat.S_ISSOCK(mode):
        return "socket"
    return "device"


def _show(name: bytes) -> str:
    return repr(os.fsdecode(name)) if len(name) <= 200 else repr(os.fsdecode(name[:200])) + "…"
