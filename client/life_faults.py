"""A task's life where something failed: the fallback, who lost how much of its bond, and who was let go."""

from __future__ import annotations

from collections.abc import Iterator

from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_FAILED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    FAILURE_REASON_INPUT_UNAVAILABLE,
    SLASH_KIND_FAULT,
    TASK_STATUS_CANCELLED,
    TASK_STATUS_DONE,
    TASK_STATUS_FAILED,
    TASK_STATUS_UNDECIDED,
    TASK_STATUS_UNSERVED,
    VERDICT_INVALID,
    Assignment,
    Slash,
)
from proofmill.verification.v1.state_pb2 import Vote

from chain.amount import UMILL, format_amount
from client.life_step import Rank, Step
from client.life_votes import attempts_of, verdict_label

FALLBACK = 2
_WHY_LET_GO = {
    TASK_STATUS_FAILED: "the fallback failed too, so it may be the program's fault",
    TASK_STATUS_UNSERVED: "no fallback prover was there to show whose fault it was",
    TASK_STATUS_UNDECIDED: "without a verdict nobody knows whose fault it was",
    TASK_STATUS_CANCELLED: "the user cancelled before it was known whose fault it was",
}


def fault_steps(answer: QueryTaskResponse) -> Iterator[Step]:
    """Of slashes, the fallback and those who keep their bonds, in any order."""
    progress = answer.task.progress
    if progress.fallback_height:
        text = f"{progress.fallback_reason}; one more prover is drawn"
        yield Step("fallback", text, progress.fallback_height, 0, 1, Rank.FALLBACK)
    for slash in progress.slashes:
        attempt, reason = _explain_slash(answer, slash)
        text = f"{slash.prover} loses {format_amount(slash.umill, UMILL)} of its bond: it {reason}"
        text += f"; {_describe_use(slash)}"
        yield Step("slashed", text, slash.height, 0, attempt, Rank.SLASHED)
    yield from _let_go_steps(answer)


def _explain_slash(answer: QueryTaskResponse, slash: Slash) -> tuple[int, str]:
    """In which attempt the chain took it, and for what."""
    assignments = attempts_of(answer)
    if slash.kind == SLASH_KIND_FAULT:
        fault = describe_fault(assignments[slash.prover])
        return answer.task.progress.attempt, f"failed the task that another prover did ({fault}), and is jailed"
    (view,) = (view for view in answer.rounds if view.round.round == slash.round)
    (vote,) = (vote for vote in view.votes if vote.voter == slash.prover)
    judged = assignments[view.round.prover]
    return judged.attempt, _describe_vote(vote, judged.verdict)


def _describe_vote(vote: Vote, verdict: int) -> str:
    if vote.verdict:
        return f"voted {verdict_label(vote.verdict)} against the verdict {verdict_label(verdict)}"
    return "committed to a vote and didn't reveal it" if vote.committed_height else "was drawn and didn't vote"


def _describe_use(slash: Slash) -> str:
    """Where a slash went."""
    rest = "for those whom it cost, and the network pool" if slash.kind == SLASH_KIND_FAULT else "to the network pool"
    burned, other = (format_amount(amount, UMILL) for amount in (slash.burned, slash.umill - slash.burned))
    return f"{burned} burned, {other} {rest}"


def describe_fault(one: Assignment) -> str:
    """Why an assignment came to nothing."""
    return "its proof was found invalid" if one.verdict == VERDICT_INVALID else one.reason


def faults(answer: QueryTaskResponse) -> list[Assignment]:
    """Assignments that their provers failed at, the earliest first."""
    found = [
        one
        for one in answer.assignments
        if one.status in (ASSIGNMENT_STATUS_FAILED, ASSIGNMENT_STATUS_TIMED_OUT) or one.verdict == VERDICT_INVALID
    ]
    return sorted(found, key=lambda one: (one.attempt, one.ended_height))


def is_users_fault(answer: QueryTaskResponse) -> bool:
    """Whether everybody who failed says that the input wasn't there."""
    return all(one.failure == FAILURE_REASON_INPUT_UNAVAILABLE for one in faults(answer))


def _let_go_steps(answer: QueryTaskResponse) -> Iterator[Step]:
    task, progress = answer.task.task, answer.task.progress
    if task.test or not progress.ended_height or progress.status == TASK_STATUS_DONE:
        return
    failed = faults(answer)
    why = "nobody could get the input" if failed and is_users_fault(answer) else _WHY_LET_GO[progress.status]
    for one in failed:
        text = f"{one.prover} keeps its bond: {why}"
        yield Step("let go", text, progress.ended_height, 0, progress.attempt, Rank.LET_GO)
    if progress.status == TASK_STATUS_FAILED and not is_users_fault(answer):
        text = f"against the program {task.program_id.hex()[:16]}, counted by {failed[0].prover}, which failed first"
        yield Step("strike", text, progress.ended_height, 0, progress.attempt, Rank.LET_GO)
