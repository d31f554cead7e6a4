"""Readers of the validator's database: the latest rows, and the rows of an earlier height through the undo rows."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from chain.state.kv import Getter, KVReader
from chain.state.overlay import Overlay
from validator_node.undo import Summary, chunk_of, chunks_between, decode_chunk

# Every row's key begins with one of these.
META = b"m"
VALUES = b"v"  # v ‖ key: value
NODES = b"n"  # n ‖ path: node row
SUMMARIES = b"s"  # s ‖ height: Summary
UNDO_VALUES = b"a"  # a ‖ height ‖ number: chunk of values that the height overwrote
UNDO_NODES = b"b"  # b ‖ height ‖ number: chunk of nodes that the height overwrote

RANGE_KEY = META + b"range"  # oldest and latest height that can be read, u64 each


class StoreError(Exception):
    """The database can't be used as asked; the message says why and what to do."""


class HeightUnavailable(StoreError):
    """The height was pruned or isn't committed yet."""


def summary_key(height: int) -> bytes:
    """Where a height's summary is stored."""
    return SUMMARIES + height.to_bytes(8, "big")


def chunk_key(prefix: bytes, height: int, number: int) -> bytes:
    """Where an undo chunk of a height is stored."""
    return prefix + struct.pack(">QI", height, number)


def read_range(db: Any) -> tuple[int, int]:
    """The oldest and the latest height that can be read; zeros before the first commit."""
    stored = db.get(RANGE_KEY)
    if stored is None:
        return 0, 0
    oldest, latest = struct.unpack(">QQ", stored)
    return oldest, latest


def read_summary(db: Any, height: int) -> Summary:
    """The summary of a height that can be read."""
    stored = db.get(summary_key(height))
    if stored is None:
        raise StoreError(f"the database has no summary of height {height}; it is damaged, restore it or start afresh")
    return Summary.decode(stored)


class StoreView:
    """The state at one height, unchanged by later commits; close it, or use it in a with statement.

    `values` reads the chain's state by key, `nodes` the tree's rows by path. Any one thread may use it.
    """

    __slots__ = ("_snapshot", "app_hash", "height", "nodes", "values")

    def __init__(self, height: int, app_hash: bytes, values: KVReader, nodes: Getter, snapshot: Any) -> None:
        self.height = height
        self.app_hash = app_hash
        self.values = values
        self.nodes = nodes
        self._snapshot = snapshot

    def close(self) -> None:
        """Release the database's snapshot; the view can't be read afterwards."""
        self._snapshot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Rows:
    """The rows under a prefix as the database or a snapshot has them."""

    __slots__ = ("_get", "_iterator", "_prefix")

    def __init__(self, db: Any, prefix: bytes) -> None:
        self._get = db.get
        self._iterator = db.iterator
        self._prefix = prefix

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._get(self._prefix + key)
        return value

    def iterate(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        if start >= end:
            return
        first = self._prefix + start
        # Backwards, plyvel 1.5.1 loses a row that lies at `start` and is alone in its range: stop there ourselves.
        with self._iterator(start=None if reverse else first, stop=self._prefix + end, reverse=reverse) as rows:
            for key, value in rows:
                if key < first:
                    break
                yield key[1:], value


class PastRows:
    """The rows under a prefix as they were before the given later heights overwrote some of them."""

    __slots__ = ("_chunks", "_db", "_later", "_rows", "_undo_prefix")

    def __init__(self, db: Any, prefix: bytes, undo_prefix: bytes, later: list[tuple[int, tuple[bytes, ...]]]) -> None:
        """`later`: each later height in order, with the first keys of its undo chunks."""
        self._db = db
        self._rows = Rows(db, prefix)
        self._undo_prefix = undo_prefix
        self._later = later
        # Those that were read once: a query gets many rows, and all of them from the same later heights.
        self._chunks: dict[tuple[int, int], dict[bytes, bytes]] = {}

    def get(self, key: bytes) -> bytes | None:
        for height, first_keys in self._later:
            number = chunk_of(first_keys, key)
            if number is not None:
                old_value = self._chunk(height, number).get(key)
                if old_value is not None:
                    return old_value or None
        return self._rows.get(key)

    def iterate(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        overwritten: dict[bytes, bytes | None] = {}
        # The first height that overwrote a row has its value of before.
        for height, first_keys in reversed(self._later):
            for number in chunks_between(first_keys, start, end):
                for key, old_value in self._chunk(height, number).items():
                    if start <= key < end:
                        overwritten[key] = old_value or None
        before = Overlay(self._rows)
        before.write_all(overwritten)
        return before.iterate(start, end, reverse=reverse)

    def _chunk(self, height: int, number: int) -> dict[bytes, bytes]:
        """Keys and old values (empty where the key was new) of one of a later height's chunks."""
        chunk = self._chunks.get((height, number))
        if chunk is None:
            chunk = decode_chunk(self._db.get(chunk_key(self._undo_prefix, height, number)))
            self._chunks[height, number] = chunk
        return chunk
