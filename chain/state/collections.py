"""Typed collections over a KV: what chain/schema.py is written in.

A collection owns one prefix byte; its rows are `prefix ‖ key`. Collections hold no state: each call names the KV.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from chain.state.errors import StateError
from chain.state.keys import KeyCodec, TupleKey
from chain.state.kv import KV, KVReader, prefix_end
from chain.state.values import BytesValue, KeyValue, Proto, StringValue, U64Value, Unit, ValueCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence as SequenceOf

__all__ = [
    "BytesValue",
    "Collection",
    "Index",
    "IndexedMap",
    "Item",
    "KeySet",
    "KeyValue",
    "Map",
    "Proto",
    "Sequence",
    "StringValue",
    "U64Value",
    "Unit",
    "check_unique_prefixes",
]

K = TypeVar("K")
V = TypeVar("V")
I = TypeVar("I")  # noqa: E741  # an index key, beside K and V


class Collection(ABC):
    """A named set of rows under one prefix byte."""

    __slots__ = ("name", "prefix")

    def __init__(self, prefix: bytes, name: str) -> None:
        if len(prefix) != 1 or prefix == b"\xff":
            raise StateError(f"the prefix of collection {name} is {prefix.hex()!r} instead of one byte from 00 to fe")
        self.prefix = prefix
        self.name = name

    @abstractmethod
    def decode(self, key: bytes, value: bytes) -> tuple[Any, Any]:
        """A stored row as (key, value) for debugging and export; the key of an Item or Sequence is None."""

    def parts(self) -> tuple[Collection, ...]:
        """This collection and those that it keeps up to date: its indexes."""
        return (self,)

    def _strip(self, key: bytes) -> bytes:
        if key[:1] != self.prefix:
            raise StateError(f"the row {key.hex()} is not one of collection {self.name}")
        return key[1:]


class Item(Collection, Generic[V]):
    """One value."""

    __slots__ = ("_value",)

    def __init__(self, prefix: bytes, name: str, value: ValueCodec[V]) -> None:
        super().__init__(prefix, name)
        self._value = value

    def get(self, kv: KVReader) -> V | None:
        raw = kv.get(self.prefix)
        return None if raw is None else self._value.decode(raw)

    def require(self, kv: KVReader) -> V:
        """The value; StateError if it was never set."""
        raw = kv.get(self.prefix)
        if raw is None:
            raise StateError(f"{self.name} is not set")
        return self._value.decode(raw)

    def set(self, kv: KV, value: V) -> None:
        kv.set(self.prefix, self._value.encode(value))

    def delete(self, kv: KV) -> None:
        kv.delete(self.prefix)

    def decode(self, key: bytes, value: bytes) -> tuple[None, V]:
        if self._strip(key):
            raise StateError(f"the row {key.hex()} is not the one of {self.name}")
        return None, self._value.decode(value)


class Sequence(Collection):
    """A counter that hands out each number once."""

    __slots__ = ("_start",)

    def __init__(self, prefix: bytes, name: str, *, start: int = 1) -> None:
        super().__init__(prefix, name)
        self._start = start

    def peek(self, kv: KVReader) -> int:
        """The number that `next` will hand out."""
        raw = kv.get(self.prefix)
        return self._start if raw is None else U64Value.decode(raw)

    def next(self, kv: KV) -> int:
        """A number that was never handed out before."""
        number = self.peek(kv)
        kv.set(self.prefix, U64Value.encode(number + 1))
        return number

    def decode(self, key: bytes, value: bytes) -> tuple[None, int]:
        if self._strip(key):
            raise StateError(f"the row {key.hex()} is not the one of {self.name}")
        return None, U64Value.decode(value)


class Map(Collection, Generic[K, V]):
    """Values by key, iterated in key order."""

    __slots__ = ("_end", "_key", "_value")

    def __init__(self, prefix: bytes, name: str, key: KeyCodec[K], value: ValueCodec[V]) -> None:
        super().__init__(prefix, name)
        self._end = prefix_end(prefix)
        self._key = key
        self._value = value

    def get(self, kv: KVReader, key: K) -> V | None:
        raw = kv.get(self.prefix + self._key.encode(key))
        return None if raw is None else self._value.decode(raw)

    def require(self, kv: KVReader, key: K) -> V:
        """The value of key; StateError if there is none."""
        raw = kv.get(self.prefix + self._key.encode(key))
        if raw is None:
            shown = key.hex() if isinstance(key, bytes) else key
            raise StateError(f"{self.name} has no {shown}")
        return self._value.decode(raw)

    def has(self, kv: KVReader, key: K) -> bool:
        return kv.get(self.prefix + self._key.encode(key)) is not None

    def set(self, kv: KV, key: K, value: V) -> None:
        kv.set(self.prefix + self._key.encode(key), self._value.encode(value))

    def delete(self, kv: KV, key: K) -> None:
        kv.delete(self.prefix + self._key.encode(key))

    def iterate(
        self,
        kv: KVReader,
        *,
        prefix_of: tuple[Any, ...] | None = None,
        start: K | None = None,
        end: K | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[K, V]]:
        """The rows with start <= key < end whose key's first parts are prefix_of, in key order or the opposite."""
        decode_key, decode_value = self._key.decode, self._value.decode
        for key, value in kv.iterate(*self._range(prefix_of, start, end), reverse=reverse):
            yield decode_key(key[1:]), decode_value(value)

    def keys(
        self,
        kv: KVReader,
        *,
        prefix_of: tuple[Any, ...] | None = None,
        start: K | None = None,
        end: K | None = None,
        reverse: bool = False,
    ) -> Iterator[K]:
        """The keys of `iterate`, without decoding values."""
        decode_key = self._key.decode
        for key, _ in kv.iterate(*self._range(prefix_of, start, end), reverse=reverse):
            yield decode_key(key[1:])

    def decode(self, key: bytes, value: bytes) -> tuple[K, V]:
        return self._key.decode(self._strip(key)), self._value.decode(value)

    def _range(self, prefix_of: tuple[Any, ...] | None, start: K | None, end: K | None) -> tuple[bytes, bytes]:
        low, high = self.prefix, self._end
        if prefix_of is not None:
            if not isinstance(self._key, TupleKey):
                raise StateError(f"the keys of {self.name} have one part, so none of it can be a prefix")
            low = self.prefix + self._key.encode_partial(prefix_of)
            high = prefix_end(low)
        if start is not None:
            low = max(low, self.prefix + self._key.encode(start))
        if end is not None:
            high = min(high, self.prefix + self._key.encode(end))
        return low, high


