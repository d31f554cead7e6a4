"""A blob that hasn't come whole yet: its first bytes, and where they are from, kept for the next attempt.

The file has the name of what it becomes, and one with ``.json`` behind it says where it is from. Neither is synced
before the end, because the hash tells then.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Self

from prover_node.store_errors import WrongContentError, check_content, store_error

_ORIGIN = ".json"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Origin:
    """Where bytes came from; ``validator`` is the server's strong ETag or the date of the change, or empty.

    ``pieces`` counts the answers that they were put together from.
    """

    url: str = ""
    validator: str = ""
    pieces: int = 0


class PartialFile:
    """The first bytes of the blob ``digest`` (hex) of ``size`` bytes; a context manager that closes the file.

    Raises StoreError where the disk refuses, DiskFull where it is full.
    """

    def __init__(self, path: Path, file: FileIO, digest: str, size: int) -> None:
        self._path = path
        self._file = file
        self._digest = digest
        self._size = size
        self._sha256 = hashlib.sha256()
        self.received = 0
        self.origin = _read_origin(path)
        while self.received <= size and (chunk := file.read(_CHUNK)):
            self._sha256.update(chunk)
            self.received += len(chunk)
        if self.received > size or not (self.received and self.origin.pieces):
            self.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """What came is kept."""
        self._file.close()

    @property
    def missing(self) -> int:
        """Bytes that are still to come."""
        return self._size - self.received

    def take_from(self, url: str, validator: str) -> None:
        """What is written from now on is another answer, from ``url``."""
        self.origin = Origin(url, validator, self.origin.pieces + 1)
        try:
            _origin_path(self._path).write_text(json.dumps(asdict(self.origin)))
        except OSError as error:
            raise store_error(error) from error

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``; raises WrongContentError as soon as there is more than was stated."""
        if len(chunk) > self.missing:
            raise WrongContentError(f"more than the {self._size} bytes stated for {self._digest} came")
        view = memoryview(chunk)
        try:
            while view:
                written = self._file.write(view)
                self._sha256.update(view[:written])
                self.received += written
                view = view[written:]
        except OSError as error:
            raise store_error(error) from error

    def restart(self) -> None:
        """Begin anew: what is there is of no use."""
        try:
            self._file.truncate(0)
        except OSError as error:
            raise store_error(error) from error
        self._sha256 = hashlib.sha256()
        self.received = 0
        self.origin = Origin()

    def check(self) -> None:
        """Raises WrongContentError unless size and hash are as stated."""
        check_content(self._digest, self._size, self._sha256.hexdigest(), self.received)


def open_partial(path: Path, digest: str, size: int) -> PartialFile:
    """Read what is there already; blocks as long as that takes. Raises StoreError."""
    try:
        file = FileIO(path, "a+")
        try:
            file.seek(0)
            return PartialFile(path, file, digest, size)
        except BaseException:
            file.close()
            raise
    except OSError as error:
        raise store_error(error) from error


def discard_partial(path: Path) -> None:
    """Remove a partial file and what is known about it."""
    path.unlink(missing_ok=True)
    _origin_path(path).unlink(missing_ok=True)


def forget_origin(path: Path) -> None:
    """The partial file has become a blob."""
    _origin_path(path).unlink(missing_ok=True)


def discard_lost_origins(folder: Path) -> None:
    """Remove what is known about files that aren't there any more."""
    for origin in folder.glob(f"*{_ORIGIN}"):
        if not origin.with_suffix("").exists():
            origin.unlink(missing_ok=True)


def _origin_path(path: Path) -> Path:
    return path.with_name(path.name + _ORIGIN)


def _read_origin(path: Path) -> Origin:
    """Of bytes whose origin isn't known: none, so they aren't used."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        fields = json.loads(_origin_path(path).read_text())
        return Origin(str(fields["url"]), str(fields["validator"]), int(fields["pieces"]))
    return Origin()
