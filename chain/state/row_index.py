"""Ordered access to the keys of a growing dict, paid for only by those who iterate."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice


class RowIndex:
    """The keys of a dict, bucketed by first byte (a collection's prefix) and sorted when first asked for.

    The dict may gain keys and change values but must never lose a key: a dict keeps insertion order, so the keys
    that were added since the last look are exactly its last ones. That leaves a write as cheap as a dict write.
    """

    __slots__ = ("_added", "_rows", "_seen", "_sorted")

    def __init__(self, rows: dict[bytes, bytes | None]) -> None:
        self._rows = rows
        self._seen = 0
        self._added: dict[int, list[bytes]] = {}
        self._sorted: dict[int, list[bytes]] = {}

    def keys_between(self, start: bytes, end: bytes) -> list[bytes]:
        """A new sorted list of the keys with start <= key < end."""
        if start >= end:
            return []
        self._collect()
        # The last bucket that may hold keys below `end`; an `end` of one byte excludes its own bucket.
        last = end[0] if len(end) > 1 else end[0] - 1
        first = start[0] if start else 0
        if first == last:
            return self._slice(first, start, end)
        keys: list[bytes] = []
        for bucket in range(first, last + 1):
            keys += self._slice(bucket, start, end)
        return keys

    def _collect(self) -> None:
        count = len(self._rows) - self._seen
        if not count:
            return
        for key in islice(reversed(self._rows), count):
            bucket = key[0]
            added = self._added.get(bucket)
            if added is None:
                self._added[bucket] = [key]
            else:
                added.append(key)
        self._seen += count

    def _slice(self, bucket: int, start: bytes, end: bytes) -> list[bytes]:
        keys = self._sorted.get(bucket)
        added = self._added.pop(bucket, None)
        if added is not None:
            if keys is None:
                keys = self._sorted[bucket] = sorted(added)
            elif len(added) * 16 < len(keys):
                for key in added:
                    insort(keys, key)
            else:
                keys += added
                keys.sort()
        if keys is None:
            return []
        return keys[bisect_left(keys, start) : bisect_left(keys, end)]
