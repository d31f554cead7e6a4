"""The prover's store in any order of puts, pins, evictions and deaths, on a disk that is too small.

Hypothesis plays the downloads, the jobs and fate: the process dies before or after any change to the file system.
What must hold whatever happens: under a hash lie those bytes or none; what a job holds or the node keeps stays; what
was put in is there until it has to give way; and a new process finds what the old one left, and no rubbish.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from prover_node.partial_file import PartialFile
from prover_node.storage import BlobStore
from prover_node.store_errors import DiskFull, StoreError, WrongContentError

CONTENTS = [bytes([65 + index]) * size for index, size in enumerate((1, 3, 4, 5, 6, 9))]
DIGESTS = [hashlib.sha256(content).hexdigest() for content in CONTENTS]
MAX_BYTES = 12
DISK_BYTES = 16
RESERVE_BYTES = 2
CHANGES = ("replace", "unlink", "fsync", "mkdir", "chmod", "utime")

blobs = st.integers(0, len(CONTENTS) - 1)
steps = st.none() | st.integers(1, 12)


class Death(BaseException):
    """kill -9: whoever sees it can't change the disk any more."""


class Cut(Exception):
    """The connection breaks."""


@contextlib.contextmanager
def dying_after(changes: int | None, *, performed: bool) -> Iterator[None]:
    """Die at the so many'th change to the file system, once it is ``performed`` or just before."""
    left = [changes if changes is not None else -1]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                if performed:
                    real(*arguments, **options)
                raise Death
            if left[0] < 0 and changes is not None:
                raise Death
            return real(*arguments, **options)

        return change

    with contextlib.ExitStack() as stack:
        for name in CHANGES:
            stack.enter_context(mock.patch.object(os, name, dying(getattr(os, name))))
        yield


def send(rest: bytes, partial: PartialFile, cut: int | None) -> None:
    """As a server does whose connection breaks after ``cut`` bytes."""
    partial.write(rest[:cut])
    if cut is not None and cut < len(rest):
        raise Cut


