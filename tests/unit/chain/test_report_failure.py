"""proofmill.task.v1.MsgReportFailure."""

from __future__ import annotations

import pytest
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_FAILED,
    FAILURE_REASON_EXIT_CODE,
    FAILURE_REASON_OUT_OF_MEMORY,
    PAYOUT_KIND_REFUND,
    TASK_STATUS_PENDING,
    FailureReason,
)
from proofmill.task.v1.tx_pb2 import MsgReportFailure

from chain import schema
from chain.errors import (
    DEADLINE_PASSED,
    INVALID_ADDRESS,
    NOT_ASSIGNED,
    OFFER_CLOSED,
    PROVER_NOT_FOUND,
    TASK_INVALID,
    TASK_NOT_FOUND,
)
from tests.support.envelope import account_of
from tests.support.life import accept, deploy, make_proof, prover_of, run, task_of
from tests.support.network import ALICE, Key, Network, make_tx, node_key, operator_key
from tests.support.refusals import assert_only, refuse, refuse_raw, take


def make_report(
    node: Key, task_id: int, reason: FailureReason = FAILURE_REASON_EXIT_CODE, detail: str = ""
) -> MsgReportFailure:
    return MsgReportFailure(node=node.address, task_id=task_id, reason=reason, detail=detail)


@pytest.fixture
def running(network: Network) -> int:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    accept(network, task_id)
    return task_id


def test_basic_half_is_refunded_and_a_fallback_is_wanted(network: Network, running: int) -> None:
    before = account_of(network, ALICE).ucredit
    index = prover_of(network, running)
    report = make_report(node_key(index), running, FAILURE_REASON_OUT_OF_MEMORY, "killed at 2 GiB")
    result = network.deliver(node_key(index), report)
    assert [event.type.rpartition(".")[2] for event in result.events] == ["EventAssignmentEnded", "EventFallback"]
    answer = task_of(network, running)
    progress = answer.task.progress
    assert (progress.status, progress.attempt, progress.slots_open) == (TASK_STATUS_PENDING, 2, 1)
    assert progress.fallback_reason == "the prover reported a failure: out of memory: killed at 2 GiB"
    assert progress.fallback_height == network.height
    (payout,) = progress.payouts
    assert (payout.kind, payout.recipient, payout.ucredit) == (PAYOUT_KIND_REFUND, ALICE.address, 9)
    assert account_of(network, ALICE).ucredit == before + 9
    assert answer.assignments[0].status == ASSIGNMENT_STATUS_FAILED
    assert answer.assignments[0].failure == FAILURE_REASON_OUT_OF_MEMORY
    prover = schema.PROVERS.require(network.values, operator_key(index).raw)
    assert (prover.tasks_failed, prover.held_faults) == (1, 1)
    assert not prover.used.ListFields()


def test_basic_repeat(network: Network, running: int) -> None:
    node = node_key(prover_of(network, running))
    network.execute(node, make_report(node, running))
    result = network.deliver(node, make_report(node, running, FAILURE_REASON_OUT_OF_MEMORY, "again"))
    assert (result.code, result.events) == (0, ())
    assert_only(network, {schema.ACCOUNTS.prefix + node.raw, schema.POOLS.prefix})


def test_invalid_proved(network: Network, running: int) -> None:
    node = node_key(prover_of(network, running))
    take(network, node, make_proof(node, running))
    refuse(network, OFFER_CLOSED, node, make_report(node, running))


def test_invalid_deadline_passed(network: Network, running: int) -> None:
    node = node_key(prover_of(network, running))
    network.next_block(after_ms=60_000)
    network.next_block()
    refuse(network, DEADLINE_PASSED, node, make_report(node, running))


def test_invalid_not_accepted(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    node = node_key(prover_of(network, task_id))
    refuse(network, NOT_ASSIGNED, node, make_report(node, task_id))


def test_invalid_not_assigned(network: Network, running: int) -> None:
    other = node_key((prover_of(network, running) + 1) % 5)
    refuse(network, NOT_ASSIGNED, other, make_report(other, running))


def test_invalid_task_unknown(network: Network) -> None:
    refuse(network, TASK_NOT_FOUND, node_key(0), make_report(node_key(0), 3))


def test_invalid_stranger(network: Network, running: int) -> None:
    refuse(network, PROVER_NOT_FOUND, ALICE, make_report(ALICE, running))


@pytest.mark.parametrize("reason", [0, 8, -1, 2**31 - 1])
def test_invalid_reason(network: Network, reason: int) -> None:
    message = make_report(node_key(0), 1, reason)  # type: ignore[arg-type]  # enums are open
    refuse_raw(network, TASK_INVALID, make_tx(node_key(0), [message], account_number=4, sequence=0))


def test_invalid_detail_too_long(network: Network) -> None:
    message = make_report(node_key(0), 1, detail="é" * 129)
    refuse_raw(network, TASK_INVALID, make_tx(node_key(0), [message], account_number=4, sequence=0))


def test_invalid_address(network: Network) -> None:
    message = MsgReportFailure(node="mill1", task_id=1, reason=FAILURE_REASON_EXIT_CODE)
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[2J", "nul\0", "\x7f", "\x9b31m", "\r"], ids=repr)
def test_invalid_detail_that_steers_a_terminal(network: Network, text: str) -> None:
    message = make_report(node_key(0), 1, detail=text)
    refuse_raw(network, TASK_INVALID, make_tx(node_key(0), [message], account_number=4, sequence=0))
