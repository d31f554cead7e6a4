"""MsgSubmitProofs and MsgReportFailure: how an accepted assignment ends (protocol §6.4, §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.task.v1.event_pb2 import EventTaskProved
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_ACCEPTED,
    ASSIGNMENT_STATUS_FAILED,
    ASSIGNMENT_STATUS_PROVED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    FAILURE_REASON_UNSPECIFIED,
    TASK_STATUS_PROVED,
    FailureReason,
)
from proofmill.task.v1.tx_pb2 import (
    MsgReportFailure,
    MsgReportFailureResponse,
    MsgSubmitProofs,
    MsgSubmitProofsResponse,
    ProofEntry,
)

from chain import schema
from chain.errors import ALREADY_PROVED, DEADLINE_PASSED, NOT_ASSIGNED, OFFER_CLOSED, PROOF_INVALID, TASK_INVALID
from chain.fields import check_address, check_sha256, check_text, check_urls
from chain.prover.registry import get_prover_of_node
from chain.settlement.failure import end_assignment, fail_task
from chain.task.deadlines import Deadline, clear_deadline
from chain.task.entries import apply_entries, check_entry_count
from chain.task.store import require_assignment, require_progress, require_task

if TYPE_CHECKING:
    from chain.context import Context

DETAIL_BYTES_MAX = 256


def validate_submit_proofs(message: MsgSubmitProofs) -> None:
    check_address(message.node, "node")
    check_entry_count(len(message.entries))
    for entry in message.entries:
        check_sha256(entry.proof.sha256, "a proof's sha256", PROOF_INVALID)
        check_urls(entry.proof.urls, "a proof's urls", PROOF_INVALID, required=True)
        if not entry.proof.size:
            raise PROOF_INVALID.error("a proof's size is 0: state the bundle's bytes")


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
    progress = require_progress(kv, task_id)
    if assignment.status == ASSIGNMENT_STATUS_PROVED:
        if progress.proof.sha256 == proof.sha256:
            return  # a repeat
        raise ALREADY_PROVED.error(f"this prover already published another proof of task {task_id}")
    _require_accepted(assignment.status, task_id)
    if proof.size > context.params.blob_max_bytes:
        raise PROOF_INVALID.error(f"the proof has {proof.size} bytes, more than {context.params.blob_max_bytes}")
    clear_deadline(kv, assignment.deadline_ms, Deadline.PROOF, task_id)
    end_assignment(kv, task, operator, assignment, ASSIGNMENT_STATUS_PROVED, "")
    progress.status = TASK_STATUS_PROVED
    progress.proof.CopyFrom(proof)
    progress.proved_height = context.block.height
    progress.proved_ms = context.block.time_ms
    schema.PROGRESS.set(kv, task_id, progress)
    schema.PROVED.add(kv, task_id)
    context.emit(EventTaskProved(task_id=task_id, prover=assignment.prover, proof_sha256=proof.sha256, size=proof.size))


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
    _require_accepted(assignment.status, task_id)
    clear_deadline(kv, assignment.deadline_ms, Deadline.PROOF, task_id)
    reason = FailureReason.Name(message.reason).removeprefix("FAILURE_REASON_").lower().replace("_", " ")
    if message.detail:
        reason = f"{reason}: {message.detail}"
    end_assignment(kv, task, operator, assignment, ASSIGNMENT_STATUS_FAILED, reason)
    fail_task(context, task, require_progress(kv, task_id), f"the prover reported a failure: {reason}")
    return MsgReportFailureResponse()


def _require_accepted(status: int, task_id: int) -> None:
    if status == ASSIGNMENT_STATUS_ACCEPTED:
        return
    if status in (ASSIGNMENT_STATUS_FAILED, ASSIGNMENT_STATUS_PROVED):
        raise OFFER_CLOSED.error(f"this prover's work on task {task_id} has already ended")
    if status == ASSIGNMENT_STATUS_TIMED_OUT:
        raise DEADLINE_PASSED.error(f"the deadline of task {task_id} has passed")
    raise NOT_ASSIGNED.error(f"this prover hasn't accepted task {task_id}")
