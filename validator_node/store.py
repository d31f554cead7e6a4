"""The validator's database: values, tree nodes and what it takes to read the last heights, in one LevelDB.

A commit is one synced batch: a crash at any instruction leaves the height before or the height after, whole. Current
rows are stored plainly, so reading the latest state is one get; what a block overwrites goes into undo rows
(`validator_node/undo.py`), through which a view reads an earlier height until it is pruned.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import plyvel

from chain.state.kv import Getter, KVReader
from validator_node.row_cache import RowCache
from validator_node.store_view import (
    META,
    NODES,
    RANGE_KEY,
    UNDO_NODES,
    UNDO_VALUES,
    VALUES,
    HeightUnavailable,
    PastRows,
    Rows,
    StoreError,
    StoreView,
    chunk_key,
    read_range,
    read_summary,
    summary_key,
)
from validator_node.undo import CHUNK_SIZE, Summary, encode_chunk

__all__ = ["FORMAT", "HeightUnavailable", "Store", "StoreError", "StoreView"]

FORMAT = b"1"

_FORMAT_KEY = META + b"format"
_WRITE_BUFFER = 32 << 20  # bytes: several full blocks, so that a commit seldom waits for a compaction
_BLOCK_CACHE = 32 << 20  # bytes
_CACHED_VALUES = 200_000  # rows, some 300 bytes each
_CACHED_NODES = 200_000  # rows, some 400 bytes each
_PRUNED_AT_ONCE = 100  # heights a commit, so that a lowered retain_blocks can't stall a block


class Store:
    """An open database. One thread commits and reads `values` and `nodes`; any thread may ask for views."""

    __slots__ = ("_db", "_latest", "_node_cache", "_oldest", "_value_cache", "nodes", "values")

    values: KVReader
    """The latest committed state, cached: what the state machine reads."""
    nodes: Getter
    """The latest committed tree's rows, cached."""

    def __init__(self, db: Any) -> None:
        self._db = db
        stored = db.get(_FORMAT_KEY)
        if stored is None:
            db.put(_FORMAT_KEY, FORMAT, sync=True)
        elif stored != FORMAT:
            raise StoreError(
                f"the database has format {stored.decode(errors='replace')}, this version needs {FORMAT.decode()}; "
                "start the version that wrote it, or begin with an empty folder"
            )
        self._oldest, height = read_range(db)
        self._latest = (height, read_summary(db, height).app_hash if height else b"")
        self._value_cache = RowCache(lambda key: db.get(VALUES + key), _CACHED_VALUES)
        self._node_cache = RowCache(lambda path: db.get(NODES + path), _CACHED_NODES)
        self.values = _LatestValues(self._value_cache, db)
        self.nodes = self._node_cache

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open or create the database in a folder; StoreError if another process uses it or it's damaged."""
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the database folder {path} can't be opened: {error.strerror}") from error
        try:
            db = plyvel.DB(
                str(path),
                create_if_missing=True,
                write_buffer_size=_WRITE_BUFFER,
                lru_cache_size=_BLOCK_CACHE,
                bloom_filter_bits=10,
                compression=None,  # most bytes are hashes: compressing took a fifth of a commit's CPU and saved nothing
            )
        except plyvel.Error as error:
            text = str(error)
            if "lock" in text.lower():
                raise StoreError(f"the database {path} is in use by another process; stop it first") from None
            raise StoreError(f"the database {path} can't be opened: {text}") from error
        try:
            return cls(db)
        except BaseException:
            db.close()
            raise

    def latest(self) -> tuple[int, bytes]:
        """The last committed height and its app hash; (0, b"") before the first commit."""
        return self._latest

    def commit(
        self,
        height: int,
        values: Mapping[bytes, bytes | None],
        nodes: Mapping[bytes, bytes | None],
        app_hash: bytes,
        retain_blocks: int,
    ) -> None:
        """Write a height's changes (None: deleted) durably and atomically.

        Afterwards the last `retain_blocks` heights can be read, or all of them if it is 0.
        """
        before, _ = self._latest
        if before and height != before + 1:
            raise StoreError(f"height {height} can't be committed after height {before}")
        oldest = self._oldest_after(height, retain_blocks)
        with self._db.write_batch(transaction=True, sync=True) as batch:
            undo_values = _put_changes(batch, VALUES, values, self._value_cache)
            undo_nodes = _put_changes(batch, NODES, nodes, self._node_cache)
            first_values: tuple[bytes, ...] = ()
            first_nodes: tuple[bytes, ...] = ()
            if oldest < height:
                first_values = _put_chunks(batch, UNDO_VALUES, height, undo_values)
                first_nodes = _put_chunks(batch, UNDO_NODES, height, undo_nodes)
            batch.put(summary_key(height), Summary(app_hash, first_values, first_nodes).encode())
            batch.put(RANGE_KEY, struct.pack(">QQ", oldest, height))
            self._prune(batch, oldest)
        for key in undo_values:
            self._value_cache.put(key, values[key])
        for path in undo_nodes:
            self._node_cache.put(path, nodes[path])
        self._oldest = oldest
        self._latest = (height, app_hash)

    def view(self, height: int | None = None) -> StoreView:
        """The state at a height, the latest by default; HeightUnavailable if it's pruned or yet to come."""
        snapshot = self._db.snapshot()
        try:
            oldest, latest = read_range(snapshot)
            height = _available(height, oldest, latest)
            app_hash = read_summary(snapshot, height).app_hash
            if height == latest:
                return StoreView(height, app_hash, Rows(snapshot, VALUES), Rows(snapshot, NODES), snapshot)
            # The heights since then overwrote some of the rows; the first to do so has the row that we want.
            summaries = [(later, read_summary(snapshot, later)) for later in range(height + 1, latest + 1)]
            return StoreView(
                height,
                app_hash,
                PastRows(snapshot, VALUES, UNDO_VALUES, [(later, summary.values) for later, summary in summaries]),
                PastRows(snapshot, NODES, UNDO_NODES, [(later, summary.nodes) for later, summary in summaries]),
                snapshot,
            )
        except BaseException:
            snapshot.close()
            raise

    def close(self) -> None:
        """Release the database; views can't be read afterwards."""
        self._db.close()

    def _oldest_after(self, height: int, retain_blocks: int) -> int:
        """The oldest height that can be read once `height` is committed."""
        if not self._latest[0]:
            return height
        if not retain_blocks:
            return self._oldest
        return min(max(self._oldest, height - retain_blocks + 1), self._oldest + _PRUNED_AT_ONCE)

    def _prune(self, batch: Any, oldest: int) -> None:
        """Delete what only heights below `oldest` need: their summaries, and the undo rows that lead to them."""
        latest, _ = self._latest
        if not latest:
            return
        for height in range(self._oldest, min(oldest, latest + 1)):
            summary = read_summary(self._db, height)
            batch.delete(summary_key(height))
            if height > self._oldest:
                _delete_chunks(batch, height, summary)
        if self._oldest < oldest <= latest:
            _delete_chunks(batch, oldest, read_summary(self._db, oldest))


