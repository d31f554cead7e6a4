"""Tasks that end without a proof: everything goes back to the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.task.v1.event_pb2 import EventTaskEnded
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_PROVED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    PAYOUT_KIND_REFUND,
    TASK_STATUS_FAILED,
    TASK_STATUS_UNSERVED,
    Payout,
    TaskStatus,
)

from chain import schema
from chain.address import decode_address
from chain.bank.ledger import refund_ucredit
from chain.prover.duties import Duty, remove_duty
from chain.prover.registry import release
from chain.task.pending import dequeue

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Assignment, AssignmentStatus, Progress, Task

    from chain.context import Context
    from chain.state.kv import KV


def end_assignment(
    kv: KV, task: Task, operator: bytes, assignment: Assignment, status: AssignmentStatus, reason: str
) -> None:
    """An accepted assignment is over: its resources are free again, its duty is gone, its outcome is stored."""
    assignment.status = status
    assignment.reason = reason
    schema.ASSIGNMENTS.set(kv, (task.id, operator), assignment)
    prover = schema.PROVERS.require(kv, operator)
    release(prover, task.resources)
    if status != ASSIGNMENT_STATUS_PROVED:
        prover.tasks_failed += 1
    schema.PROVERS.set(kv, operator, prover)
    remove_duty(kv, operator, Duty.ASSIGNMENT, task.id)


def finish_task(context: Context, task: Task, progress: Progress, status: TaskStatus, reason: str) -> None:
    """Record how a task ended; its money must have left the escrow."""
    progress.status = status
    progress.reason = reason
    progress.ended_height = context.block.height
    progress.ended_ms = context.block.time_ms
    schema.PROGRESS.set(context.kv, task.id, progress)
    name = TaskStatus.Name(status).removeprefix("TASK_STATUS_")
    context.emit(EventTaskEnded(task_id=task.id, status=name, reason=reason))


def refund_task(context: Context, task: Task, progress: Progress, status: TaskStatus, reason: str) -> None:
    """End a task with its whole fee given back."""
    refund_ucredit(context.kv, decode_address(task.user), task.fee)
    progress.payouts.append(Payout(kind=PAYOUT_KIND_REFUND, recipient=task.user, ucredit=task.fee))
    finish_task(context, task, progress, status, reason)


def fail_task(context: Context, task: Task, progress: Progress, reason: str) -> None:
    """The prover failed: the task ends FAILED, all refunded."""
    refund_task(context, task, progress, TASK_STATUS_FAILED, reason)


def miss_proof_deadline(context: Context, task_id: int) -> None:
    """The time for the proof is over: the prover's failure."""
    kv = context.kv
    task = schema.TASKS.require(kv, task_id)
    progress = schema.PROGRESS.require(kv, task_id)
    operator = decode_address(progress.prover)
    assignment = schema.ASSIGNMENTS.require(kv, (task_id, operator))
    end_assignment(kv, task, operator, assignment, ASSIGNMENT_STATUS_TIMED_OUT, "the deadline passed")
    fail_task(context, task, progress, "the prover missed the deadline")


def give_up_queueing(context: Context, task_id: int) -> None:
    """No prover was found in time."""
    task = schema.TASKS.require(context.kv, task_id)
    progress = schema.PROGRESS.require(context.kv, task_id)
    dequeue(context.kv, task)
    refund_task(context, task, progress, TASK_STATUS_UNSERVED, "no eligible prover was free before the queue timeout")
