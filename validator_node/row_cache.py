"""A bounded cache of rows by key, roughly least recently used, with next to no cost for a hit."""

from __future__ import annotations

from collections.abc import Callable

_ABSENT = object()


class RowCache:
    """The rows that were used last, absent ones included, in front of a slower `load`.

    Two generations: when the younger one is full it becomes the older one, whose unused rows are forgotten. At most
    `capacity` rows are held. Not for use by several threads.
    """

    __slots__ = ("_half", "_load", "_older", "_younger")

    def __init__(self, load: Callable[[bytes], bytes | None], capacity: int) -> None:
        self._load = load
        self._half = max(1, capacity // 2)
        self._younger: dict[bytes, bytes | None] = {}
        self._older: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """The row's value, or None if there is no such row."""
        value = self._younger.get(key, _ABSENT)
        if value is not _ABSENT:
            return value  # type: ignore[return-value]  # not the sentinel, so bytes or None
        value = self._older.pop(key, _ABSENT)
        if value is _ABSENT:
            value = self._load(key)
        self.put(key, value)  # type: ignore[arg-type]  # likewise
        return value  # type: ignore[return-value]  # likewise

    def put(self, key: bytes, value: bytes | None) -> None:
        """Remember what was written to the row."""
        if len(self._younger) >= self._half and key not in self._younger:
            self._older = self._younger
            self._younger = {}
        self._younger[key] = value
