"""The provers and the dense array of those that may be drawn (protocol §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.prover.v1.state_pb2 import PROVER_STATUS_ACTIVE, Prover
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.address import decode_address
from chain.errors import PROVER_NOT_FOUND

if TYPE_CHECKING:
    from chain.state.kv import KV, KVReader


def get_prover_of_node(kv: KVReader, node: str) -> tuple[bytes, Prover]:
    """(operator address, prover) of a node key; PROVER_NOT_FOUND if no prover registered it."""
    operator = schema.PROVERS_BY_NODE.get(kv, decode_address(node))
    if operator is None:
        raise PROVER_NOT_FOUND.error(f"no prover has registered the node key {node}")
    return operator, schema.PROVERS.require(kv, operator)


def get_active_count(kv: KVReader) -> int:
    return schema.ACTIVE_COUNT.get(kv) or 0


def activate(kv: KV, operator: bytes, prover: Prover) -> None:
    """Append a prover to the array of those that may be drawn, and store it."""
    count = get_active_count(kv)
    prover.status = PROVER_STATUS_ACTIVE
    prover.active_index = count
    schema.ACTIVE_PROVERS.set(kv, count, operator)
    schema.ACTIVE_COUNT.set(kv, count + 1)
    schema.PROVERS.set(kv, operator, prover)


def deactivate(kv: KV, prover: Prover) -> None:
    """Take a prover out of the array, the last one takes its place; the caller stores the prover and its new status."""
    last = get_active_count(kv) - 1
    if prover.active_index != last:
        moved = schema.ACTIVE_PROVERS.require(kv, last)
        row = schema.PROVERS.require(kv, moved)
        row.active_index = prover.active_index
        schema.PROVERS.set(kv, moved, row)
        schema.ACTIVE_PROVERS.set(kv, prover.active_index, moved)
    schema.ACTIVE_PROVERS.delete(kv, last)
    schema.ACTIVE_COUNT.set(kv, last)
    prover.active_index = 0


def is_idle(prover: Prover) -> bool:
    """Whether no assignment, nor a test, holds any of its resources."""
    return not prover.used.cpu_millis


def free_resources(prover: Prover) -> Resources:
    return Resources(
        cpu_millis=prover.resources.cpu_millis - prover.used.cpu_millis,
        memory_bytes=prover.resources.memory_bytes - prover.used.memory_bytes,
        gpus=prover.resources.gpus - prover.used.gpus,
    )


def reserve(prover: Prover, resources: Resources) -> None:
    """Mark resources as held by an assignment; the caller stores the prover."""
    prover.used.cpu_millis += resources.cpu_millis
    prover.used.memory_bytes += resources.memory_bytes
    prover.used.gpus += resources.gpus


def release(prover: Prover, resources: Resources) -> None:
    """The opposite of `reserve`; the caller stores the prover."""
    prover.used.cpu_millis -= resources.cpu_millis
    prover.used.memory_bytes -= resources.memory_bytes
    prover.used.gpus -= resources.gpus


def count_recent(times_ms: list[int], now_ms: int, window_ms: int) -> list[int]:
    """Those of the times that are less than a window ago."""
    return [time for time in times_ms if time + window_ms > now_ms]