class Stores(RuleBasedStateMachine):
    """One store on one disk, opened anew after every death."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="blob-store-"))
        self.runner = asyncio.Runner()
        self.patch = mock.patch("prover_node.storage.free_bytes", self.free_bytes)
        self.patch.start()
        self.store = self.open()
        self.held: Counter[str] = Counter()
        self.kept: set[str] = set()
        self.pinned: set[str] = set()
        """Was there when it was held or kept, or came later: must be there."""

    def teardown(self) -> None:
        self.patch.stop()
        self.runner.close()
        shutil.rmtree(self.root)

    def free_bytes(self, root: Path) -> int:
        return DISK_BYTES - sum(path.stat().st_size for path in self.files() if path.suffix != ".json")

    def files(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_file()]

    def open(self) -> BlobStore:
        return BlobStore(self.root, MAX_BYTES, RESERVE_BYTES)

    def restart(self) -> None:
        """A new process: what it holds and keeps is told to it again, as the daemon does."""
        self.held.clear()
        self.store = self.open()
        for digest in self.kept:
            self.store.keep(digest)
        self.pinned = {digest for digest in self.kept if self.store.has(digest)}
        assert not [path for path in self.files() if path.name.startswith(".")]
        there = {path.name for path in self.root.glob("??/*")}
        assert there == {digest for digest in DIGESTS if self.store.has(digest)}

    def live(self, work: Callable[[], Coroutine[None, None, None]], changes: int | None, performed: bool) -> bool:
        """Whether the process lived through ``work``."""
        with dying_after(changes, performed=performed):
            try:
                self.runner.run(work())
            except Death:
                died = True
            else:
                died = False
        if died:
            self.restart()
        return not died

    def note(self, digest: str) -> None:
        if self.store.has(digest) and (self.held[digest] or digest in self.kept):
            self.pinned.add(digest)

    @rule(index=blobs, changes=steps, performed=st.booleans(), cut=st.none() | st.integers(0, 8), whole=st.booleans())
    def put(self, index: int, changes: int | None, performed: bool, cut: int | None, whole: bool) -> None:
        """Download it, perhaps in parts; perhaps the connection breaks after ``cut`` bytes."""
        content, digest = CONTENTS[index], DIGESTS[index]
        outcome: list[str] = []

        async def work() -> None:
            try:
                if whole:
                    async with self.store.receive(digest, len(content)) as sink:
                        sink.write(content)
                else:
                    async with self.store.resume(digest, len(content)) as partial:
                        assert (self.root / "partial" / digest).read_bytes() == content[: partial.received]
                        partial.take_from("http://files", "")
                        send(content[partial.received :], partial, cut)
            except DiskFull:
                outcome.append("full")
            except Cut:
                outcome.append("cut")
            else:
                outcome.append("put")

        fitted, free = self.store.room >= len(content), self.store.free_bytes
        if self.live(work, changes, performed):
            assert outcome == ["full"] or fitted or outcome == ["cut"] or self.in_use() + len(content) > MAX_BYTES
            if outcome == ["put"]:
                assert self.store.has(digest)
                assert self.store.free_bytes >= min(free, 0)
                assert self.stored() <= max(MAX_BYTES, self.in_use() + len(content))
            if fitted:
                assert outcome != ["full"]
            self.note(digest)

    @rule(index=blobs)
    def put_something_else(self, index: int) -> None:
        content, digest = CONTENTS[index], DIGESTS[index]
        there = self.store.has(digest)

        async def work() -> None:
            async with self.store.resume(digest, len(content)) as partial:
                partial.restart()
                partial.take_from("http://liar", "")
                partial.write(b"x" * len(content))

        with contextlib.suppress(WrongContentError, DiskFull):
            self.runner.run(work())
        assert self.store.has(digest) <= there
        assert not (self.root / "partial" / digest).exists() or self.store.room < len(content)

    @rule(index=blobs, changes=steps, performed=st.booleans())
    def adopt(self, index: int, changes: int | None, performed: bool) -> None:
        """A proof that was made here: kept from then on."""
        content, digest = CONTENTS[index], DIGESTS[index]
        made = self.root.with_name(self.root.name + "-made")
        made.write_bytes(content)

        async def work() -> None:
            self.store.keep(digest)
            self.store.adopt(made, digest, len(content))

        self.kept.add(digest)
        if self.live(work, changes, performed):
            assert self.store.has(digest)
            assert self.stored() <= max(MAX_BYTES, self.in_use() + len(content))
        made.unlink(missing_ok=True)
        self.note(digest)

    @rule(index=blobs)
    def hold(self, index: int) -> None:
        self.store.hold([DIGESTS[index]])
        self.held[DIGESTS[index]] += 1
        self.note(DIGESTS[index])

    @rule(index=blobs)
    def release(self, index: int) -> None:
        if self.held[DIGESTS[index]]:
            self.store.release([DIGESTS[index]])
            self.held[DIGESTS[index]] -= 1
            self.unpin(DIGESTS[index])

    @rule(index=blobs)
    def unkeep(self, index: int) -> None:
        self.store.unkeep(DIGESTS[index])
        self.kept.discard(DIGESTS[index])
        self.unpin(DIGESTS[index])

    @rule()
    def die(self) -> None:
        self.restart()

    def unpin(self, digest: str) -> None:
        if not self.held[digest] and digest not in self.kept:
            self.pinned.discard(digest)

    def in_use(self) -> int:
        return sum(len(CONTENTS[DIGESTS.index(digest)]) for digest in self.pinned)

    def stored(self) -> int:
        parts = [path for path in (self.root / "partial").iterdir() if path.suffix != ".json"]
        return self.store.total_bytes + sum(path.stat().st_size for path in parts)

    @invariant()
    def what_lies_under_a_hash_has_it(self) -> None:
        for path in self.root.glob("??/*"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name

    @invariant()
    def what_is_there_is_found(self) -> None:
        for digest in DIGESTS:
            assert (self.store.find(digest) is not None) == self.store.has(digest) == self.store.path(digest).is_file()

    @invariant()
    def what_is_in_use_stays(self) -> None:
        assert all(self.store.has(digest) for digest in self.pinned)

    @invariant()
    def parts_are_never_larger_than_the_whole(self) -> None:
        for path in (self.root / "partial").iterdir():
            if path.suffix != ".json":
                assert path.stat().st_size <= len(CONTENTS[DIGESTS.index(path.name)])


def test_more_than_the_store_may_hold_is_refused_whatever_is_free() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = BlobStore(Path(folder), MAX_BYTES)
        assert store.room == MAX_BYTES

        async def work() -> None:
            async with store.resume("a" * 64, MAX_BYTES + 1):
                pass

        with contextlib.suppress(StoreError):
            asyncio.run(work())
            raise AssertionError("it was taken")


Stores.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStores = Stores.TestCase
