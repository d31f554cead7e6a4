"""What the state machine asks of a key-value map, and the plain map in memory used for genesis and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from chain.state.errors import StateError
from chain.state.row_index import RowIndex

if TYPE_CHECKING:
    from collections.abc import Iterator


class Getter(Protocol):
    """Anything that rows can be got from by key."""

    def get(self, key: bytes, /) -> bytes | None:
        """The value stored under key, or None."""
        ...


class KVReader(Protocol):
    """Read access to an ordered map of bytes to non-empty bytes."""

    def get(self, key: bytes) -> bytes | None:
        """The value stored under key, or None."""
        ...

    def iterate(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """The rows with start <= key < end in byte order, or in the opposite order."""
        ...


class KV(KVReader, Protocol):
    """Read and write access to an ordered map of bytes to non-empty bytes."""

    def set(self, key: bytes, value: bytes) -> None:
        """Store value, which must not be empty (ICS-23 can't prove an empty value), under key."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove key; a key that isn't there is no error."""
        ...


class MemoryKV:
    """A KV in memory: the bottom layer of tests and of a state that was never committed."""

    __slots__ = ("_index", "_rows")

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes | None] = {}
        self._index = RowIndex(self._rows)

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def set(self, key: bytes, value: bytes) -> None:
        if not value:
            raise StateError(f"the value of key {key.hex()} is empty; delete the key instead")
        self._rows[key] = value

    def delete(self, key: bytes) -> None:
        if key in self._rows:
            self._rows[key] = None

    def iterate(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        keys = self._index.keys_between(start, end)
        for key in reversed(keys) if reverse else keys:
            value = self._rows[key]
            if value is not None:
                yield key, value


def prefix_end(prefix: bytes) -> bytes:
    """The smallest bytes greater than everything that starts with prefix; StateError if there is none."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        raise StateError(
            f"no key follows those with prefix {prefix.hex() or '(empty)'}; use a prefix with a byte below ff"
        )
    return stripped[:-1] + bytes((stripped[-1] + 1,))
