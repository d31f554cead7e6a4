"""What a query may see, and how long answers come in pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cosmos.base.query.v1beta1.pagination_pb2 import PageRequest, PageResponse

from chain.errors import INVALID_REQUEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chain.state.collections import Map
    from chain.state.kv import KVReader

T = TypeVar("T")

PAGE_DEFAULT = 100
PAGE_MAX = 1_000
# A filtered or offset query reads at most so many rows before it hands over a next_key.
SCAN_MAX = 10_000


@dataclass(frozen=True, slots=True)
class QueryContext:
    """A committed state and the header that it belongs to."""

    kv: KVReader
    chain_id: str
    height: int
    # Unix milliseconds of the header.
    time_ms: int


def paginate(
    request: PageRequest,
    rows: Callable[[bytes, bool], Iterator[tuple[bytes, T]]],
    keep: Callable[[T], bool] = lambda _row: True,
    *,
    newest_first: bool = False,
) -> tuple[list[T], PageResponse]:
    """One page of the rows that `keep` admits.

    `rows(start, reverse)` yields (page key, row): from the row whose page key is `start`, or from the first for an
    empty one. With `newest_first` the order without `reverse` is the descending one. The total is told if it is asked
    for and small enough to count.
    """
    if request.key and request.offset:
        raise INVALID_REQUEST.error("pagination: give key or offset, not both")
    limit = min(request.limit or PAGE_DEFAULT, PAGE_MAX)
    count = request.count_total and not request.key
    page: list[T] = []
    next_key = b""
    kept = 0
    for scanned, (key, row) in enumerate(rows(request.key, request.reverse != newest_first)):
        if not next_key and (len(page) == limit or scanned == SCAN_MAX):
            next_key = key
        if scanned == SCAN_MAX or (next_key and not count):
            return page, PageResponse(next_key=next_key)
        if keep(row):
            kept += 1
            if kept > request.offset and len(page) < limit:
                page.append(row)
    return page, PageResponse(next_key=next_key, total=kept if count else 0)


def map_rows(
    collection: Map[bytes, T], kv: KVReader, key_size: int
) -> Callable[[bytes, bool], Iterator[tuple[bytes, T]]]:
    """The rows of a map whose keys are raw bytes of one size, for `paginate`: its page keys are the map's keys."""

    def rows(start: bytes, reverse: bool) -> Iterator[tuple[bytes, T]]:
        low, high = page_range(start, key_size, reverse=reverse)
        return collection.iterate(kv, start=low, end=high, reverse=reverse)

    return rows


def page_range(start: bytes, key_size: int, *, reverse: bool) -> tuple[bytes | None, bytes | None]:
    """(first key, key after the last) of the rows from page key `start` on, in the direction asked for."""
    if not start:
        return None, None
    if len(start) != key_size:
        raise INVALID_REQUEST.error("pagination.key is not one that an earlier page returned")
    if not reverse:
        return start, None
    # The end is exclusive: the key after the one to begin with, unless there can be none.
    after = int.from_bytes(start, "big") + 1
    return None, after.to_bytes(key_size, "big") if after >> (8 * key_size) == 0 else None
