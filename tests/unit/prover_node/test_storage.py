"""The store: right bytes under their hash or nothing, and room for the next."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from prover_node.storage import BlobStore, StoreError, WrongContentError


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def put(store: BlobStore, data: bytes, *, age: int = 0) -> str:
    async with store.receive(sha(data), len(data)) as sink:
        sink.write(data)
    used = 1_000_000 - age
    os.utime(store.path(sha(data)), (used, used))
    return sha(data)


async def test_what_came_whole_is_found_again_even_after_a_restart(tmp_path: Path) -> None:
    digest = await put(BlobStore(tmp_path, 100), b"hello")
    path = BlobStore(tmp_path, 100).find(digest)
    assert path is not None
    assert path.read_bytes() == b"hello"


@pytest.mark.parametrize(("stated", "came"), [(b"hello", b"hellO"), (b"hello", b"hell"), (b"hello", b"hello!")])
async def test_other_bytes_than_named_leave_nothing(tmp_path: Path, stated: bytes, came: bytes) -> None:
    store = BlobStore(tmp_path, 100)
    with pytest.raises(WrongContentError):
        async with store.receive(sha(stated), len(stated)) as sink:
            sink.write(came)
    assert store.find(sha(stated)) is None
    assert files_below(tmp_path) == []


async def test_a_download_that_is_cut_short_leaves_nothing(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 100)
    with pytest.raises(asyncio.CancelledError):
        async with store.receive(sha(b"hello"), 5) as sink:
            sink.write(b"he")
            raise asyncio.CancelledError
    assert files_below(tmp_path) == []


async def test_what_a_killed_process_was_receiving_is_removed_at_the_next_start(tmp_path: Path) -> None:
    digest = await put(BlobStore(tmp_path, 100), b"hello")
    torn = tmp_path / digest[:2] / ".receiving-x"
    torn.write_bytes(b"half")
    BlobStore(tmp_path, 100)
    assert not torn.exists()


async def test_the_least_recently_used_makes_room(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 10)
    old = await put(store, b"aaaa", age=20)
    new = await put(store, b"bbbb", age=10)
    store.find(old)  # used just now
    third = await put(store, b"cccc")
    assert store.find(new) is None
    assert store.find(old) is not None
    assert store.find(third) is not None
    assert store.total_bytes == 8


async def test_what_is_held_or_kept_stays(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 10)
    held = await put(store, b"aaaa", age=20)
    kept = await put(store, b"bbbb", age=10)
    store.hold([held, held])
    store.keep(kept)
    await put(store, b"cccc")
    assert store.find(held) is not None
    assert store.find(kept) is not None
    store.release([held])
    await put(store, b"dddd")
    assert store.find(held) is not None
    store.release([held])
    store.unkeep(kept)
    os.utime(store.path(held), (1, 1))
    os.utime(store.path(kept), (2, 2))
    await put(store, b"eeee")
    assert store.find(held) is None


async def test_more_than_the_store_may_ever_hold_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="more than the store's max_bytes of 4"):
        async with BlobStore(tmp_path, 4).receive(sha(b"hello"), 5):
            pass


async def test_a_file_is_adopted_without_copying(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "store", 100)
    made = tmp_path / "made"
    made.write_bytes(b"proof")
    inode = made.stat().st_ino
    assert store.adopt(made, sha(b"proof"), 5).stat().st_ino == inode


async def test_a_file_that_vanished_is_not_found(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 100)
    digest = await put(store, b"hello")
    store.path(digest).unlink()
    assert store.find(digest) is None
    assert store.total_bytes == 0
