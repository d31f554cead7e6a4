"""MsgCommitProofs, MsgSubmitProofs and MsgReportFailure: how an accepted assignment ends (protocol §6.4, §7)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from proofmill.task.v1.event_pb2 import EventProofCommitted, EventTaskProved
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_ACCEPTED,
    ASSIGNMENT_STATUS_CANCELLED,
    ASSIGNMENT_STATUS_COMMITTED,
    ASSIGNMENT_STATUS_FAILED,
    ASSIGNMENT_STATUS_PROVED,
    ASSIGNMENT_STATUS_SUPERSEDED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    FAILURE_REASON_UNSPECIFIED,
    FailureReason,
)
from proofmill.task.v1.tx_pb2 import (
    MsgCommitProofs,
    MsgCommitProofsResponse,
    MsgReportFailure,
    MsgReportFailureResponse,
    MsgSubmitProofs,
    MsgSubmitProofsResponse,
    ProofCommit,
    ProofEntry,
)

from chain import schema
from chain.errors import (
    ALREADY_PROVED,
    DEADLINE_PASSED,
    NOT_ASSIGNED,
    OFFER_CLOSED,
    PROOF_COMMIT_CHANGED,
    PROOF_EARLY,
    PROOF_INVALID,
    PROOF_MISMATCH,
    PROOF_UNCOMMITTED,
    SUPERSEDED,
    TASK_INVALID,
)
from chain.fields import check_address, check_sha256, check_text, check_urls
from chain.prover.registry import get_prover_of_node
from chain.settlement.failure import conclude_attempt
from chain.task.attempt import OPEN, close_slots, end_assignment, get_attempt
from chain.task.deadlines import Deadline, clear_deadline, set_deadline
from chain.task.entries import apply_entries, check_entry_count
from chain.task.store import require_assignment, require_progress, require_task

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Assignment, Task

    from chain.context import Context

DETAIL_BYTES_MAX = 256
SALT_BYTES = 32


def proof_commitment(operator: bytes, proof_sha256: bytes, salt: bytes) -> bytes:
    """32 bytes: sha256 of the operator's 20 address bytes ‖ the proof's sha256 (32) ‖ salt (32)."""
    return hashlib.sha256(operator + proof_sha256 + salt).digest()


def validate_commit_proofs(message: MsgCommitProofs) -> None:
    check_address(message.node, "node")
    check_entry_count(len(message.entries))
    for entry in message.entries:
        check_sha256(entry.commitment, "a commitment", PROOF_INVALID)


def execute_commit_proofs(context: Context, message: MsgCommitProofs) -> MsgCommitProofsResponse:
    operator, _ = get_prover_of_node(context.kv, message.node)
    results = apply_entries(
        context, message.entries, lambda entry: entry.task_id, lambda layer, entry: _commit(layer, operator, entry)
    )
    return MsgCommitProofsResponse(results=results)


def _commit(context: Context, operator: bytes, entry: ProofCommit) -> None:
    kv, task_id = context.kv, entry.task_id
    task = require_task(kv, task_id)
    assignment = require_assignment(kv, task_id, operator)
    if assignment.commitment:
        if assignment.commitment == entry.commitment:
            return  # a repeat
        raise PROOF_COMMIT_CHANGED.error(f"this prover already committed to another proof of task {task_id}")
    if not assignment.commit_first:
        raise TASK_INVALID.error(f"nobody can copy a proof of task {task_id}: submit it without a commitment")
    _require_at_work(assignment, (ASSIGNMENT_STATUS_ACCEPTED,))
    assignment.status = ASSIGNMENT_STATUS_COMMITTED
    assignment.commitment = entry.commitment
    assignment.committed_height = context.block.height
    reveal_by_ms = context.block.time_ms + context.terms(task).reveal_window_ms
    _move_deadline(context, operator, assignment, max(assignment.deadline_ms, reveal_by_ms))
    context.emit(EventProofCommitted(task_id=task_id, prover=assignment.prover))


def _move_deadline(context: Context, operator: bytes, assignment: Assignment, deadline_ms: int) -> None:
    """Give a prover until another time. Stores the assignment."""
    kv, task_id = context.kv, assignment.task_id
    clear_deadline(kv, assignment.deadline_ms, Deadline.PROOF, task_id, operator)
    assignment.deadline_ms = deadline_ms
    schema.ASSIGNMENTS.set(kv, (task_id, operator), assignment)
    set_deadline(kv, deadline_ms, Deadline.PROOF, task_id, operator)


def validate_submit_proofs(message: MsgSubmitProofs) -> None:
    check_address(message.node, "node")
    check_entry_count(len(message.entries))
    for entry in message.entries:
        check_sha256(entry.proof.sha256, "a proof's sha256", PROOF_INVALID)
        check_urls(entry.proof.urls, "a proof's urls", PROOF_INVALID, required=True)
        if not entry.proof.size:
            raise PROOF_INVALID.error("a proof's size is 0: state the bundle's bytes")
        if entry.salt and len(entry.salt) != SALT_BYTES:
            raise PROOF_INVALID.error(f"a proof's salt has {len(entry.salt)} bytes: give {SALT_BYTES}, or none")


def execute_submit_proofs(context: Context, message: MsgSubmitProofs) -> MsgSubmitProofsResponse:
    operator, _ = get_prover_of_node(context.kv, message.node)
    results = apply_entries(
        context, message.entries, lambda entry: entry.task_id, lambda layer, entry: _submit(layer, operator, entry)
    )
    return MsgSubmitProofsResponse(results=results)


def _submit(context: Context, operator: bytes, entry: ProofEntry) -> None:
    kv, task_id, proof = context.kv, entry.task_id, entry.proof
    task = require_task(kv, task_id)
    assignment = require_assignment(kv, task_id, operator)
    if assignment.status == ASSIGNMENT_STATUS_PROVED:
        if assignment.proof.sha256 == proof.sha256:
            return  # a repeat
        raise ALREADY_PROVED.error(f"this prover already published another proof of task {task_id}")
    if assignment.commit_first:
        _check_opening(context, operator, assignment, entry)
    else:
        _require_at_work(assignment, (ASSIGNMENT_STATUS_ACCEPTED,))
    if proof.size > context.params.blob_max_bytes:
        raise PROOF_INVALID.error(f"the proof has {proof.size} bytes, more than {context.params.blob_max_bytes}")
    assignment.proof.CopyFrom(proof)
    assignment.proved_height = context.block.height
    end_assignment(context, task, operator, assignment, ASSIGNMENT_STATUS_PROVED)
    context.emit(EventTaskProved(task_id=task_id, prover=assignment.prover, proof_sha256=proof.sha256, size=proof.size))
    progress = require_progress(kv, task_id)
    if not progress.proof.sha256:
        progress.prover = assignment.prover
        progress.proof.CopyFrom(proof)
        progress.proved_height = context.block.height
        progress.proved_ms = context.block.time_ms
        close_slots(kv, task, progress)
        _hurry_others(context, task, assignment.attempt)
    conclude_attempt(context, task, progress)


def _hurry_others(context: Context, task: Task, attempt: int) -> None:
    """After the first reveal: whoever committed has the reveal window, nobody else is needed."""
    reveal_by_ms = context.block.time_ms + context.terms(task).reveal_window_ms
    for other, row in get_attempt(context.kv, task.id, attempt):
        if row.status == ASSIGNMENT_STATUS_COMMITTED:
            _move_deadline(context, other, row, min(row.deadline_ms, reveal_by_ms))
        elif row.status in OPEN:
            reason = "another prover revealed its proof before this one had committed to one"
            end_assignment(context, task, other, row, ASSIGNMENT_STATUS_SUPERSEDED, reason)


def _check_opening(context: Context, operator: bytes, assignment: Assignment, entry: ProofEntry) -> None:
    """That the proof is the one which this prover committed to in an earlier block."""
    if assignment.status == ASSIGNMENT_STATUS_ACCEPTED:
        raise PROOF_UNCOMMITTED.error(
            f"commit to the proof of task {entry.task_id} first, and reveal it in a later block"
        )
    _require_at_work(assignment, (ASSIGNMENT_STATUS_COMMITTED,))
    if context.block.height <= assignment.committed_height:
        raise PROOF_EARLY.error(f"the proof of task {entry.task_id} was committed to in this block: reveal it later")
    if proof_commitment(operator, entry.proof.sha256, entry.salt) != assignment.commitment:
        raise PROOF_MISMATCH.error(f"the proof and salt for task {entry.task_id} aren't those that were committed to")


def validate_report_failure(message: MsgReportFailure) -> None:
    check_address(message.node, "node")
    if message.reason == FAILURE_REASON_UNSPECIFIED or message.reason not in FailureReason.values():
        raise TASK_INVALID.error("reason is missing or unknown: state why the task failed")
    check_text(message.detail, "detail", DETAIL_BYTES_MAX, TASK_INVALID)


def execute_report_failure(context: Context, message: MsgReportFailure) -> MsgReportFailureResponse:
    kv, task_id = context.kv, message.task_id
    operator, _ = get_prover_of_node(kv, message.node)
    task = require_task(kv, task_id)
    assignment = require_assignment(kv, task_id, operator)
    if assignment.status == ASSIGNMENT_STATUS_FAILED:
        return MsgReportFailureResponse()  # a repeat
    _require_at_work(assignment, (ASSIGNMENT_STATUS_ACCEPTED, ASSIGNMENT_STATUS_COMMITTED))
    reason = FailureReason.Name(message.reason).removeprefix("FAILURE_REASON_").lower().replace("_", " ")
    if message.detail:
        reason = f"{reason}: {message.detail}"
    assignment.failure = message.reason
    end_assignment(context, task, operator, assignment, ASSIGNMENT_STATUS_FAILED, reason)
    conclude_attempt(context, task, require_progress(kv, task_id))
    return MsgReportFailureResponse()


def _require_at_work(assignment: Assignment, statuses: tuple[int, ...]) -> None:
    status, task_id = assignment.status, assignment.task_id
    if status in statuses:
        return
    if status == ASSIGNMENT_STATUS_SUPERSEDED:
        raise SUPERSEDED.error(f"another prover of task {task_id} revealed its proof first, so this one isn't needed")
    if status in (ASSIGNMENT_STATUS_FAILED, ASSIGNMENT_STATUS_PROVED, ASSIGNMENT_STATUS_CANCELLED):
        raise OFFER_CLOSED.error(f"this prover's work on task {task_id} has already ended")
    if status == ASSIGNMENT_STATUS_TIMED_OUT:
        raise DEADLINE_PASSED.error(f"the deadline of task {task_id} has passed")
    raise NOT_ASSIGNED.error(f"this prover hasn't accepted task {task_id}")
