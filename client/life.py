"""A task's life as a list of steps, read from the chain's state alone: the same for everyone, at any time later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_DECLINED,
    ASSIGNMENT_STATUS_EXPIRED,
    ASSIGNMENT_STATUS_FAILED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    TASK_STATUS_CANCELLED,
    TASK_STATUS_DONE,
    TASK_STATUS_FAILED,
    TASK_STATUS_UNDECIDED,
    TASK_STATUS_UNSERVED,
    Assignment,
    TaskStatus,
    Verdict,
)
from proofmill.verification.v1.state_pb2 import RoundView

from chain.amount import UCREDIT, format_amount
from client.plain import enum_label

FINAL_STATUSES = frozenset(
    {TASK_STATUS_DONE, TASK_STATUS_FAILED, TASK_STATUS_UNDECIDED, TASK_STATUS_UNSERVED, TASK_STATUS_CANCELLED}
)
_ENDED_WITHOUT_PROOF = {
    ASSIGNMENT_STATUS_DECLINED: "declined",
    ASSIGNMENT_STATUS_EXPIRED: "expired",
    ASSIGNMENT_STATUS_FAILED: "failed",
    ASSIGNMENT_STATUS_TIMED_OUT: "timed out",
}
_ENDS_THE_TASK = frozenset({ASSIGNMENT_STATUS_FAILED, ASSIGNMENT_STATUS_TIMED_OUT})


@dataclass(frozen=True)
class Step:
    """Something that happened at a height. ``name`` is one word or two, ``text`` says it in full.

    ``height`` is 0 and ``time_ms`` 0 where the state doesn't tell; ``rank`` orders the steps of one height.
    """

    name: str
    text: str
    height: int = 0
    time_ms: int = 0
    rank: int = 0


def is_final(task: QueryTaskResponse) -> bool:
    return task.task.progress.status in FINAL_STATUSES


def status_label(status: int) -> str:
    return enum_label(TaskStatus.DESCRIPTOR, status)


def verdict_label(verdict: int) -> str:
    return enum_label(Verdict.DESCRIPTOR, verdict)


def task_life(answer: QueryTaskResponse) -> tuple[Step, ...]:
    """All steps so far, oldest first. A step that is there stays there unchanged."""
    return tuple(sorted(_steps(answer), key=lambda step: (step.height, step.rank)))


def _steps(answer: QueryTaskResponse) -> Iterator[Step]:
    task, progress = answer.task.task, answer.task.progress
    fee = format_amount(task.fee, UCREDIT)
    yield Step("created", f"by {task.user}, {fee} in escrow", task.created_height, task.created_ms)
    for assignment in answer.assignments:
        yield from _assignment_steps(assignment, progress.ended_height)
    if progress.accepted_height:
        yield Step("accepted", f"by {progress.prover}", progress.accepted_height, progress.accepted_ms, 3)
    if progress.proved_height:
        proof = progress.proof
        text = f"{proof.size:,} bytes, sha256 {proof.sha256.hex()}, made in {proof.usage.wall_ms / 1000:.1f} s"
        yield Step("proved", text, progress.proved_height, progress.proved_ms, 4)
    for view in answer.rounds:
        yield from _round_steps(view)
    if progress.decided_height:
        yield Step("decided", f"verdict {verdict_label(progress.verdict)}", progress.decided_height, 0, 8)
    if progress.ended_height:
        text = status_label(progress.status) + (f": {progress.reason}" if progress.reason else "")
        yield Step("ended", text, progress.ended_height, progress.ended_ms, 9)


def _assignment_steps(assignment: Assignment, task_ended_height: int) -> Iterator[Step]:
    text = f"to {assignment.prover}, to be accepted by height {assignment.accept_by_height}"
    yield Step("offered", text, assignment.offered_height, 0, 1)
    if ended := _ENDED_WITHOUT_PROOF.get(assignment.status):
        text = f"by {assignment.prover}" + (f": {assignment.reason}" if assignment.reason else "")
        height = assignment.ended_height
        if not height and assignment.status == ASSIGNMENT_STATUS_EXPIRED:
            height = assignment.accept_by_height + 1
        elif not height and assignment.status in _ENDS_THE_TASK:
            height = task_ended_height
        yield Step(ended, text, height or assignment.offered_height, 0, 4 if assignment.status in _ENDS_THE_TASK else 2)


def _round_steps(view: RoundView) -> Iterator[Step]:
    entry = view.round
    yield Step("committee", f"of {entry.size} drawn, round {entry.round}", entry.drawn_height, 0, 5)
    commits = Counter(vote.committed_height for vote in view.votes if vote.committed_height)
    reveals = Counter(vote.revealed_height for vote in view.votes if vote.revealed_height)
    for name, heights, rank in (("committed", commits, 6), ("revealed", reveals, 7)):
        done = 0
        for height in sorted(heights):
            done += heights[height]
            yield Step(name, f"{done} of {entry.size} votes", height, 0, rank)
