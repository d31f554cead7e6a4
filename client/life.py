"""A task's life as a list of steps, read from the chain's state alone: the same for everyone, at any time later."""

from __future__ import annotations

from collections.abc import Iterator

from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import (
    TASK_STATUS_CANCELLED,
    TASK_STATUS_DONE,
    TASK_STATUS_FAILED,
    TASK_STATUS_UNDECIDED,
    TASK_STATUS_UNSERVED,
    TEST_KIND_CLAIM,
    TEST_KIND_IDLE,
    TEST_KIND_JOIN,
    TEST_KIND_RANDOM,
    TEST_KIND_UNJAIL,
    TaskStatus,
)

from chain.amount import UCREDIT, format_amount
from client.life_faults import fault_steps
from client.life_money import payment_steps
from client.life_provers import prover_steps
from client.life_step import Rank, Step
from client.life_votes import vote_steps
from client.plain import enum_label

FINAL_STATUSES = frozenset(
    {TASK_STATUS_DONE, TASK_STATUS_FAILED, TASK_STATUS_UNDECIDED, TASK_STATUS_UNSERVED, TASK_STATUS_CANCELLED}
)
_WHY_TESTED = {
    TEST_KIND_JOIN: "which wants to join",
    TEST_KIND_RANDOM: "chosen by the dice",
    TEST_KIND_IDLE: "which had nothing to do for long",
    TEST_KIND_CLAIM: "which claims more than before",
    TEST_KIND_UNJAIL: "which asked for it",
}
_TEST_PASSED = {
    TEST_KIND_JOIN: "the prover is admitted",
    TEST_KIND_RANDOM: "the prover stays",
    TEST_KIND_IDLE: "the prover stays",
    TEST_KIND_CLAIM: "the larger claim counts",
    TEST_KIND_UNJAIL: "the prover may work again if its bond is large enough",
}
_TEST_FAILED = {
    TEST_KIND_JOIN: "the prover isn't admitted",
    TEST_KIND_RANDOM: "the prover is jailed",
    TEST_KIND_IDLE: "the prover is jailed",
    TEST_KIND_CLAIM: "the old claim stays",
    TEST_KIND_UNJAIL: "the prover stays where it was",
}


def is_final(task: QueryTaskResponse) -> bool:
    return task.task.progress.status in FINAL_STATUSES


def status_label(status: int) -> str:
    return enum_label(TaskStatus.DESCRIPTOR, status)


def describe_test(answer: QueryTaskResponse) -> str:
    """Whom a capacity test tests, and why; empty for a user's task."""
    if not answer.task.task.test:
        return ""
    return f"a capacity test of {answer.assignments[0].prover}, {_WHY_TESTED[answer.task.task.test]}"


def task_life(answer: QueryTaskResponse) -> tuple[Step, ...]:
    """All steps so far, oldest first. A step that is there stays there unchanged, and none comes before it later."""
    return tuple(sorted(_steps(answer), key=lambda step: step.order))


def _steps(answer: QueryTaskResponse) -> Iterator[Step]:
    task, progress = answer.task.task, answer.task.progress
    if task.test:
        text = f"by the chain itself: {describe_test(answer)}"
    else:
        text = f"by {task.user}, {format_amount(task.fee, UCREDIT)} in escrow"
        text += f", for {task.redundancy} provers" if task.redundancy > 1 else ""
    yield Step("created", text, task.created_height, task.created_ms)
    yield from prover_steps(answer)
    yield from vote_steps(answer)
    yield from fault_steps(answer)
    yield from payment_steps(answer)
    if progress.ended_height:
        text = status_label(progress.status) + (f": {progress.reason}" if progress.reason else "")
        text += _test_ending(answer)
        yield Step("ended", text, progress.ended_height, progress.ended_ms, progress.attempt, Rank.ENDED)


def _test_ending(answer: QueryTaskResponse) -> str:
    """What a capacity test's result decides."""
    kind, status = answer.task.task.test, answer.task.progress.status
    if not kind:
        return ""
    if status == TASK_STATUS_DONE:
        return f"; {_TEST_PASSED[kind]}"
    return f"; {_TEST_FAILED[kind]}" if status == TASK_STATUS_FAILED else "; nothing changes for the prover"
