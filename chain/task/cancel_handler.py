"""MsgCancelTask: free until a prover accepted, then the elapsed share of the time limit is its (protocol §6).

Not once a fallback is wanted: whoever could take the task back then, free of charge, could look who was drawn and go
on only where its own prover was, which would collect the bond of the stranger that failed first (ADR 9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_ACCEPTED,
    ASSIGNMENT_STATUS_CANCELLED,
    ASSIGNMENT_STATUS_COMMITTED,
    ASSIGNMENT_STATUS_PROVED,
    PAYOUT_KIND_ELAPSED,
    PAYOUT_KIND_REFUND,
    TASK_STATUS_CANCELLED,
    TASK_STATUS_DECIDED,
    TASK_STATUS_DONE,
    TASK_STATUS_RUNNING,
)
from proofmill.task.v1.tx_pb2 import MsgCancelTask, MsgCancelTaskResponse

from chain.errors import NOT_CANCELLABLE, UNAUTHORIZED
from chain.fields import check_address
from chain.settlement.failure import FALLBACK, end_refunded
from chain.settlement.payouts import get_escrowed, reward
from chain.task.attempt import OPEN, close_slots, end_assignment, get_attempt
from chain.task.store import require_progress, require_task

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Progress

    from chain.context import Context


def validate_cancel_task(message: MsgCancelTask) -> None:
    check_address(message.user, "user")


def execute_cancel_task(context: Context, message: MsgCancelTask) -> MsgCancelTaskResponse:
    kv, now, task_id = context.kv, context.block.time_ms, message.task_id
    task = require_task(kv, task_id)
    progress = require_progress(kv, task_id)
    if message.user != task.user:
        raise UNAUTHORIZED.error(f"only {task.user or 'the chain itself'} may cancel task {task_id}")
    if progress.status == TASK_STATUS_CANCELLED:
        return MsgCancelTaskResponse(refund=_sum_refunds(progress))  # a repeat
    rows = get_attempt(kv, task_id, progress.attempt)
    if progress.status >= TASK_STATUS_DONE:
        raise NOT_CANCELLABLE.error(f"task {task_id} has ended already")
    if progress.attempt == FALLBACK:
        raise NOT_CANCELLABLE.error(
            f"the first attempt at task {task_id} failed, and half of its fee is back: only its fallback can show "
            "whose fault that was"
        )
    if TASK_STATUS_RUNNING < progress.status <= TASK_STATUS_DECIDED or any(
        row.status in (ASSIGNMENT_STATUS_COMMITTED, ASSIGNMENT_STATUS_PROVED) for _, row in rows
    ):
        raise NOT_CANCELLABLE.error(f"a prover has a proof of task {task_id} already: it is too late to cancel it")
    slot = get_escrowed(task, progress) // task.redundancy
    limit_ms = task.time_limit_s * 1_000
    for operator, row in rows:
        if row.status not in OPEN:
            continue
        accepted = row.status == ASSIGNMENT_STATUS_ACCEPTED
        elapsed_ms = min(now - row.accepted_ms, limit_ms) if accepted else 0
        end_assignment(context, task, operator, row, ASSIGNMENT_STATUS_CANCELLED, "the user cancelled the task")
        reward(context, task, progress, operator, PAYOUT_KIND_ELAPSED, slot * elapsed_ms // limit_ms)
    close_slots(kv, task, progress)
    end_refunded(context, task, progress, TASK_STATUS_CANCELLED, "the user cancelled it")
    return MsgCancelTaskResponse(refund=_sum_refunds(progress))


def _sum_refunds(progress: Progress) -> int:
    return sum(payout.ucredit for payout in progress.payouts if payout.kind == PAYOUT_KIND_REFUND)
