"""proofmill.task.v1.MsgAcceptTasks."""

from __future__ import annotations

import pytest
from proofmill.task.v1.state_pb2 import ASSIGNMENT_STATUS_ACCEPTED, FAILURE_REASON_EXIT_CODE, TASK_STATUS_RUNNING
from proofmill.task.v1.tx_pb2 import MsgAcceptTasks, MsgReportFailure

from chain.errors import (
    INVALID_ADDRESS,
    INVALID_REQUEST,
    NOT_ASSIGNED,
    OFFER_CLOSED,
    PROVER_NOT_FOUND,
    TASK_NOT_FOUND,
)
from tests.support.life import accept, deploy, make_proof, prover_of, run, task_of
from tests.support.network import ALICE, Key, Network, make_tx, node_key, operator_key
from tests.support.refusals import entries, refuse, refuse_raw, reject, repeat, take
from tests.support.sends import make_send


def make_accept(node: Key, *task_ids: int) -> MsgAcceptTasks:
    return MsgAcceptTasks(node=node.address, task_ids=task_ids)


@pytest.fixture
def offered(network: Network) -> int:
    """A task with an offer; its prover is prover_of(network, task)."""
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    return task_id


def test_basic(network: Network, offered: int) -> None:
    node = node_key(prover_of(network, offered))
    result = take(network, node, make_accept(node, offered))
    assert [event.type for event in result.events] == ["proofmill.task.v1.EventTaskAccepted"]
    answer = task_of(network, offered)
    deadline = network.time_ms + 10_000 + 30_000
    assert answer.task.progress.status == TASK_STATUS_RUNNING
    assert answer.task.progress.deadline_ms == deadline
    assert answer.task.progress.accepted_height == network.height
    (assignment,) = answer.assignments
    assert assignment.status == ASSIGNMENT_STATUS_ACCEPTED
    assert assignment.deadline_ms == deadline


def test_basic_in_the_last_block_of_the_window(network: Network, offered: int) -> None:
    last = task_of(network, offered).assignments[0].accept_by_height
    while network.height < last - 1:
        network.next_block()
    node = node_key(prover_of(network, offered))
    take(network, node, make_accept(node, offered))
    assert network.height == last


def test_basic_repeat(network: Network, offered: int) -> None:
    node = node_key(accept(network, offered))
    repeat(network, node, make_accept(node, offered))


def test_basic_repeat_after_the_proof(network: Network, offered: int) -> None:
    node = node_key(accept(network, offered))
    take(network, node, make_proof(node, offered))
    repeat(network, node, make_accept(node, offered))


def test_basic_repeat_after_a_failure(network: Network, offered: int) -> None:
    node = node_key(accept(network, offered))
    network.execute(node, MsgReportFailure(node=node.address, task_id=offered, reason=FAILURE_REASON_EXIT_CODE))
    repeat(network, node, make_accept(node, offered))


def test_basic_repeat_after_the_deadline(network: Network, offered: int) -> None:
    node = node_key(accept(network, offered))
    network.next_block(after_ms=100_000)
    network.next_block()
    repeat(network, node, make_accept(node, offered))


def test_basic_a_stale_entry_fails_no_other(network: Network, offered: int) -> None:
    node = node_key(prover_of(network, offered))
    result = network.deliver(node, make_accept(node, 77, offered, offered, 2**64 - 1))
    assert [(entry.task_id, entry.code) for entry in entries(result)] == [
        (77, TASK_NOT_FOUND.code),
        (offered, 0),
        (offered, 0),
        (2**64 - 1, TASK_NOT_FOUND.code),
    ]
    assert task_of(network, offered).task.progress.status == TASK_STATUS_RUNNING


def test_basic_a_thousand_entries(network: Network, offered: int) -> None:
    node = node_key(prover_of(network, offered))
    assert len(entries(take(network, node, make_accept(node, *[offered] * 1_000)))) == 1_000


def test_invalid_task_unknown(network: Network) -> None:
    reject(network, TASK_NOT_FOUND, node_key(0), make_accept(node_key(0), 5))


def test_invalid_not_assigned(network: Network, offered: int) -> None:
    other = node_key((prover_of(network, offered) + 1) % 5)
    reject(network, NOT_ASSIGNED, other, make_accept(other, offered))


def test_invalid_expired(network: Network, offered: int) -> None:
    node = node_key(prover_of(network, offered))
    for _ in range(3):
        network.next_block()
    reject(network, OFFER_CLOSED, node, make_accept(node, offered))
    # Another prover has the offer by now.
    assert node_key(prover_of(network, offered)).address != node.address


def test_invalid_stranger(network: Network, offered: int) -> None:
    refuse(network, PROVER_NOT_FOUND, ALICE, make_accept(ALICE, offered))


def test_invalid_operator_key(network: Network, offered: int) -> None:
    """Only the node key acts for a prover: the operator's stays cold."""
    operator = operator_key(prover_of(network, offered))
    network.execute(ALICE, make_send(ALICE, operator.address, 10**9))
    refuse(network, PROVER_NOT_FOUND, operator, make_accept(operator, offered))


def test_invalid_address(network: Network) -> None:
    message = MsgAcceptTasks(node="mill1", task_ids=[1])
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))


@pytest.mark.parametrize("count", [0, 1_001])
def test_invalid_number_of_entries(network: Network, count: int) -> None:
    message = make_accept(node_key(0), *range(count))
    refuse_raw(network, INVALID_REQUEST, make_tx(node_key(0), [message], account_number=4, sequence=0))
