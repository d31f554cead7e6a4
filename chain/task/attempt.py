"""An attempt: the assignments with which a task's provers, or later its fallback, try to prove it (protocol §6, §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proofmill.task.v1.event_pb2 import EventAssignmentEnded
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_ACCEPTED,
    ASSIGNMENT_STATUS_CANCELLED,
    ASSIGNMENT_STATUS_COMMITTED,
    ASSIGNMENT_STATUS_FAILED,
    ASSIGNMENT_STATUS_OFFERED,
    ASSIGNMENT_STATUS_SUPERSEDED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    TASK_STATUS_OFFERED,
    TASK_STATUS_PENDING,
    TASK_STATUS_RUNNING,
    AssignmentStatus,
)

from chain import schema
from chain.prover.duties import Duty, remove_duty
from chain.prover.lifecycle import note_duty_over
from chain.prover.registry import release
from chain.task.deadlines import Deadline, clear_deadline, set_deadline
from chain.task.pending import dequeue, enqueue

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Assignment, Progress, Task

    from chain.context import Context
    from chain.state.kv import KV, KVReader

AT_WORK: Final = (ASSIGNMENT_STATUS_ACCEPTED, ASSIGNMENT_STATUS_COMMITTED)
OPEN: Final = (ASSIGNMENT_STATUS_OFFERED, *AT_WORK)
# Other ends have events of their own.
_TOLD_HERE: Final = (
    ASSIGNMENT_STATUS_FAILED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    ASSIGNMENT_STATUS_SUPERSEDED,
    ASSIGNMENT_STATUS_CANCELLED,
)
FAULTY: Final = (ASSIGNMENT_STATUS_FAILED, ASSIGNMENT_STATUS_TIMED_OUT)


def get_attempt(kv: KVReader, task_id: int, attempt: int) -> list[tuple[bytes, Assignment]]:
    """(operator, assignment) of an attempt, by operator, those included that let their offer pass."""
    return [
        (operator, assignment)
        for (_, operator), assignment in schema.ASSIGNMENTS.iterate(kv, prefix_of=(task_id,))
        if assignment.attempt == attempt
    ]


def end_assignment(
    context: Context, task: Task, operator: bytes, assignment: Assignment, status: AssignmentStatus, reason: str = ""
) -> None:
    """An open assignment is over: resources are free, duty and deadline are gone, a fault is held. Stores it."""
    kv = context.kv
    if assignment.status == ASSIGNMENT_STATUS_OFFERED:
        schema.OFFER_DEADLINES.delete(kv, (assignment.accept_by_height + 1, task.id, operator))
    else:
        clear_deadline(kv, assignment.deadline_ms, Deadline.PROOF, task.id, operator)
    assignment.status = status
    assignment.reason = reason
    assignment.ended_height = context.block.height
    prover = schema.PROVERS.require(kv, operator)
    release(prover, assignment.held)
    prover.last_busy_ms = context.block.time_ms
    schema.PROVERS.set(kv, operator, prover)
    remove_duty(kv, operator, Duty.ASSIGNMENT, task.id)
    if status in FAULTY:
        hold_fault(context, task, operator, assignment)
    else:
        schema.ASSIGNMENTS.set(kv, (task.id, operator), assignment)
    note_duty_over(context, operator)
    if status in _TOLD_HERE:
        name = AssignmentStatus.Name(status).removeprefix("ASSIGNMENT_STATUS_")
        context.emit(EventAssignmentEnded(task_id=task.id, prover=assignment.prover, status=name, reason=reason))


def hold_fault(context: Context, task: Task, operator: bytes, assignment: Assignment) -> None:
    """Count a failure, and hold the prover's bond until it is known whose fault it was. Stores the assignment.

    A failed capacity test is nobody else's business: it has consequences of its own.
    """
    kv = context.kv
    prover = schema.PROVERS.require(kv, operator)
    prover.tasks_failed += 1
    if not task.test:
        prover.held_faults += 1
        assignment.held_fault = True
    schema.PROVERS.set(kv, operator, prover)
    schema.ASSIGNMENTS.set(kv, (task.id, operator), assignment)


def open_slots(context: Context, task: Task, progress: Progress, count: int) -> None:
    """So many more provers are wanted: the task waits for a draw. The caller stores the progress."""
    if not progress.slots_open:
        enqueue(context.kv, task)
        # The time may have passed while offers stood: then the wait ends when deadlines are next looked at.
        set_deadline(context.kv, progress.queue_deadline_ms, Deadline.QUEUE, task.id)
    progress.slots_open += count


def close_slots(kv: KV, task: Task, progress: Progress) -> None:
    """Nobody more is wanted. The caller stores the progress."""
    if progress.slots_open:
        dequeue(kv, task)
        clear_deadline(kv, progress.queue_deadline_ms, Deadline.QUEUE, task.id)
        progress.slots_open = 0


def refresh(progress: Progress, rows: list[Assignment]) -> None:
    """Say in the progress where the current attempt, with these assignments, stands before its proofs are complete."""
    working = [row for row in rows if row.status in AT_WORK]
    offered = [row for row in rows if row.status == ASSIGNMENT_STATUS_OFFERED]
    published = bool(progress.proof.sha256)
    if working or published:
        progress.status = TASK_STATUS_RUNNING
    elif offered:
        progress.status = TASK_STATUS_OFFERED
    else:
        progress.status = TASK_STATUS_PENDING
    if published:
        return
    leader = max(working or offered, key=lambda row: (row.accepted_height, row.offered_height), default=None)
    progress.prover = leader.prover if leader else ""
    progress.offered_height = leader.offered_height if leader else 0
    progress.accepted_height = leader.accepted_height if leader else 0
    progress.accepted_ms = leader.accepted_ms if leader else 0
    progress.deadline_ms = leader.deadline_ms if leader else 0
