from __future__ import annotations

from validator_node.row_cache import RowCache


def test_rows_are_loaded_once_and_absent_rows_too() -> None:
    loaded: list[bytes] = []

    def load(key: bytes) -> bytes | None:
        loaded.append(key)
        return b"value" if key == b"there" else None

    cache = RowCache(load, 10)
    for _ in range(3):
        assert cache.get(b"there") == b"value"
        assert cache.get(b"absent") is None
    assert loaded == [b"there", b"absent"]


def test_a_written_row_replaces_what_was_loaded_in_either_generation() -> None:
    cache = RowCache(lambda _: b"old", 4)
    for key in (b"a", b"b", b"c"):
        assert cache.get(key) == b"old"
    cache.put(b"a", b"new")
    cache.put(b"c", None)
    assert cache.get(b"a") == b"new"
    assert cache.get(b"c") is None


def test_it_holds_no_more_than_its_capacity_and_keeps_what_is_used() -> None:
    loaded: list[bytes] = []

    def load(key: bytes) -> bytes:
        loaded.append(key)
        return key

    cache = RowCache(load, 10)
    for number in range(100):
        cache.get(b"hot")
        cache.get(b"%d" % number)
    assert loaded.count(b"hot") == 1
    loaded.clear()
    for number in range(100):
        cache.get(b"%d" % number)
    assert len(loaded) >= 90
