"""Misses and declines: how often a prover may not do what it was drawn for (protocol §6.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.prover.v1.event_pb2 import EventProverMissed

from chain import schema
from chain.prover.lifecycle import jail
from chain.prover.registry import count_recent

if TYPE_CHECKING:
    from chain.context import Context


def record_miss(context: Context, operator: bytes, task_id: int, reason: str) -> None:
    """Count a miss against a prover; the last one that may be jails it."""
    kv, params, now = context.kv, context.params, context.block.time_ms
    prover = schema.PROVERS.require(kv, operator)
    misses = [*count_recent(list(prover.misses_ms), now, params.miss_window_ms), now]
    # Beyond the number that jails, more of them say nothing new.
    prover.misses_ms[:] = misses[-params.misses_to_jail :]
    schema.PROVERS.set(kv, operator, prover)
    context.emit(EventProverMissed(operator=prover.operator, task_id=task_id, reason=reason))
    if len(misses) >= params.misses_to_jail:
        jail(context, operator, f"missed {len(misses)} tasks within {params.miss_window_ms // 60_000} min")


def record_decline(context: Context, operator: bytes, task_id: int) -> None:
    """Count a decline, or a miss where the prover has no declines left."""
    kv, params, now = context.kv, context.params, context.block.time_ms
    prover = schema.PROVERS.require(kv, operator)
    declines = count_recent(list(prover.declines_ms), now, params.decline_window_ms)
    beyond = len(declines) >= params.decline_limit
    if not beyond:
        declines.append(now)
    prover.declines_ms[:] = declines
    schema.PROVERS.set(kv, operator, prover)
    if beyond:
        record_miss(context, operator, task_id, "declined beyond the limit")
