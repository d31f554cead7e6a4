"""A file that is written again from its beginning: what an earlier attempt wrote stays as far as it is the same."""

from __future__ import annotations

import hashlib
from io import FileIO
from pathlib import Path

from prover_node.disk import write_whole
from prover_node.store_errors import WrongContentError, check_content, store_error

_CHUNK = 1 << 20


class KeptFile:
    """Writing goes on at :attr:`position`. Everything raises StoreError where the disk refuses."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = FileIO(path, "a+")
            self._kept = self._file.seek(0, 2)
        except OSError as error:
            raise store_error(error) from error
        self.position = 0

    def close(self) -> None:
        """What is there stays."""
        self._file.close()

    def write(self, data: bytes) -> None:
        """Write ``data``, or find that it is there."""
        try:
            if self.position < self._kept:
                self._file.seek(self.position)
                there = self._file.read(len(data))
                same = len(there) if data.startswith(there) else 0
                self.position += same
                if same < len(there) or same < len(data):
                    self._cut()
                data = data[same:]
            if data:
                write_whole(self._file, data)
                self.position += len(data)
        except OSError as error:
            raise store_error(error) from error

    def blob(self, digest: str, size: int) -> KeptBlob:
        """The next ``size`` bytes, which have this sha256 (hex); reads what is there of them, so it blocks."""
        blob = KeptBlob(self, digest, size)
        try:
            self._file.seek(self.position)
            while blob.missing and (chunk := self._file.read(min(_CHUNK, blob.missing))):
                blob.take(chunk)
        except OSError as error:
            raise store_error(error) from error
        self.position += blob.received
        return blob

    def back_to(self, position: int) -> None:
        """Forget what is from ``position`` on."""
        self.position = position
        self._cut()

    def _cut(self) -> None:
        try:
            self._file.truncate(self.position)
        except OSError as error:
            raise store_error(error) from error
        self._kept = min(self._kept, self.position)


class KeptBlob:
    """Bytes within a kept file that are checked by their hash."""

    def __init__(self, file: KeptFile, digest: str, size: int) -> None:
        self._file = file
        self._begin = file.position
        self._digest = digest
        self._size = size
        self._sha256 = hashlib.sha256()
        self.received = 0

    @property
    def missing(self) -> int:
        """Bytes that are still to come."""
        return self._size - self.received

    def take(self, chunk: bytes) -> None:
        """These bytes are in the file."""
        self._sha256.update(chunk)
        self.received += len(chunk)

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``; raises WrongContentError as soon as there is more than was stated."""
        if len(chunk) > self.missing:
            raise WrongContentError(f"more than the {self._size} bytes stated for {self._digest} came")
        self._file.write(chunk)
        self.take(chunk)

    def restart(self) -> None:
        """What is there of it is of no use."""
        self._file.back_to(self._begin)
        self._sha256 = hashlib.sha256()
        self.received = 0

    def check(self) -> None:
        """Raises WrongContentError unless size and hash are as stated."""
        check_content(self._digest, self._size, self._sha256.hexdigest(), self.received)
