"""Offers: drawing provers for pending tasks at the start of a block, and taking unanswered offers back (§6.2, §6.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from proofmill.program.v1.state_pb2 import PROGRAM_STATUS_BLOCKED
from proofmill.task.v1.event_pb2 import EventOfferExpired, EventTaskOffered
from proofmill.task.v1.state_pb2 import ASSIGNMENT_STATUS_EXPIRED, ASSIGNMENT_STATUS_OFFERED, Assignment

from chain import schema
from chain.address import decode_address
from chain.fields import fits
from chain.prover.draw import draw_prover
from chain.prover.duties import Duty, add_duty
from chain.prover.misses import record_miss
from chain.prover.registry import reserve
from chain.settlement.failure import FALLBACK, give_up_blocked
from chain.task.attempt import close_slots, end_assignment, get_attempt, open_slots, refresh
from chain.task.store import require_assignment

if TYPE_CHECKING:
    from proofmill.prover.v1.state_pb2 import Prover
    from proofmill.task.v1.state_pb2 import AssignmentStatus, Progress, Task
    from proofmill.types.v1.types_pb2 import Resources

    from chain.context import Context
    from chain.state.kv import KVReader

# Sizes that found nobody: comparing with more of them would cost more than looking.
_SIZES_REMEMBERED: Final = 16


@dataclass(slots=True)
class _Budget:
    """What a block may still do, and what it found out on the way."""

    offers: int
    looks: int
    hopeless: list[Resources] = field(default_factory=list)
    # The tasks of one program follow each other, so its row is read once.
    program_id: bytes = b""
    blocked: bool = False


def assign_pending(context: Context) -> None:
    """Offer as many pending tasks as the parameters allow, in the order of service.

    Looking at tasks and at provers is bounded for the block as a whole; what wasn't looked at comes first in the next.
    Free resources only shrink while tasks are assigned, so once a size found nobody, the same size or a larger one
    isn't tried again in this block.
    """
    kv, params = context.kv, context.params
    visits = params.assignments_per_block_max * 4
    budget = _Budget(params.assignments_per_block_max, params.assignments_per_block_max * 8 + params.draw_looks_max)
    go_on = None
    for visited, key in enumerate(_get_waiting(kv, visits + 1)):
        if not budget.offers:
            break
        if visited == visits or budget.looks <= 0:
            go_on = key
            break
        _serve(context, schema.TASKS.require(kv, key[3]), budget)
    if go_on is not None:
        schema.PENDING_NEXT.set(kv, go_on)
    elif schema.PENDING_NEXT.get(kv) is not None:
        schema.PENDING_NEXT.delete(kv)


def _get_waiting(kv: KVReader, count: int) -> list[tuple[int, int, bytes, int]]:
    """Up to `count` keys of pending tasks in the order of service, from where the last block stopped looking."""
    start = schema.PENDING_NEXT.get(kv)
    keys = list(islice(schema.PENDING.keys(kv, start=start), count))
    if start is not None and len(keys) < count:
        keys += islice(schema.PENDING.keys(kv, end=start), count - len(keys))
    return keys


def _serve(context: Context, task: Task, budget: _Budget) -> None:
    """Offer one task to as many provers as it still wants, as far as they are found."""
    kv, limit = context.kv, context.params.draw_looks_max
    if any(fits(size, task.resources) for size in budget.hopeless):
        return
    if task.program_id != budget.program_id:
        budget.program_id = task.program_id
        budget.blocked = schema.PROGRAMS.require(kv, task.program_id).status == PROGRAM_STATUS_BLOCKED
    progress = schema.PROGRESS.require(kv, task.id)
    # Whoever was drawn for a task once isn't drawn for it again. Most tasks are here for the first time.
    rows = [row for _, row in schema.ASSIGNMENTS.iterate(kv, prefix_of=(task.id,))] if progress.drawn else []
    drawn = {decode_address(row.prover): None for row in rows}
    if budget.blocked and not drawn:
        give_up_blocked(context, task, progress)
        return
    wanted = progress.slots_open
    while wanted and budget.offers and budget.looks > 0:
        found, looked = draw_prover(context, task.id, len(drawn), task.resources, drawn, min(budget.looks, limit))
        budget.looks -= looked
        if found is None:
            if not drawn and len(budget.hopeless) < _SIZES_REMEMBERED:
                budget.hopeless.append(task.resources)
            break
        rows.append(_offer(context, task, progress, *found))
        drawn[found[0]] = None
        budget.offers -= 1
        wanted -= 1
    if wanted == progress.slots_open:
        return
    if wanted:
        progress.slots_open = wanted
    else:
        close_slots(kv, task, progress)
    progress.drawn = len(drawn)
    refresh(progress, [row for row in rows if row.attempt == progress.attempt])
    schema.PROGRESS.set(kv, task.id, progress)


def _offer(context: Context, task: Task, progress: Progress, operator: bytes, prover: Prover) -> Assignment:
    kv, height = context.kv, context.block.height
    accept_by = height + context.terms(task).accept_window_blocks
    reserve(prover, task.resources)
    prover.last_assigned_height = height
    prover.last_busy_ms = context.block.time_ms
    schema.PROVERS.set(kv, operator, prover)
    assignment = Assignment(
        task_id=task.id,
        prover=prover.operator,
        status=ASSIGNMENT_STATUS_OFFERED,
        offered_height=height,
        accept_by_height=accept_by,
        attempt=progress.attempt,
        commit_first=task.redundancy > 1 or progress.attempt == FALLBACK,
        held=task.resources,
    )
    schema.ASSIGNMENTS.set(kv, (task.id, operator), assignment)
    schema.OFFER_DEADLINES.add(kv, (accept_by + 1, task.id, operator))
    add_duty(kv, operator, Duty.ASSIGNMENT, task.id)
    context.emit(EventTaskOffered(task_id=task.id, prover=prover.operator, accept_by_height=accept_by))
    return assignment


def expire_offers(context: Context) -> None:
    """Take back the offers whose window has passed: a miss, and another prover is drawn in this very block."""
    kv = context.kv
    for _, task_id, operator in list(
        schema.OFFER_DEADLINES.keys(kv, end=(context.block.height + 1, 0, bytes(20)))  # all earlier ones too
    ):
        record_miss(context, operator, task_id, "let the offer expire")
        assignment = require_assignment(kv, task_id, operator)
        context.emit(EventOfferExpired(task_id=task_id, prover=assignment.prover))
        withdraw_offer(context, task_id, operator, assignment, ASSIGNMENT_STATUS_EXPIRED, "no answer in time")


def withdraw_offer(
    context: Context, task_id: int, operator: bytes, assignment: Assignment, status: AssignmentStatus, reason: str
) -> None:
    """Take an offer back; the task waits for another prover in its place."""
    kv = context.kv
    task = schema.TASKS.require(kv, task_id)
    progress = schema.PROGRESS.require(kv, task_id)
    end_assignment(context, task, operator, assignment, status, reason)
    open_slots(context, task, progress, 1)
    refresh(progress, [row for _, row in get_attempt(kv, task_id, progress.attempt)])
    schema.PROGRESS.set(kv, task_id, progress)
