"""MsgAcceptTasks and MsgDeclineTasks: a drawn prover's answer (protocol §6.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.task.v1.event_pb2 import EventTaskAccepted, EventTaskDeclined
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_ACCEPTED,
    ASSIGNMENT_STATUS_DECLINED,
    ASSIGNMENT_STATUS_OFFERED,
)
from proofmill.task.v1.tx_pb2 import (
    Decline,
    MsgAcceptTasks,
    MsgAcceptTasksResponse,
    MsgDeclineTasks,
    MsgDeclineTasksResponse,
)

from chain import schema
from chain.errors import OFFER_CLOSED, TASK_INVALID
from chain.fields import check_address, check_text
from chain.prover.misses import record_decline
from chain.prover.registry import get_prover_of_node
from chain.task.assign import withdraw_offer
from chain.task.attempt import get_attempt, refresh
from chain.task.deadlines import Deadline, set_deadline
from chain.task.entries import apply_entries, check_entry_count
from chain.task.store import require_assignment, require_progress, require_task

if TYPE_CHECKING:
    from chain.context import Context

REASON_BYTES_MAX = 256


def validate_accept_tasks(message: MsgAcceptTasks) -> None:
    check_address(message.node, "node")
    check_entry_count(len(message.task_ids))


def execute_accept_tasks(context: Context, message: MsgAcceptTasks) -> MsgAcceptTasksResponse:
    operator, _ = get_prover_of_node(context.kv, message.node)
    results = apply_entries(
        context, message.task_ids, lambda task_id: task_id, lambda layer, task_id: _accept(layer, operator, task_id)
    )
    return MsgAcceptTasksResponse(results=results)


def _accept(context: Context, operator: bytes, task_id: int) -> None:
    kv, now = context.kv, context.block.time_ms
    task = require_task(kv, task_id)
    assignment = require_assignment(kv, task_id, operator)
    if assignment.accepted_height:
        return  # a repeat
    if assignment.status != ASSIGNMENT_STATUS_OFFERED:
        raise OFFER_CLOSED.error(f"the offer of task {task_id} is closed: it expired, was declined or is not needed")
    deadline = now + task.time_limit_s * 1_000 + task.transfer_ms
    assignment.status = ASSIGNMENT_STATUS_ACCEPTED
    assignment.accepted_height = context.block.height
    assignment.accepted_ms = now
    assignment.deadline_ms = deadline
    schema.ASSIGNMENTS.set(kv, (task_id, operator), assignment)
    schema.OFFER_DEADLINES.delete(kv, (assignment.accept_by_height + 1, task_id, operator))
    set_deadline(kv, deadline, Deadline.PROOF, task_id, operator)
    progress = require_progress(kv, task_id)
    refresh(progress, [row for _, row in get_attempt(kv, task_id, progress.attempt)])
    schema.PROGRESS.set(kv, task_id, progress)
    context.emit(EventTaskAccepted(task_id=task_id, prover=assignment.prover, deadline_ms=deadline))


def validate_decline_tasks(message: MsgDeclineTasks) -> None:
    check_address(message.node, "node")
    check_entry_count(len(message.entries))
    for entry in message.entries:
        check_text(entry.reason, "the reason of a decline", REASON_BYTES_MAX, TASK_INVALID)


def execute_decline_tasks(context: Context, message: MsgDeclineTasks) -> MsgDeclineTasksResponse:
    operator, _ = get_prover_of_node(context.kv, message.node)
    results = apply_entries(
        context, message.entries, lambda entry: entry.task_id, lambda layer, entry: _decline(layer, operator, entry)
    )
    return MsgDeclineTasksResponse(results=results)


def _decline(context: Context, operator: bytes, entry: Decline) -> None:
    kv, task_id = context.kv, entry.task_id
    require_task(kv, task_id)
    assignment = require_assignment(kv, task_id, operator)
    if assignment.status == ASSIGNMENT_STATUS_DECLINED:
        return  # a repeat
    if assignment.status != ASSIGNMENT_STATUS_OFFERED:
        raise OFFER_CLOSED.error(f"the offer of task {task_id} is closed: it was answered before or expired")
    record_decline(context, operator, task_id)
    withdraw_offer(context, task_id, operator, assignment, ASSIGNMENT_STATUS_DECLINED, entry.reason)
    context.emit(EventTaskDeclined(task_id=task_id, prover=assignment.prover, reason=entry.reason))