class KeySet(Map[K, None]):
    """Keys without values, iterated in order."""

    __slots__ = ()

    def __init__(self, prefix: bytes, name: str, key: KeyCodec[K]) -> None:
        super().__init__(prefix, name, key, Unit)

    def add(self, kv: KV, key: K) -> None:
        self.set(kv, key, None)


class Index(Collection, Generic[I, K, V]):
    """Rows (index key, primary key) that an IndexedMap keeps in step with its values.

    `function(key, value)` returns the index keys of a row: none, one or several.
    """

    __slots__ = ("_end", "_function", "_index_key", "_primary_key")

    def __init__(self, prefix: bytes, name: str, key: KeyCodec[I], function: Callable[[K, V], SequenceOf[I]]) -> None:
        super().__init__(prefix, name)
        self._end = prefix_end(prefix)
        self._index_key = key
        self._function = function
        self._primary_key: KeyCodec[K] | None = None

    def primary_keys(
        self, kv: KVReader, index_key: I, *, start: K | None = None, end: K | None = None, reverse: bool = False
    ) -> Iterator[K]:
        """The primary keys with start <= key < end that are filed under index_key, in order or the opposite."""
        codec = self._primary()
        low = base = self.prefix + self._index_key.encode_inner(index_key)
        high = prefix_end(base)
        if start is not None:
            low = base + codec.encode(start)
        if end is not None:
            high = base + codec.encode(end)
        size = len(base)
        for row, _ in kv.iterate(low, high, reverse=reverse):
            yield codec.decode(row[size:])

    def iterate(
        self,
        kv: KVReader,
        *,
        prefix_of: tuple[Any, ...] | None = None,
        start: I | None = None,
        end: I | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[I, K]]:
        """The rows (index key, primary key) with start <= index key < end whose index key begins with prefix_of."""
        low, high = self.prefix, self._end
        if prefix_of is not None:
            if not isinstance(self._index_key, TupleKey):
                raise StateError(f"the keys of {self.name} have one part, so none of it can be a prefix")
            low = self.prefix + self._index_key.encode_partial(prefix_of)
            high = prefix_end(low)
        if start is not None:
            low = max(low, self.prefix + self._index_key.encode_inner(start))
        if end is not None:
            high = min(high, self.prefix + self._index_key.encode_inner(end))
        for row, _ in kv.iterate(low, high, reverse=reverse):
            yield self._decode_row(row)

    def decode(self, key: bytes, value: bytes) -> tuple[tuple[I, K], None]:
        self._strip(key)
        Unit.decode(value)
        return self._decode_row(key), None

    def attach(self, primary_key: KeyCodec[K]) -> None:
        """Called once by the IndexedMap that owns this index."""
        if self._primary_key is not None:
            raise StateError(f"the index {self.name} already belongs to a map")
        self._primary_key = primary_key

    def rows(self, key: K, value: V) -> list[bytes]:
        """The index rows of one primary row."""
        suffix = self._primary().encode(key)
        return [
            self.prefix + self._index_key.encode_inner(index_key) + suffix for index_key in self._function(key, value)
        ]

    def _primary(self) -> KeyCodec[K]:
        if self._primary_key is None:
            raise StateError(f"the index {self.name} belongs to no map")
        return self._primary_key

    def _decode_row(self, row: bytes) -> tuple[I, K]:
        index_key, offset = self._index_key.decode_inner(row, 1)
        return index_key, self._primary().decode(row[offset:])


