"""A task's life as its provers make it: offers and answers, commits, proofs and failures."""

from __future__ import annotations

from collections.abc import Iterator

from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_CANCELLED,
    ASSIGNMENT_STATUS_DECLINED,
    ASSIGNMENT_STATUS_EXPIRED,
    ASSIGNMENT_STATUS_FAILED,
    ASSIGNMENT_STATUS_SUPERSEDED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    Assignment,
    Task,
)

from client.life_step import Rank, Step

_ENDED_WITHOUT_PROOF = {
    ASSIGNMENT_STATUS_EXPIRED: ("expired", Rank.EXPIRED),
    ASSIGNMENT_STATUS_DECLINED: ("declined", Rank.DECLINED),
    ASSIGNMENT_STATUS_FAILED: ("failed", Rank.ENDED_WITHOUT_PROOF),
    ASSIGNMENT_STATUS_TIMED_OUT: ("timed out", Rank.ENDED_WITHOUT_PROOF),
    ASSIGNMENT_STATUS_SUPERSEDED: ("superseded", Rank.ENDED_WITHOUT_PROOF),
    ASSIGNMENT_STATUS_CANCELLED: ("cancelled", Rank.ENDED_WITHOUT_PROOF),
}
# A prover's work begins, is over, and is over for all: a proof that was revealed makes the others' superfluous.
WORK_BEGINS = frozenset({"accepted", "assigned"})
WORK_ENDS = frozenset({"proof committed", "failed", "timed out"})
ALL_WORK_ENDS = frozenset({"proved", "cancelled"})


def has_several_proofs(task: Task, attempt: int) -> bool:
    """Whether a proof has to be told by its prover: known from the beginning, so that a step stays as it was told."""
    return task.redundancy > 1 or attempt > 1


def prover_steps(answer: QueryTaskResponse) -> Iterator[Step]:
    """Of all assignments, in any order."""
    for assignment in answer.assignments:
        yield from _assignment_steps(answer.task.task, assignment)


def _assignment_steps(task: Task, one: Assignment) -> Iterator[Step]:
    prover, attempt = one.prover, one.attempt
    if task.test:
        text = f"to {prover}, to be proved within {(one.deadline_ms - one.accepted_ms) / 1000:g} s"
        yield Step("assigned", text, one.accepted_height, one.accepted_ms, attempt, Rank.ACCEPTED)
    else:
        text = f"to {prover}, to be accepted by height {one.accept_by_height}"
        yield Step("offered", text, one.offered_height, 0, attempt, Rank.OFFERED)
        if one.accepted_height:
            text = f"by {prover}, to be proved within {task.time_limit_s + task.transfer_ms / 1000:g} s"
            yield Step("accepted", text, one.accepted_height, one.accepted_ms, attempt, Rank.ACCEPTED)
    if one.committed_height:
        text = f"by {prover}, so that nobody can copy its proof once it is revealed"
        yield Step("proof committed", text, one.committed_height, 0, attempt, Rank.COMMITTED)
    if one.proved_height:
        proof = one.proof
        text = f"{proof.size:,} bytes, sha256 {proof.sha256.hex()}, made in {proof.usage.wall_ms / 1000:.1f} s"
        text = f"by {prover}: {text}" if has_several_proofs(task, attempt) else text
        yield Step("proved", text, one.proved_height, 0, attempt, Rank.PROVED)
    if one.status in _ENDED_WITHOUT_PROOF:
        name, rank = _ENDED_WITHOUT_PROOF[one.status]
        text = f"by {prover}" + (f": {one.reason}" if one.reason else "")
        yield Step(name, text, one.ended_height, 0, attempt, rank)
