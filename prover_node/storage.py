"""The content-addressed store: files on local disk under their sha256, complete and right or not there.

Only images from registries have other names: ``oci-`` and the hash of the manifest, from which they are assembled.

Images, assets, inputs and fetched proofs are a cache: the least recently used go when the store or the disk is full.
What a running job holds, and the node's own proofs, stay. What has come in part is kept for a day, in a folder of its
own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from prover_node.disk import free_bytes, sync_directory, sync_file
from prover_node.kept_file import KeptFile
from prover_node.partial_file import PartialFile, discard_lost_origins, discard_partial, forget_origin, open_partial
from prover_node.store_errors import DiskFull, StoreError, WrongContentError, check_content, store_error

_NAME = re.compile(r"(?:oci-)?[0-9a-f]{64}")
_PARTIAL_KEPT_S = 24 * 3600


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
            raise store_error(error) from error

    def finish(self) -> None:
        """Raises WrongContentError unless size and hash are as stated."""
        check_content(self._digest, self._size, self._sha256.hexdigest(), self._received)


@dataclass(eq=False, slots=True)
class _Arriving:
    """What is being received: ``size`` bytes in the end, of which ``path`` has some."""

    size: int
    path: Path | None = None

    @property
    def missing(self) -> int:
        if self.path is not None:
            with contextlib.suppress(FileNotFoundError):
                return max(self.size - self.path.stat().st_size, 0)
        return self.size


class BlobStore:
    """Blobs below ``root``; at most about ``max_bytes``, except where everything is in use.

    Nothing is received that would leave less than ``reserve_bytes`` free on the disk.
    """

    def __init__(self, root: Path, max_bytes: int, reserve_bytes: int = 0) -> None:
        self._root = root
        self._partials = root / "partial"
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._held: Counter[str] = Counter()
        self._kept: set[str] = set()
        self._sizes: dict[str, int] = {}
        # Jobs stage and pack in threads while the event loop receives and serves.
        self._lock = threading.RLock()
        self._arriving: set[_Arriving] = set()
        self._partials.mkdir(parents=True, exist_ok=True)
        for path in root.glob("??/*"):
            if _NAME.fullmatch(path.name):
                self._sizes[path.name] = path.stat().st_size
            else:
                path.unlink()  # a download that a crash cut short
        self.discard_old_partials()

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
            with self._lock:
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

    @property
    def free_bytes(self) -> int:
        """What the disk has free beside the reserve; below 0 where that is touched."""
        return free_bytes(self._root) - self._reserve_bytes

    @property
    def room(self) -> int:
        """Bytes that could be received now, if the cache gave way; below 0 if the reserve is touched all the same."""
        with self._lock:
            evictable = sum(self._sizes[digest] for digest in self._sizes if self._is_free(digest))
            partial = sum(path.stat().st_size for path in self._idle_partials())
            arriving = sum(one.size for one in self._arriving)
            within_limit = self._max_bytes - (self.total_bytes - evictable) - arriving
            return min(within_limit, self._disk_room() + evictable + partial)

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
        with self._announced(_Arriving(size)) as arriving:
            await asyncio.to_thread(self._make_room, arriving)
            descriptor, arriving.path = self._new_file(name)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    yield file
                    _flush(file)
                await asyncio.to_thread(self._install, arriving.path, name, size)
            except BaseException:
                arriving.path.unlink(missing_ok=True)
                raise

    @contextlib.asynccontextmanager
    async def resume(self, digest: str, size: int) -> AsyncIterator[PartialFile]:
        """The blob as far as it has come; when the block ends without an error, it is in the store.

        What came is kept for the next attempt, also of another process, unless it is wrong or the disk is full. Only
        one at a time may receive a blob. Raises StoreError when ``size`` doesn't fit, WrongContentError when the bytes
        are wrong.
        """
        path = self._partials / digest
        with self._announced(_Arriving(size, path)) as arriving:
            await asyncio.to_thread(self._make_room, arriving)
            try:
                with await _opened(path, digest, size) as partial:
                    yield partial
                    partial.check()
                await asyncio.to_thread(self._install, path, digest, size)
            except BaseException as error:
                if isinstance(error, WrongContentError | DiskFull) or _is_empty(path):
                    discard_partial(path)
                raise
            forget_origin(path)

    @contextlib.asynccontextmanager
    async def assemble(self, name: str, size: int) -> AsyncIterator[KeptFile]:
        """Like ``make``, but what an earlier attempt wrote is found in the file, as if it were to be written again.

        It is kept as with ``resume``. Raises StoreError when ``size`` (bytes) doesn't fit.
        """
        path = self._partials / name
        with self._announced(_Arriving(size, path)) as arriving:
            await asyncio.to_thread(self._make_room, arriving)
            try:
                with contextlib.closing(KeptFile(path)) as file:
                    yield file
                    file.back_to(file.position)
                await asyncio.to_thread(self._install, path, name, size)
            except DiskFull:
                path.unlink(missing_ok=True)
                raise

    def adopt(self, file: Path, digest: str, size: int) -> Path:
        """Move ``file``, whose content is known to be ``digest``, into the store.

        It is on the disk already, so it may touch the reserve. Raises StoreError.
        """
        self._evict(size, 0)
        self._install(file, digest, size)
        return self.path(digest)

    def discard_old_partials(self) -> None:
        """Remove what came in part so long ago that nobody is going to ask for the rest."""
        with self._lock:
            for path in self._idle_partials():
                if time.time() - _used_at(path) > _PARTIAL_KEPT_S:
                    discard_partial(path)
            discard_lost_origins(self._partials)

    def _new_file(self, name: str) -> tuple[int, Path]:
        folder = self.path(name).parent
        try:
            folder.mkdir(exist_ok=True)
            descriptor, path = tempfile.mkstemp(prefix=".receiving-", dir=folder)
        except OSError as error:
            raise store_error(error) from error
        return descriptor, Path(path)

    def _install(self, file: Path, digest: str, size: int) -> None:
        path = self.path(digest)
        try:
            sync_file(file)
            file.chmod(0o644)
            path.parent.mkdir(exist_ok=True)
            file.replace(path)
            sync_directory(path.parent)
        except OSError as error:
            raise store_error(error) from error
        with self._lock:
            self._sizes[digest] = size

    @contextlib.contextmanager
    def _announced(self, arriving: _Arriving) -> Iterator[_Arriving]:
        """While the block lasts, others reckon with these bytes."""
        with self._lock:
            self._arriving.add(arriving)
        try:
            yield arriving
        finally:
            with self._lock:
                self._arriving.discard(arriving)

    def _make_room(self, arriving: _Arriving) -> None:
        """For what is announced already. Raises StoreError if there can't be any."""
        if arriving.size > self._max_bytes:
            raise StoreError(
                f"a file of {arriving.size} bytes is more than the store's max_bytes of {self._max_bytes}; raise it in "
                "the configuration to take such tasks"
            )
        with self._lock:
            self._evict(0, 0)
            if self._disk_room() < 0:
                raise DiskFull(
                    f"the disk is full: {arriving.missing} bytes are to come, and only {max(self.free_bytes, 0)} are "
                    f"free beside the reserve of {self._reserve_bytes}"
                )

    def _evict(self, store_bytes: int, disk_bytes: int) -> None:
        """Remove what nothing needs until the store and the disk have so many bytes free, as far as that goes."""
        with self._lock:
            partials = {path: path.stat().st_size for path in self._idle_partials()}
            stored = self.total_bytes + sum(partials.values())
            limit = self._max_bytes - store_bytes - sum(one.size for one in self._arriving)
            for path, size in partials.items():
                if stored <= limit and self._disk_room() >= disk_bytes:
                    return
                discard_partial(path)
                stored -= size
            for digest in self._evictable() if stored > limit or self._disk_room() < disk_bytes else ():
                self.path(digest).unlink(missing_ok=True)
                stored -= self._sizes.pop(digest)
                if stored <= limit and self._disk_room() >= disk_bytes:
                    return

    def _disk_room(self) -> int:
        """What the disk has free beside the reserve once all that was announced has come."""
        return self.free_bytes - sum(one.missing for one in self._arriving)

    def _evictable(self) -> list[str]:
        """Blobs that nothing needs, the least recently used first."""
        return sorted(filter(self._is_free, self._sizes), key=lambda digest: _used_at(self.path(digest)))

    def _is_free(self, digest: str) -> bool:
        return digest not in self._kept and digest not in self._held

    def _idle_partials(self) -> list[Path]:
        """What came in part and isn't being received, the oldest first."""
        busy = {one.path for one in self._arriving}
        found = [path for path in self._partials.iterdir() if _NAME.fullmatch(path.name) and path not in busy]
        return sorted(found, key=_used_at)


async def _opened(path: Path, digest: str, size: int) -> PartialFile:
    """Reading what is there takes a while; who is cancelled meanwhile leaves no open file behind."""
    opening = asyncio.ensure_future(asyncio.to_thread(open_partial, path, digest, size))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


def _close(opening: asyncio.Future[PartialFile]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _flush(file: IO[bytes]) -> None:
    try:
        file.flush()
    except OSError as error:
        raise store_error(error) from error


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0
