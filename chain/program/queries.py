"""proofmill.program.v1.Query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.program.v1.query_pb2 import (
    QueryProgramRequest,
    QueryProgramResponse,
    QueryProgramsRequest,
    QueryProgramsResponse,
    QueryProgramStatsRequest,
    QueryProgramStatsResponse,
)

from chain import schema
from chain.errors import INVALID_REQUEST, PROGRAM_NOT_FOUND
from chain.query_context import map_rows, page_range, paginate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proofmill.program.v1.state_pb2 import Program

    from chain.query_context import QueryContext
    from chain.state.kv import KVReader

PREFIX_DIGITS_MIN = 8


def query_program(context: QueryContext, request: QueryProgramRequest) -> QueryProgramResponse:
    return QueryProgramResponse(program=find_program(context.kv, request.program_id))


def query_program_stats(context: QueryContext, request: QueryProgramStatsRequest) -> QueryProgramStatsResponse:
    program = find_program(context.kv, request.program_id)
    rows = schema.PROGRAM_STATS.iterate(context.kv, prefix_of=(program.id,))
    return QueryProgramStatsResponse(stats=[stats for _, stats in rows])


def query_programs(context: QueryContext, request: QueryProgramsRequest) -> QueryProgramsResponse:
    def keep(program: Program) -> bool:
        return request.deployer in ("", program.deployer)

    rows = _rows_of_name(context.kv, request.name) if request.name else map_rows(schema.PROGRAMS, context.kv, 32)
    page, pagination = paginate(request.pagination, rows, keep)
    return QueryProgramsResponse(programs=page, pagination=pagination)


def _rows_of_name(kv: KVReader, name: str) -> Callable[[bytes, bool], Iterator[tuple[bytes, Program]]]:
    def rows(start: bytes, reverse: bool) -> Iterator[tuple[bytes, Program]]:
        low, high = page_range(start, 32, reverse=reverse)
        for identifier in schema.PROGRAMS_BY_NAME.primary_keys(kv, name, start=low, end=high, reverse=reverse):
            yield identifier, schema.PROGRAMS.require(kv, identifier)

    return rows


def find_program(kv: KVReader, text: str) -> Program:
    """The program of a hexadecimal id or of a unique prefix of one."""
    if not PREFIX_DIGITS_MIN <= len(text) <= 64 or text.lower().strip("0123456789abcdef"):
        raise INVALID_REQUEST.error(
            f"{text[:80]!r} is not a program id: give its 64 hexadecimal digits, or at least the first "
            f"{PREFIX_DIGITS_MIN}"
        )
    prefix = text.lower()
    found: list[Program] = []
    for identifier, program in schema.PROGRAMS.iterate(kv, start=bytes.fromhex(prefix.ljust(64, "0"))):
        if not identifier.hex().startswith(prefix) or len(found) == 2:
            break
        found.append(program)
    if not found:
        raise PROGRAM_NOT_FOUND.error(f"there is no program {text}")
    if len(found) > 1:
        raise INVALID_REQUEST.error(f"more than one program begins with {text}: give more digits")
    return found[0]
