"""proofmill.task.v1.MsgDeclineTasks."""

from __future__ import annotations

import pytest
from proofmill.task.v1.state_pb2 import ASSIGNMENT_STATUS_DECLINED, TASK_STATUS_OFFERED, TASK_STATUS_PENDING
from proofmill.task.v1.tx_pb2 import Decline, MsgDeclineTasks

from chain import schema
from chain.errors import (
    INVALID_ADDRESS,
    INVALID_REQUEST,
    NOT_ASSIGNED,
    OFFER_CLOSED,
    PROVER_NOT_FOUND,
    TASK_INVALID,
    TASK_NOT_FOUND,
)
from tests.support.life import accept, deploy, prover_of, run, task_of
from tests.support.network import ALICE, Key, Network, make_tx, node_key, operator_key
from tests.support.refusals import refuse, refuse_raw, reject, repeat, take


def make_decline(node: Key, *task_ids: int, reason: str = "busy") -> MsgDeclineTasks:
    return MsgDeclineTasks(node=node.address, entries=[Decline(task_id=task_id, reason=reason) for task_id in task_ids])


@pytest.fixture
def offered(network: Network) -> int:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    return task_id


def test_basic_another_prover_is_drawn_in_the_next_block(network: Network, offered: int) -> None:
    index = prover_of(network, offered)
    result = take(network, node_key(index), make_decline(node_key(index), offered))
    assert [event.type for event in result.events] == ["proofmill.task.v1.EventTaskDeclined"]
    answer = task_of(network, offered)
    assert answer.task.progress.status == TASK_STATUS_PENDING
    assert answer.task.progress.prover == ""
    assert answer.task.progress.slots_open == 1
    (assignment,) = answer.assignments
    assert (assignment.status, assignment.reason) == (ASSIGNMENT_STATUS_DECLINED, "busy")
    prover = schema.PROVERS.require(network.values, operator_key(index).raw)
    assert not prover.used.ListFields()
    assert list(prover.declines_ms) == [network.time_ms]
    assert not prover.misses_ms
    network.next_block()
    assert task_of(network, offered).task.progress.status == TASK_STATUS_OFFERED
    assert prover_of(network, offered) != index


def test_basic_beyond_the_limit_it_is_a_miss(network: Network, offered: int) -> None:
    program_id = task_of(network, offered).task.task.program_id
    declined: dict[int, int] = {}
    task_id = offered
    while 2 not in declined.values():
        index = prover_of(network, task_id)
        take(network, node_key(index), make_decline(node_key(index), task_id))
        declined[index] = declined.get(index, 0) + 1
        task_id = run(network, ALICE, program_id)
        network.next_block()
    (twice,) = (index for index, count in declined.items() if count == 2)
    prover = schema.PROVERS.require(network.values, operator_key(twice).raw)
    assert len(prover.declines_ms) == 1
    assert len(prover.misses_ms) == 1


def test_basic_declines_are_forgotten_after_a_week(network: Network, offered: int) -> None:
    index = prover_of(network, offered)
    take(network, node_key(index), make_decline(node_key(index), offered))
    network.next_block(after_ms=7 * 24 * 3_600_000)
    program_id = task_of(network, offered).task.task.program_id
    task_id = run(network, ALICE, program_id)
    network.next_block()
    while prover_of(network, task_id) != index:
        task_id = run(network, ALICE, program_id)
        network.next_block()
    take(network, node_key(index), make_decline(node_key(index), task_id))
    prover = schema.PROVERS.require(network.values, operator_key(index).raw)
    assert list(prover.declines_ms) == [network.time_ms]
    assert not prover.misses_ms


def test_basic_repeat(network: Network, offered: int) -> None:
    node = node_key(prover_of(network, offered))
    take(network, node, make_decline(node, offered))
    repeat(network, node, make_decline(node, offered, reason="again"))


def test_basic_everybody_declines(network: Network, offered: int) -> None:
    """Nobody is drawn twice for a task: it waits for a sixth prover until its queue timeout."""
    seen = []
    for _ in range(5):
        index = prover_of(network, offered)
        seen.append(index)
        take(network, node_key(index), make_decline(node_key(index), offered))
        network.next_block()
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert task_of(network, offered).task.progress.status == TASK_STATUS_PENDING


def test_invalid_accepted(network: Network, offered: int) -> None:
    node = node_key(accept(network, offered))
    reject(network, OFFER_CLOSED, node, make_decline(node, offered))


def test_invalid_expired(network: Network, offered: int) -> None:
    node = node_key(prover_of(network, offered))
    for _ in range(3):
        network.next_block()
    reject(network, OFFER_CLOSED, node, make_decline(node, offered))


def test_invalid_task_unknown(network: Network) -> None:
    reject(network, TASK_NOT_FOUND, node_key(0), make_decline(node_key(0), 5))


def test_invalid_not_assigned(network: Network, offered: int) -> None:
    other = node_key((prover_of(network, offered) + 1) % 5)
    reject(network, NOT_ASSIGNED, other, make_decline(other, offered))


def test_invalid_stranger(network: Network, offered: int) -> None:
    refuse(network, PROVER_NOT_FOUND, ALICE, make_decline(ALICE, offered))


def test_invalid_reason_too_long(network: Network) -> None:
    for reason in ("é" * 129, "\x1b[2J"):
        message = make_decline(node_key(0), 1, reason=reason)
        refuse_raw(network, TASK_INVALID, make_tx(node_key(0), [message], account_number=4, sequence=0))


@pytest.mark.parametrize("count", [0, 1_001])
def test_invalid_number_of_entries(network: Network, count: int) -> None:
    message = make_decline(node_key(0), *range(count))
    refuse_raw(network, INVALID_REQUEST, make_tx(node_key(0), [message], account_number=4, sequence=0))


def test_invalid_address(network: Network) -> None:
    message = MsgDeclineTasks(node="mill1", entries=[Decline(task_id=1)])
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))