class IndexedMap(Map[K, V]):
    """A Map whose indexes follow every set and delete."""

    __slots__ = ("indexes",)

    def __init__(
        self,
        prefix: bytes,
        name: str,
        key: KeyCodec[K],
        value: ValueCodec[V],
        indexes: Iterable[Index[Any, K, V]],
    ) -> None:
        super().__init__(prefix, name, key, value)
        self.indexes = tuple(indexes)
        for index in self.indexes:
            index.attach(key)

    def set(self, kv: KV, key: K, value: V) -> None:
        row = self.prefix + self._key.encode(key)
        raw = kv.get(row)
        encoded = self._value.encode(value)
        old = None if raw is None else self._value.decode(raw)
        for index in self.indexes:
            new_rows = index.rows(key, value)
            old_rows = [] if old is None else index.rows(key, old)
            for old_row in old_rows:
                if old_row not in new_rows:
                    kv.delete(old_row)
            for new_row in new_rows:
                if new_row not in old_rows:
                    kv.set(new_row, Unit.encode(None))
        kv.set(row, encoded)

    def delete(self, kv: KV, key: K) -> None:
        row = self.prefix + self._key.encode(key)
        raw = kv.get(row)
        if raw is None:
            return
        old = self._value.decode(raw)
        for index in self.indexes:
            for old_row in index.rows(key, old):
                kv.delete(old_row)
        kv.delete(row)

    def parts(self) -> tuple[Collection, ...]:
        return (self, *self.indexes)


def check_unique_prefixes(collections: Iterable[Collection]) -> None:
    """StateError if two collections, indexes included, share a prefix or a name."""
    by_prefix: dict[bytes, str] = {}
    names: dict[str, bytes] = {}
    for collection in collections:
        for part in collection.parts():
            if part.prefix in by_prefix:
                raise StateError(f"{by_prefix[part.prefix]} and {part.name} share the prefix {part.prefix.hex()}")
            if part.name in names:
                raise StateError(f"two collections are named {part.name}")
            by_prefix[part.prefix] = part.name
            names[part.name] = part.prefix
