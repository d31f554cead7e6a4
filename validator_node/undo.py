"""Undo rows: what a block overwrote, in sorted chunks, so that the state before it can still be read.

Storing a block's old rows in chunks rather than one by one makes a commit several times cheaper, and pruning a block a
matter of a few deletes. The chunks of a height are found through their first keys, which its summary row lists.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

CHUNK_SIZE = 128  # rows
APP_HASH_SIZE = 32  # bytes


@dataclass(frozen=True, slots=True)
class Summary:
    """What the store keeps of a height: its app hash, and the first key of each undo chunk of values and of nodes."""

    app_hash: bytes
    values: tuple[bytes, ...]
    nodes: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The summary's stored form."""
        counts = struct.pack(">II", len(self.values), len(self.nodes))
        return self.app_hash + counts + _pack_column((*self.values, *self.nodes))

    @classmethod
    def decode(cls, data: bytes) -> Summary:
        """The summary of which data is the stored form."""
        values, nodes = struct.unpack_from(">II", data, APP_HASH_SIZE)
        keys, _ = _unpack_column(data, APP_HASH_SIZE + 8, values + nodes)
        return cls(data[:APP_HASH_SIZE], tuple(keys[:values]), tuple(keys[values:]))


def encode_chunk(keys: Sequence[bytes], old_values: Sequence[bytes]) -> bytes:
    """The stored form of one chunk: keys in order, and for each its old value, empty where the key was new."""
    return struct.pack(">I", len(keys)) + _pack_column(keys) + _pack_column(old_values)


def decode_chunk(data: bytes) -> dict[bytes, bytes]:
    """Old value by key, in order, of which data is the stored form."""
    (count,) = struct.unpack_from(">I", data)
    keys, at = _unpack_column(data, 4, count)
    old_values, _ = _unpack_column(data, at, count)
    return dict(zip(keys, old_values, strict=True))


def chunk_of(first_keys: Sequence[bytes], key: bytes) -> int | None:
    """The number of the only chunk that may hold key, or None."""
    number = bisect_right(first_keys, key) - 1
    return number if number >= 0 else None


def chunks_between(first_keys: Sequence[bytes], start: bytes, end: bytes) -> range:
    """The numbers of the chunks that may hold keys with start <= key < end."""
    return range(max(0, bisect_right(first_keys, start) - 1), bisect_left(first_keys, end))


def _pack_column(column: Sequence[bytes]) -> bytes:
    return struct.pack(f">{len(column)}I", *map(len, column)) + b"".join(column)


def _unpack_column(data: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    sizes = struct.unpack_from(f">{count}I", data, at)
    at += 4 * count
    column = []
    for size in sizes:
        column.append(data[at : at + size])
        at += size
    return column, at
