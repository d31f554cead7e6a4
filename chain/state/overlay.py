"""Nested write layers: a block over the store, a transaction over the block, a message over the transaction."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from chain.state.errors import StateError
from chain.state.row_index import RowIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chain.state.kv import KVReader

_UNWRITTEN = object()


class Overlay:
    """A KV that keeps its writes to itself and reads through to its parent; it holds bytes only, so nothing is aliased.

    An iteration covers the keys that are there when its first row is taken and yields their values as they are when
    they are reached: rows deleted meanwhile are left out, so a loop may delete or update what it visits. Don't add
    keys to the range that is being iterated.
    """

    __slots__ = ("_index", "_parent", "_parent_get", "_writes")

    def __init__(self, parent: KVReader) -> None:
        self._parent = parent
        self._parent_get = parent.get
        self._writes: dict[bytes, bytes | None] = {}
        self._index = RowIndex(self._writes)

    @property
    def writes(self) -> Mapping[bytes, bytes | None]:
        """What this layer changed: key to new value, or to None where deleted."""
        return MappingProxyType(self._writes)

    def get(self, key: bytes) -> bytes | None:
        value = self._writes.get(key, _UNWRITTEN)
        if value is _UNWRITTEN:
            return self._parent_get(key)
        return value  # type: ignore[return-value]  # not the sentinel, so bytes or None

    def set(self, key: bytes, value: bytes) -> None:
        if not value:
            raise StateError(f"the value of key {key.hex()} is empty; delete the key instead")
        self._writes[key] = value

    def delete(self, key: bytes) -> None:
        self._writes[key] = None

    def write_all(self, writes: Mapping[bytes, bytes | None]) -> None:
        """Set every key of writes, deleting those whose value is None."""
        self._writes.update(writes)

    def iterate(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        keys = self._index.keys_between(start, end)
        parent_rows = self._parent.iterate(start, end, reverse=reverse)
        writes = self._writes
        if not reverse:
            keys.reverse()
        # `keys` is now a stack whose last element is the next own key.
        for parent_key, parent_value in parent_rows:
            while keys and (keys[-1] > parent_key if reverse else keys[-1] < parent_key):
                own_key = keys.pop()
                own_value = writes[own_key]
                if own_value is not None:
                    yield own_key, own_value
            if keys and keys[-1] == parent_key:
                keys.pop()
            value = writes.get(parent_key, parent_value)
            if value is not None:
                yield parent_key, value
        while keys:
            own_key = keys.pop()
            own_value = writes[own_key]
            if own_value is not None:
                yield own_key, own_value

    def merge_into_parent(self) -> None:
        """Hand this layer's writes to the parent layer, which must be an Overlay, and start afresh."""
        parent = self._parent
        if not isinstance(parent, Overlay):
            raise StateError(f"writes can be merged into another overlay only, not into a {type(parent).__name__}")
        parent.write_all(self._writes)
        self.discard()

    def discard(self) -> None:
        """Forget this layer's writes."""
        if self._writes:
            self._writes = {}
            self._index = RowIndex(self._writes)