def _available(height: int | None, oldest: int, latest: int) -> int:
    """The height, or the latest; HeightUnavailable if it can't be read."""
    if not latest:
        raise HeightUnavailable("no block is committed yet; ask again after the first block")
    if height is None:
        return latest
    if height > latest:
        raise HeightUnavailable(f"height {height} is not committed yet; the latest is {latest}")
    if height < oldest:
        raise HeightUnavailable(f"height {height} is pruned; the oldest kept is {oldest}")
    return height


def _put_changes(batch: Any, prefix: bytes, rows: Mapping[bytes, bytes | None], cache: RowCache) -> dict[bytes, bytes]:
    """Put what really changes into the batch; the changed keys in order, with their old values (empty where new)."""
    undo = {}
    for key in sorted(rows):
        new = rows[key]
        old = cache.get(key)
        if new == old:
            continue
        if new is None:
            batch.delete(prefix + key)
        else:
            batch.put(prefix + key, new)
        undo[key] = old or b""
    return undo


def _put_chunks(batch: Any, prefix: bytes, height: int, undo: dict[bytes, bytes]) -> tuple[bytes, ...]:
    """Put a height's undo rows into the batch; the first key of each chunk."""
    keys = list(undo)
    old_values = list(undo.values())
    starts = range(0, len(keys), CHUNK_SIZE)
    for number, start in enumerate(starts):
        end = start + CHUNK_SIZE
        batch.put(chunk_key(prefix, height, number), encode_chunk(keys[start:end], old_values[start:end]))
    return tuple(keys[start] for start in starts)


def _delete_chunks(batch: Any, height: int, summary: Summary) -> None:
    for prefix, first_keys in ((UNDO_VALUES, summary.values), (UNDO_NODES, summary.nodes)):
        for number in range(len(first_keys)):
            batch.delete(chunk_key(prefix, height, number))


class _LatestValues:
    """The latest values: gets through the cache, iterations from the database."""

    __slots__ = ("_rows", "get")

    def __init__(self, cache: RowCache, db: Any) -> None:
        self.get = cache.get
        self._rows = Rows(db, VALUES)

    def iterate(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return self._rows.iterate(start, end, reverse=reverse)
