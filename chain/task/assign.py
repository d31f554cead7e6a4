"""Offers: drawing provers for pending tasks at the start of a block, and taking unanswered offers back (§6.2, §6.3)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from proofmill.task.v1.event_pb2 import EventOfferExpired, EventTaskOffered
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_EXPIRED,
    ASSIGNMENT_STATUS_OFFERED,
    TASK_STATUS_OFFERED,
    TASK_STATUS_PENDING,
    Assignment,
)

from chain import schema
from chain.address import decode_address
from chain.fields import fits
from chain.prover.draw import draw_prover
from chain.prover.duties import Duty, add_duty, remove_duty
from chain.prover.registry import record_miss, release, reserve
from chain.task.deadlines import Deadline, clear_deadline, set_deadline
from chain.task.pending import dequeue, enqueue
from chain.task.store import require_assignment

if TYPE_CHECKING:
    from proofmill.prover.v1.state_pb2 import Prover
    from proofmill.task.v1.state_pb2 import AssignmentStatus, Progress, Task
    from proofmill.types.v1.types_pb2 import Resources

    from chain.context import Context
    from chain.state.kv import KVReader

# Sizes that found nobody: comparing with more of them would cost more than looking.
_SIZES_REMEMBERED: Final = 16


def assign_pending(context: Context) -> None:
    """Offer as many pending tasks as the parameters allow, in the order of service.

    Looking at tasks and at provers is bounded for the block as a whole; what wasn't looked at comes first in the next.
    Free resources only shrink while tasks are assigned, so once a size found nobody, the same size or a larger one
    isn't tried again in this block.
    """
    kv, params = context.kv, context.params
    visits = params.assignments_per_block_max * 4
    looks_left = params.assignments_per_block_max * 8 + params.draw_looks_max
    hopeless: list[Resources] = []
    assigned = 0
    go_on = None
    for visited, key in enumerate(_get_waiting(kv, visits + 1)):
        if assigned == params.assignments_per_block_max:
            break
        if visited == visits or looks_left <= 0:
            go_on = key
            break
        task_id = key[3]
        task = schema.TASKS.require(kv, task_id)
        if any(fits(size, task.resources) for size in hopeless):
            continue
        progress = schema.PROGRESS.require(kv, task_id)
        passed_over = frozenset(decode_address(operator) for operator in progress.passed_over)
        found, looked = draw_prover(
            context, task_id, len(passed_over), task.resources, passed_over, min(looks_left, params.draw_looks_max)
        )
        looks_left -= looked
        if found is None:
            if not passed_over and len(hopeless) < _SIZES_REMEMBERED:
                hopeless.append(task.resources)
            continue
        _offer(context, task, progress, *found)
        assigned += 1
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


def _offer(context: Context, task: Task, progress: Progress, operator: bytes, prover: Prover) -> None:
    kv, height = context.kv, context.block.height
    accept_by = height + context.params.accept_window_blocks
    dequeue(kv, task)
    clear_deadline(kv, task.queue_deadline_ms, Deadline.QUEUE, task.id)
    reserve(prover, task.resources)
    prover.last_assigned_height = height
    schema.PROVERS.set(kv, operator, prover)
    assignment = Assignment(
        task_id=task.id,
        prover=prover.operator,
        status=ASSIGNMENT_STATUS_OFFERED,
        offered_height=height,
        accept_by_height=accept_by,
    )
    schema.ASSIGNMENTS.set(kv, (task.id, operator), assignment)
    schema.OFFER_DEADLINES.add(kv, (accept_by + 1, task.id))
    add_duty(kv, operator, Duty.ASSIGNMENT, task.id)
    progress.status = TASK_STATUS_OFFERED
    progress.prover = prover.operator
    progress.offered_height = height
    schema.PROGRESS.set(kv, task.id, progress)
    context.emit(EventTaskOffered(task_id=task.id, prover=prover.operator, accept_by_height=accept_by))


def expire_offers(context: Context) -> None:
    """Take back the offers whose window has passed: a miss, and another prover is drawn in this very block."""
    kv = context.kv
    due = list(schema.OFFER_DEADLINES.keys(kv, end=(context.block.height + 1, 0)))
    for _, task_id in due:
        task = schema.TASKS.require(kv, task_id)
        progress = schema.PROGRESS.require(kv, task_id)
        operator = decode_address(progress.prover)
        prover = schema.PROVERS.require(kv, operator)
        record_miss(context, prover, task_id, "let the offer expire")
        context.emit(EventOfferExpired(task_id=task_id, prover=progress.prover))
        withdraw_offer(context, task, progress, operator, prover, ASSIGNMENT_STATUS_EXPIRED, "no answer in time")


def withdraw_offer(
    context: Context,
    task: Task,
    progress: Progress,
    operator: bytes,
    prover: Prover,
    status: AssignmentStatus,
    reason: str,
) -> None:
    """Put an offered task back into the queue; its prover isn't drawn for it again. Stores all that it is given."""
    kv = context.kv
    assignment = require_assignment(kv, task.id, operator)
    schema.OFFER_DEADLINES.delete(kv, (assignment.accept_by_height + 1, task.id))
    assignment.status = status
    assignment.reason = reason
    schema.ASSIGNMENTS.set(kv, (task.id, operator), assignment)
    release(prover, task.resources)
    schema.PROVERS.set(kv, operator, prover)
    remove_duty(kv, operator, Duty.ASSIGNMENT, task.id)
    progress.status = TASK_STATUS_PENDING
    progress.passed_over.append(progress.prover)
    progress.prover = ""
    progress.offered_height = 0
    schema.PROGRESS.set(kv, task.id, progress)
    enqueue(kv, task)
    # The time may have passed while the offer stood: then the task ends when deadlines are next looked at.
    set_deadline(kv, task.queue_deadline_ms, Deadline.QUEUE, task.id)
