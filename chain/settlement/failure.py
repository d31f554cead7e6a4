"""When an attempt fails, and every end without a valid proof: protocol §7, and who gets the fee then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proofmill.prover.v1.state_pb2 import TEST_RESULT_FAILED
from proofmill.task.v1.event_pb2 import EventFallback
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_PROVED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    FAILURE_REASON_INPUT_UNAVAILABLE,
    TASK_STATUS_FAILED,
    TASK_STATUS_PENDING,
    TASK_STATUS_PROVED,
    TASK_STATUS_UNSERVED,
    TaskStatus,
)

from chain import schema
from chain.capacity.result import record_result
from chain.params import BASIS_POINTS
from chain.program.stats import record_failure
from chain.program.strikes import add_strike
from chain.settlement.faults import get_held_faults, let_go
from chain.settlement.payouts import burn_rest, finish_task, get_escrowed, refund
from chain.task.attempt import FAULTY, OPEN, close_slots, end_assignment, get_attempt, open_slots, refresh

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Assignment, Progress, Task

    from chain.context import Context

# The attempt after the first; there is no other.
FALLBACK: Final = 2


def conclude_attempt(context: Context, task: Task, progress: Progress) -> None:
    """After an assignment ended: wait for the others, hand the proofs to committees, or the attempt has failed."""
    kv = context.kv
    rows = get_attempt(kv, task.id, progress.attempt)
    if progress.slots_open or any(row.status in OPEN for _, row in rows):
        refresh(progress, [row for _, row in rows])
        schema.PROGRESS.set(kv, task.id, progress)
        return
    proved = [operator for operator, row in rows if row.status == ASSIGNMENT_STATUS_PROVED]
    if not proved:
        fail_attempt(context, task, progress, _describe_faults(rows))
        return
    for operator in proved:
        schema.PROVED.add(kv, (task.id, operator))
    progress.status = TASK_STATUS_PROVED
    progress.proofs_open = len(proved)
    schema.PROGRESS.set(kv, task.id, progress)


def miss_proof_deadline(context: Context, task_id: int, operator: bytes) -> None:
    """The time for a proof, or for revealing one, is over: the prover's failure."""
    task = schema.TASKS.require(context.kv, task_id)
    assignment = schema.ASSIGNMENTS.require(context.kv, (task_id, operator))
    reason = "committed to a proof and didn't reveal it in time" if assignment.commitment else "missed the deadline"
    end_assignment(context, task, operator, assignment, ASSIGNMENT_STATUS_TIMED_OUT, reason)
    conclude_attempt(context, task, schema.PROGRESS.require(context.kv, task_id))


def give_up_queueing(context: Context, task_id: int) -> None:
    """No prover was found in time for slots that are open: those that were found go on alone, if there are any."""
    task = schema.TASKS.require(context.kv, task_id)
    progress = schema.PROGRESS.require(context.kv, task_id)
    close_slots(context.kv, task, progress)
    rows = get_attempt(context.kv, task_id, progress.attempt)
    if any(row.status in OPEN or row.held_fault for _, row in rows):
        conclude_attempt(context, task, progress)
        return
    who = "fallback prover" if progress.attempt == FALLBACK else "eligible prover"
    end_refunded(context, task, progress, TASK_STATUS_UNSERVED, f"no {who} was free before the queue timeout")


def give_up_blocked(context: Context, task: Task, progress: Progress) -> None:
    """Its program was blocked before a prover was drawn."""
    close_slots(context.kv, task, progress)
    end_refunded(context, task, progress, TASK_STATUS_UNSERVED, "the program was blocked before a prover was drawn")


def end_refunded(context: Context, task: Task, progress: Progress, status: TaskStatus, reason: str) -> None:
    """End a task with all that is left of its fee given back, and nobody to blame."""
    refund(context, task, progress, get_escrowed(task, progress))
    let_go(context, task)
    finish_task(context, task, progress, status, reason)


def fail_attempt(context: Context, task: Task, progress: Progress, reason: str) -> None:
    """All provers of an attempt have failed: a fallback, or the end."""
    if task.test:
        record_result(context, task, progress, TEST_RESULT_FAILED, reason)
        finish_task(context, task, progress, TASK_STATUS_FAILED, reason)
    elif progress.attempt == FALLBACK:
        _blame_nobody(context, task, progress, reason)
    else:
        _begin_fallback(context, task, progress, reason)


def _describe_faults(rows: list[tuple[bytes, Assignment]]) -> str:
    """One sentence on why nobody of an attempt came to a proof."""
    reasons = [
        f"the prover reported a failure: {row.reason}" if row.failure else f"the prover {row.reason}"
        for _, row in rows
        if row.status in FAULTY
    ]
    return reasons[0] if len(reasons) == 1 else f"all {len(reasons)} provers failed, one of them because {reasons[0]}"


def _begin_fallback(context: Context, task: Task, progress: Progress, reason: str) -> None:
    """Half of the fee goes back at once, and one more prover is drawn."""
    kv, terms = context.kv, context.terms(task)
    amount = task.fee * terms.refund_on_fallback_bp // BASIS_POINTS
    refund(context, task, progress, amount)
    progress.attempt = FALLBACK
    progress.status = TASK_STATUS_PENDING
    progress.ClearField("proof")
    progress.ClearField("verdict")
    progress.proved_height = progress.proved_ms = progress.decided_height = 0
    progress.fallback_height = context.block.height
    progress.fallback_reason = reason
    progress.queue_deadline_ms = context.block.time_ms + task.queue_timeout_s * 1_000
    open_slots(context, task, progress, 1)
    refresh(progress, [])
    schema.PROGRESS.set(kv, task.id, progress)
    context.emit(EventFallback(task_id=task.id, reason=reason, refund=amount))


def _blame_nobody(context: Context, task: Task, progress: Progress, reason: str) -> None:
    """The fallback failed too: the user's fault if nobody could get the input, else the program is suspect."""
    faults = get_held_faults(context.kv, task.id)
    escrowed = get_escrowed(task, progress)
    record_failure(context.kv, task)
    if all(row.failure == FAILURE_REASON_INPUT_UNAVAILABLE for _, row in faults):
        kept = min(escrowed, task.fee * context.terms(task).network_share_bp // BASIS_POINTS)
        refund(context, task, progress, escrowed - kept)
        burn_rest(context, task, progress)
        ending = "no prover could get the input"
    else:
        burn_rest(context, task, progress)
        first = min((row for _, row in faults if row.attempt != FALLBACK), key=lambda row: row.ended_height)
        add_strike(context, task, first.prover)
        ending = f"the fallback failed too, so the program is suspect: {reason}"
    let_go(context, task)
    finish_task(context, task, progress, TASK_STATUS_FAILED, ending)
