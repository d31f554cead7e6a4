"""How a prover's status changes: active, jailed, leaving, gone (protocol §5). Each function stores what it changes."""

from __future__ import annotations

from enum import IntEnum
from itertools import islice
from typing import TYPE_CHECKING

from proofmill.prover.v1.event_pb2 import (
    EventProverActivated,
    EventProverExited,
    EventProverExiting,
    EventProverJailed,
)
from proofmill.prover.v1.state_pb2 import (
    PROVER_STATUS_ACTIVE,
    PROVER_STATUS_EXITED,
    PROVER_STATUS_EXITING,
    PROVER_STATUS_JAILED,
)
from proofmill.task.v1.state_pb2 import TEST_KIND_UNSPECIFIED

from chain import schema
from chain.address import decode_address
from chain.bank.ledger import unbond_umill
from chain.prover.registry import activate, deactivate, is_idle

if TYPE_CHECKING:
    from proofmill.prover.v1.state_pb2 import Prover

    from chain.context import Context
    from chain.state.kv import KV, KVReader

# In one block: thousands of provers may have become active in the same one.
_DUE_MAX = 1_000


class ProverDeadline(IntEnum):
    """Stored in keys: never renumbered."""

    IDLE = 1
    EXIT = 2


def take_due_provers(kv: KV, due_ms: int) -> list[tuple[ProverDeadline, bytes]]:
    """Remove and return what is due at or before `due_ms` as (kind, operator); what is too much for a block stays."""
    due = list(islice(schema.PROVER_DEADLINES.keys(kv, end=(due_ms + 1, 0, bytes(20))), _DUE_MAX))
    for key in due:
        schema.PROVER_DEADLINES.delete(kv, key)
    return [(ProverDeadline(kind), operator) for _, kind, operator in due]


def set_idle_check(kv: KV, operator: bytes, prover: Prover, time_ms: int) -> None:
    """When to look next whether an active prover has been idle for long. The caller stores the prover."""
    prover.idle_check_ms = time_ms
    schema.PROVER_DEADLINES.add(kv, (time_ms, ProverDeadline.IDLE, operator))


def admit(context: Context, operator: bytes) -> None:
    """It may be drawn from now on."""
    kv, now = context.kv, context.block.time_ms
    prover = schema.PROVERS.require(kv, operator)
    prover.jail_reason = ""
    prover.last_busy_ms = now
    set_idle_check(kv, operator, prover, now + context.params.retest_idle_after_ms)
    activate(kv, operator, prover)
    context.emit(EventProverActivated(operator=prover.operator))


def jail(context: Context, operator: bytes, reason: str) -> None:
    """An active prover isn't drawn any more until it passes a capacity test; what it owes it still owes."""
    prover = schema.PROVERS.require(context.kv, operator)
    if prover.status != PROVER_STATUS_ACTIVE:
        return
    _leave_array(context.kv, operator, prover)
    prover.status = PROVER_STATUS_JAILED
    prover.jail_reason = reason
    schema.PROVERS.set(context.kv, operator, prover)
    context.emit(EventProverJailed(operator=prover.operator, reason=reason))


def begin_exit(context: Context, operator: bytes) -> None:
    """No new work from now on; the bond goes back after the cooldown."""
    prover = schema.PROVERS.require(context.kv, operator)
    if prover.status == PROVER_STATUS_ACTIVE:
        _leave_array(context.kv, operator, prover)
    if prover.test_due:
        prover.test_due = TEST_KIND_UNSPECIFIED
        schema.TESTS_READY.delete(context.kv, operator)
    prover.ClearField("claim")
    prover.status = PROVER_STATUS_EXITING
    schema.PROVERS.set(context.kv, operator, prover)
    context.emit(EventProverExiting(operator=prover.operator))
    note_duty_over(context, operator)


def note_duty_over(context: Context, operator: bytes) -> None:
    """After the end of a duty: a test that waited for it is ready; for one that leaves, the cooldown may begin."""
    kv = context.kv
    prover = schema.PROVERS.require(kv, operator)
    if prover.test_due and is_idle(prover):
        schema.TESTS_READY.add(kv, operator)
    if prover.status == PROVER_STATUS_EXITING and not prover.exit_ms and owes_nothing(kv, operator, prover):
        prover.exit_ms = context.block.time_ms + context.params.exit_cooldown_ms
        schema.PROVER_DEADLINES.add(kv, (prover.exit_ms, ProverDeadline.EXIT, operator))
        schema.PROVERS.set(kv, operator, prover)


def owes_nothing(kv: KVReader, operator: bytes, prover: Prover) -> bool:
    duties = schema.DUTIES.keys(kv, prefix_of=(operator,))
    return not prover.held_faults and next(iter(duties), None) is None


def complete_exit(context: Context, operator: bytes) -> None:
    """The cooldown is over: the bond goes back, and both keys are free to be registered again."""
    kv = context.kv
    prover = schema.PROVERS.require(kv, operator)
    bond = prover.bond
    unbond_umill(kv, operator, bond)
    prover.bond = 0
    prover.exit_ms = 0
    prover.status = PROVER_STATUS_EXITED
    schema.PROVERS.set(kv, operator, prover)
    schema.PROVERS_BY_NODE.delete(kv, decode_address(prover.node))
    context.emit(EventProverExited(operator=prover.operator, bond=bond))


def _leave_array(kv: KV, operator: bytes, prover: Prover) -> None:
    deactivate(kv, prover)
    schema.PROVER_DEADLINES.delete(kv, (prover.idle_check_ms, ProverDeadline.IDLE, operator))
    prover.idle_check_ms = 0
