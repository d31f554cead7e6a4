"""The committed state in memory, with rows that can really go away: a simulated week makes and ends many."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Removing one key from a sorted list costs about as much as looking at so many.
_FEW = 16


class Rows:
    """A KVReader over a dict, with the keys of each collection (first byte) in a sorted list."""

    __slots__ = ("_keys", "_rows")

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._keys: dict[int, list[bytes]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def iterate(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        found: list[bytes] = []
        for bucket in range(start[0] if start else 0, end[0] + 1):
            keys = self._keys.get(bucket)
            if keys:
                found += keys[bisect_left(keys, start) : bisect_left(keys, end)]
        for key in reversed(found) if reverse else found:
            value = self._rows.get(key)
            if value is not None:
                yield key, value

    def commit(self, writes: Mapping[bytes, bytes | None]) -> None:
        """Take over a block's writes."""
        rows = self._rows
        gone: dict[int, list[bytes]] = {}
        fresh: dict[int, list[bytes]] = {}
        for key, value in writes.items():
            if value is not None:
                if key not in rows:
                    fresh.setdefault(key[0], []).append(key)
                rows[key] = value
            elif rows.pop(key, None) is not None:
                gone.setdefault(key[0], []).append(key)
        for bucket, removed in gone.items():
            keys = self._keys[bucket]
            if len(removed) > _FEW:
                self._keys[bucket] = [key for key in keys if key in rows]
            else:
                for key in removed:
                    del keys[bisect_left(keys, key)]
        for bucket, added in fresh.items():
            keys = self._keys.setdefault(bucket, [])
            if len(added) > _FEW:
                keys += added
                keys.sort()
            else:
                for key in added:
                    insort(keys, key)

    def size_by_collection(self) -> dict[int, int]:
        """Bytes of keys and values by prefix byte."""
        return {
            bucket: sum(len(key) + len(self._rows[key]) for key in keys) for bucket, keys in sorted(self._keys.items())
        }
