"""The store: right bytes under their hash or nothing, and room for the next."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from prover_node.storage import BlobStore
from prover_node.store_errors import DiskFull, StoreError, WrongContentError


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@dataclass
class SmallDisk:
    """A disk of ``size`` bytes on which nothing but the store's files lies."""

    size: int = 1 << 30

    def free_bytes(self, root: Path) -> int:
        return self.size - sum(path.stat().st_size for path in files_below(root) if path.suffix != ".json")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SmallDisk:
    made = SmallDisk()
    monkeypatch.setattr("prover_node.storage.free_bytes", made.free_bytes)
    return made


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


async def receive_part(store: BlobStore, data: bytes, upto: int) -> int:
    """How many bytes were there already; breaks off after ``upto``."""
    with contextlib.suppress(ConnectionError):
        async with store.resume(sha(data), len(data)) as partial:
            there = partial.received
            partial.take_from("http://files", '"tag"')
            partial.write(data[there:upto])
            if upto < len(data):
                raise ConnectionError
    return there


async def test_what_came_in_part_is_continued_even_by_another_process(tmp_path: Path) -> None:
    data = b"hello world"
    assert await receive_part(BlobStore(tmp_path, 100), data, 5) == 0
    store = BlobStore(tmp_path, 100)
    assert not store.has(sha(data))
    assert await receive_part(store, data, 8) == 5
    assert await receive_part(store, data, 11) == 8
    assert store.path(sha(data)).read_bytes() == data
    assert files_below(tmp_path) == [store.path(sha(data))]


async def test_who_is_cancelled_before_the_part_was_read_leaves_it_closed_and_as_it_was(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 100)
    await receive_part(store, b"hello world", 5)
    for steps in range(12):

        async def resume() -> None:
            async with store.resume(sha(b"hello world"), 11):
                await asyncio.Event().wait()

        task = asyncio.create_task(resume())
        for _ in range(steps):
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await receive_part(store, b"hello world", 11) == 5


async def test_wrong_bytes_are_not_kept_for_the_next_attempt(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 100)
    await receive_part(store, b"hello world", 5)
    with pytest.raises(WrongContentError):
        async with store.resume(sha(b"hello world"), 11) as partial:
            partial.take_from("http://liar", "")
            partial.write(b"xxxxxx")
    assert files_below(tmp_path) == []


async def test_a_part_of_unknown_origin_is_not_used(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 100)
    (tmp_path / "partial" / sha(b"hello")).write_bytes(b"hel")
    assert await receive_part(store, b"hello", 4) == 0


async def test_a_part_that_is_larger_than_what_is_stated_now_is_not_used(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 100)
    await receive_part(store, b"hello", 4)
    with pytest.raises(WrongContentError, match="more than the 3 bytes stated"):
        async with store.resume(sha(b"hello"), 3) as partial:
            assert partial.received == 0
            partial.write(b"hello")
    assert files_below(tmp_path) == []


async def test_old_parts_go_and_so_do_the_oldest_when_room_is_needed(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 100)
    for data in (b"first", b"second", b"third"):
        await receive_part(store, data, 2)
    os.utime(tmp_path / "partial" / sha(b"first"), (1, 1))
    store.discard_old_partials()
    left = {path.name for path in files_below(tmp_path)}
    assert left == {f"{sha(data)}{suffix}" for data in (b"second", b"third") for suffix in ("", ".json")}


async def test_the_cache_gives_way_before_the_disks_reserve_is_touched(tmp_path: Path, disk: SmallDisk) -> None:
    disk.size = 20
    store = BlobStore(tmp_path, 100, reserve_bytes=6)
    old, _ = await put(store, b"aaaa", age=20), await put(store, b"bbbb", age=10)
    await receive_part(store, b"part", 2)
    assert (store.free_bytes, store.room) == (4, 14)
    await put(store, b"ccccccc")
    assert not store.has(old)
    assert files_below(tmp_path / "partial") == []
    assert store.room == 14


async def test_what_does_not_fit_beside_the_reserve_is_refused_and_what_was_made_here_is_not(
    tmp_path: Path, disk: SmallDisk
) -> None:
    disk.size = 20
    store = BlobStore(tmp_path / "store", 100, reserve_bytes=6)
    kept = await put(store, b"0123456789")
    store.keep(kept)
    assert store.room == 4
    with pytest.raises(DiskFull, match="5 bytes are to come, and only 4 are free beside the reserve of 6"):
        await put(store, b"hello")
    made = tmp_path / "store" / "made"
    made.write_bytes(b"a proof")
    store.keep(sha(b"a proof"))
    assert store.adopt(made, sha(b"a proof"), 7).is_file()
    assert store.room < 0


async def test_two_that_come_at_once_do_not_count_on_the_same_room(tmp_path: Path, disk: SmallDisk) -> None:
    disk.size = 12
    store = BlobStore(tmp_path, 100)
    async with store.resume(sha(b"12345678"), 8) as partial:
        partial.take_from("http://files", "")
        partial.write(b"1234")
        assert store.room == 4
        with pytest.raises(DiskFull):
            await put(store, b"hello")
        await put(store, b"four")
        partial.write(b"5678")


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
