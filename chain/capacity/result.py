"""What follows from a capacity test (protocol §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.prover.v1.event_pb2 import EventTestEnded
from proofmill.prover.v1.state_pb2 import (
    PROVER_STATUS_JAILED,
    PROVER_STATUS_JOINING,
    TEST_RESULT_FAILED,
    TEST_RESULT_PASSED,
    TestResult,
)
from proofmill.task.v1.state_pb2 import TEST_KIND_CLAIM, TEST_KIND_IDLE, TEST_KIND_RANDOM, TestKind

from chain import schema
from chain.address import decode_address
from chain.fields import fits
from chain.prover.lifecycle import admit, jail

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Progress, Task

    from chain.context import Context


def record_result(context: Context, task: Task, progress: Progress, result: TestResult, reason: str) -> None:
    """Admit, restore, enlarge, keep out or jail the tested prover."""
    kv = context.kv
    operator = decode_address(progress.prover)
    prover = schema.PROVERS.require(kv, operator)
    prover.test_task_id = 0
    prover.test_result = result
    prover.test_ended_ms = context.block.time_ms
    if task.test == TEST_KIND_CLAIM and prover.HasField("claim"):
        if result == TEST_RESULT_PASSED and fits(prover.used, prover.claim):
            prover.resources.CopyFrom(prover.claim)
        prover.ClearField("claim")
    schema.PROVERS.set(kv, operator, prover)
    context.emit(
        EventTestEnded(
            operator=prover.operator,
            task_id=task.id,
            kind=TestKind.Name(task.test).removeprefix("TEST_KIND_"),
            result=TestResult.Name(result).removeprefix("TEST_RESULT_"),
            reason=reason,
        )
    )
    if result == TEST_RESULT_PASSED:
        if prover.status == PROVER_STATUS_JOINING or (
            prover.status == PROVER_STATUS_JAILED and prover.bond >= context.params.prover_bond_min
        ):
            admit(context, operator)
    elif result == TEST_RESULT_FAILED and task.test in (TEST_KIND_RANDOM, TEST_KIND_IDLE):
        jail(context, operator, f"failed the capacity test of task {task.id}: {reason}")
