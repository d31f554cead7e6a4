"""The content-addressed store: files on local disk under their sha256, complete and right or not there.

Only images from registries have other names: ``oci-`` and the hash of the manifest, from which they are assembled.

Images, assets, inputs and fetched proofs are a cache: the least recently used go when the store is full. What a
running job holds, and the node's own proofs, stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import IO

_NAME = re.compile(r"(?:oci-)?[0-9a-f]{64}")


class StoreError(Exception):
    """The store can't do it; the message says why."""


class WrongContentError(StoreError):
    """The bytes that came aren't the ones that were named."""


class BlobSink:
    """Takes one blob's bytes as they arrive, and checks them."""

    def __init__(self, file: IO[bytes], digest: str, size: int) -> None:
        self._file = file
        self._digest = digest
        self._size = size
        self._sha256 = hashlib.sha256()
        self._received = 0

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``; raises WrongContentError as soon as there is more than was stated.

        Raises StoreError if the disk refuses.
        """
        self._received += len(chunk)
        if self._received > self._size:
            raise WrongContentError(f"more than the {self._size} bytes stated for {self._digest} came")
        self._sha256.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise StoreError(f"the store can't be written: {error}") from error

    def finish(self) -> None:
        """Raises WrongContentError unless size and hash are as stated."""
        if self._received != self._size:
            raise WrongContentError(f"{self._received} bytes came instead of the {self._size} stated")
        if self._sha256.hexdigest() != self._digest:
            raise WrongContentError(f"the bytes have the sha256 {self._sha256.hexdigest()}, not {self._digest}")


class BlobStore:
    """Blobs below ``root``; at most about ``max_bytes``, except where everything is in use."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._held: Counter[str] = Counter()
        self._kept: set[str] = set()
        self._sizes: dict[str, int] = {}
        # Jobs stage and pack in threads while the event loop receives and serves.
        self._lock = threading.RLock()
        self._receiving = 0
        root.mkdir(parents=True, exist_ok=True)
        for path in root.glob("??/*"):
            if _NAME.fullmatch(path.name):
                self._sizes[path.name] = path.stat().st_size
            else:
                path.unlink()  # a download that a crash cut short

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        return self._root / digest[:2] / digest

    def find(self, digest: str) -> Path | None:
        """The blob's file, or ``None``; finding it counts as using it."""
        if digest not in self._sizes:
            return None
        path = self.path(digest)
        try:
            os.utime(path)
        except FileNotFoundError:
            self._sizes.pop(digest, None)
            return None
        return path

    def has(self, digest: str) -> bool:
        """Whether it is here, without counting as use."""
        return digest in self._sizes

    @property
    def total_bytes(self) -> int:
        """Size of all blobs."""
        with self._lock:
            return sum(self._sizes.values())

    def hold(self, digests: Iterable[str]) -> None:
        """Keep these while a job uses them; every ``hold`` needs its ``release``."""
        with self._lock:
            self._held.update(digests)

    def release(self, digests: Iterable[str]) -> None:
        """End a ``hold``."""
        with self._lock:
            self._held.subtract(digests)
            self._held += Counter()

    def keep(self, digest: str) -> None:
        """Never evict this blob, until ``unkeep``."""
        self._kept.add(digest)

    def unkeep(self, digest: str) -> None:
        """Let the blob be evicted like any other."""
        self._kept.discard(digest)

    @contextlib.asynccontextmanager
    async def receive(self, digest: str, size: int) -> AsyncIterator[BlobSink]:
        """A sink for the blob; when the block ends without an error, the blob is in the store.

        Raises StoreError when ``size`` doesn't fit, WrongContentError when the bytes are wrong.
        """
        async with self.make(digest, size) as file:
            sink = BlobSink(file, digest, size)
            yield sink
            sink.finish()

    @contextlib.asynccontextmanager
    async def make(self, name: str, size: int) -> AsyncIterator[IO[bytes]]:
        """A file to fill; when the block ends without an error, it is in the store as ``name``.

        The caller vouches for its content. Raises StoreError when ``size`` (bytes) doesn't fit.
        """
        await asyncio.to_thread(self._make_room, size)
        folder = self.path(name).parent
        folder.mkdir(exist_ok=True)
        self._receiving += size
        try:
            with tempfile.NamedTemporaryFile(prefix=".receiving-", dir=folder, delete=False) as file:
                try:
                    yield file
                    await asyncio.to_thread(_sync, file)
                    self._install(Path(file.name), name, size)
                except BaseException:
                    _discard(file.name)
                    raise
        finally:
            self._receiving -= size

    def adopt(self, file: Path, digest: str, size: int) -> Path:
        """Move ``file``, whose content is known to be ``digest`` and synced, into the store."""
        self._make_room(size)
        self.path(digest).parent.mkdir(exist_ok=True)
        self._install(file, digest, size)
        return self.path(digest)

    def _install(self, file: Path, digest: str, size: int) -> None:
        path = self.path(digest)
        file.chmod(0o644)
        file.replace(path)
        _sync_directory(path.parent)
        with self._lock:
            self._sizes[digest] = size

    def _make_room(self, size: int) -> None:
        if size > self._max_bytes:
            raise StoreError(
                f"a file of {size} bytes is more than the store's max_bytes of {self._max_bytes}; raise it in the "
                "configuration to take such tasks"
            )
        with self._lock:
            excess = self.total_bytes + self._receiving + size - self._max_bytes
            for digest in self._evictable() if excess > 0 else ():
                self.path(digest).unlink(missing_ok=True)
                excess -= self._sizes.pop(digest)
                if excess <= 0:
                    break

    def _evictable(self) -> Iterator[str]:
        """Blobs that nothing needs, the least recently used first."""
        free = [digest for digest in self._sizes if digest not in self._kept and not self._held[digest]]
        free.sort(key=lambda digest: _used_at(self.path(digest)))
        yield from free


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _discard(name: str) -> None:
    Path(name).unlink(missing_ok=True)


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
