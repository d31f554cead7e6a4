"""When a prover is tested, and the task that tests it: at join, on request, by the dice, after long idleness (§5).

A test begins in the block after it became due, or after the prover's running work has ended: so its input holds a
beacon that nobody could know, and nobody evades it by being busy.
"""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import TYPE_CHECKING

from proofmill.prover.v1.event_pb2 import EventTestIssued
from proofmill.prover.v1.state_pb2 import PROVER_STATUS_ACTIVE
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_ACCEPTED,
    TASK_STATUS_RUNNING,
    TEST_KIND_CLAIM,
    TEST_KIND_IDLE,
    TEST_KIND_RANDOM,
    TEST_KIND_UNSPECIFIED,
    Assignment,
    Input,
    Progress,
    Task,
    TestKind,
)
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH

from chain import schema
from chain.beacon import Draw
from chain.prover.duties import Duty, add_duty
from chain.prover.lifecycle import set_idle_check
from chain.prover.registry import get_active_count, is_idle, reserve
from chain.task.deadlines import Deadline, set_deadline

if TYPE_CHECKING:
    from proofmill.prover.v1.state_pb2 import Prover
    from proofmill.types.v1.types_pb2 import Resources

    from chain.context import Context

CHALLENGE_NAME = "challenge.json"
# In one block: each is a task of its own.
_BEGIN_MAX = 500


def mark_due(context: Context, operator: bytes, prover: Prover, kind: TestKind) -> None:
    """Test a prover as soon as it has nothing else to do. The caller stores the prover."""
    prover.test_due = kind
    if is_idle(prover):
        schema.TESTS_READY.add(context.kv, operator)


def begin_tests(context: Context) -> None:
    """Issue the tests that are ready."""
    kv = context.kv
    for operator in list(islice(schema.TESTS_READY.keys(kv), _BEGIN_MAX)):
        schema.TESTS_READY.delete(kv, operator)
        _issue(context, operator, schema.PROVERS.require(kv, operator))


def draw_tests(context: Context) -> None:
    """Choose provers by the dice, so that each comes up once in `retest_random_blocks` blocks on average."""
    kv, every = context.kv, context.params.retest_random_blocks
    count = get_active_count(kv)
    if not (count and context.params.capacity_program):
        return
    draw = Draw(context.block.beacon, b"retest", 0)
    tests = count // every + (draw.below(every) < count % every)
    for _, position in zip(range(tests), draw.permutation(count), strict=False):
        operator = schema.ACTIVE_PROVERS.require(kv, position)
        prover = schema.PROVERS.require(kv, operator)
        if not (prover.test_due or prover.test_task_id):
            mark_due(context, operator, prover, TEST_KIND_RANDOM)
            schema.PROVERS.set(kv, operator, prover)


def check_idle(context: Context, operator: bytes) -> None:
    """Test an active prover that has had nothing to do for long, or look again when it may have been."""
    kv, params, now = context.kv, context.params, context.block.time_ms
    prover = schema.PROVERS.require(kv, operator)
    if prover.status != PROVER_STATUS_ACTIVE:
        return
    # A prover of the genesis has been idle since the chain began.
    prover.last_busy_ms = prover.last_busy_ms or now
    since = prover.last_busy_ms if is_idle(prover) else now
    due = since + params.retest_idle_after_ms <= now
    if due and params.capacity_program and not (prover.test_due or prover.test_task_id):
        mark_due(context, operator, prover, TEST_KIND_IDLE)
    set_idle_check(kv, operator, prover, (now if due else since) + params.retest_idle_after_ms)
    schema.PROVERS.set(kv, operator, prover)


def make_challenge(beacon: bytes, operator: str, claim: Resources) -> bytes:
    """The input of a test: what the program `capacity` reads as challenge.json."""
    return (
        f'{{"beacon":"{beacon.hex()}","prover":"{operator}","cpu_millis":{claim.cpu_millis},'
        f'"memory_bytes":{claim.memory_bytes},"gpus":{claim.gpus}}}'
    ).encode()


def _issue(context: Context, operator: bytes, prover: Prover) -> None:
    kv, params, block = context.kv, context.params, context.block
    kind, prover.test_due = prover.test_due, TEST_KIND_UNSPECIFIED
    if not params.capacity_program:
        schema.PROVERS.set(kv, operator, prover)
        return
    wanted = prover.claim if kind == TEST_KIND_CLAIM else prover.resources
    challenge = make_challenge(block.beacon, prover.operator, wanted)
    task_id = schema.TASK_IDS.next(kv)
    task = Task(
        id=task_id,
        program_id=params.capacity_program,
        inputs=[
            Input(
                name=CHALLENGE_NAME,
                sha256=hashlib.sha256(challenge).digest(),
                size=len(challenge),
                inline=challenge,
                audience=AUDIENCE_BOTH,
            )
        ],
        resources=wanted,
        time_limit_s=params.capacity_time_limit_s,
        redundancy=1,
        created_height=block.height,
        created_ms=block.time_ms,
        params_version=params.version,
        test=kind,
    )
    deadline = block.time_ms + params.capacity_time_limit_s * 1_000 + params.capacity_grace_ms
    assignment = Assignment(
        task_id=task_id,
        prover=prover.operator,
        status=ASSIGNMENT_STATUS_ACCEPTED,
        offered_height=block.height,
        accepted_height=block.height,
        accepted_ms=block.time_ms,
        deadline_ms=deadline,
        attempt=1,
        # All that it has; a larger claim is no more than a wish yet.
        held=prover.resources,
    )
    progress = Progress(
        status=TASK_STATUS_RUNNING,
        prover=prover.operator,
        attempt=1,
        offered_height=block.height,
        accepted_height=block.height,
        accepted_ms=block.time_ms,
        deadline_ms=deadline,
    )
    reserve(prover, assignment.held)
    prover.test_task_id = task_id
    prover.last_busy_ms = block.time_ms
    schema.PROVERS.set(kv, operator, prover)
    schema.TASKS.set(kv, task_id, task)
    schema.PROGRESS.set(kv, task_id, progress)
    schema.ASSIGNMENTS.set(kv, (task_id, operator), assignment)
    set_deadline(kv, deadline, Deadline.PROOF, task_id, operator)
    add_duty(kv, operator, Duty.ASSIGNMENT, task_id)
    name = TestKind.Name(kind).removeprefix("TEST_KIND_")
    context.emit(EventTestIssued(operator=prover.operator, task_id=task_id, kind=name))
