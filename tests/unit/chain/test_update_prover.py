"""proofmill.prover.v1.MsgUpdateProver (protocol §5)."""

from __future__ import annotations

from typing import Any

import pytest
from proofmill.prover.v1.state_pb2 import PROVER_STATUS_ACTIVE, Prover
from proofmill.prover.v1.tx_pb2 import MsgExitProver, MsgUpdateProver
from proofmill.task.v1.state_pb2 import (
    TASK_STATUS_PENDING,
    TASK_STATUS_PROVED,
    TEST_KIND_CLAIM,
    VERDICT_INVALID,
    VERDICT_VALID,
    Verdict,
)
from proofmill.task.v1.tx_pb2 import MsgAcceptTasks
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.errors import (
    CLAIM_IN_USE,
    INVALID_ADDRESS,
    NO_CAPACITY_PROGRAM,
    NODE_KEY_TAKEN,
    PROVER_INVALID,
    PROVER_NOT_FOUND,
    TEST_TOO_SOON,
    TEST_UNDER_WAY,
    WRONG_STATUS,
)
from chain.invariants import check_invariants
from chain.params import GIB
from tests.support.life import (
    accept,
    committee_of,
    deploy,
    make_proof,
    make_run,
    make_test_genesis,
    prover_of,
    run,
    task_of,
    vote,
)
from tests.support.network import ALICE, MILL, Key, Network, make_genesis, make_tx, node_key, operator_key
from tests.support.refusals import refuse, refuse_raw
from tests.support.sends import make_send

OPERATOR = operator_key(0)
OLD = Resources(cpu_millis=4_000, memory_bytes=8 * GIB)
MORE = Resources(cpu_millis=8_000, memory_bytes=8 * GIB)
LESS = Resources(cpu_millis=2_000, memory_bytes=8 * GIB)


def make_update(operator: Key = OPERATOR, /, **fields: Any) -> MsgUpdateProver:
    return MsgUpdateProver(operator=operator.address, **fields)


def prover_now(network: Network, index: int = 0) -> Prover:
    check_invariants(network.values)
    return schema.PROVERS.require(network.values, operator_key(index).raw)


@pytest.fixture
def network() -> Network:
    """The operators can pay for transactions."""
    network = Network.start(make_test_genesis())
    for index in range(5):
        network.send(ALICE, make_send(ALICE, operator_key(index).address, 1_000 * MILL))
    network.next_block()
    return network


def test_basic_endpoints_and_region_change_at_once(network: Network) -> None:
    result = network.deliver(OPERATOR, make_update(endpoints=["https://new.example"], region="us-2"))
    assert [event.type for event in result.events] == ["proofmill.prover.v1.EventProverUpdated"]
    prover = prover_now(network)
    assert (list(prover.endpoints), prover.region) == (["https://new.example"], "us-2")
    assert prover.resources == OLD


def test_basic_less_is_believed(network: Network) -> None:
    network.execute(OPERATOR, make_update(resources=LESS))
    prover = prover_now(network)
    assert (prover.resources, prover.status, prover.test_due) == (LESS, PROVER_STATUS_ACTIVE, 0)
    assert prover.region == "test"


@pytest.mark.parametrize(("verdict", "granted"), [(VERDICT_VALID, MORE), (VERDICT_INVALID, OLD)])
def test_basic_more_is_tested_first(network: Network, verdict: Verdict, granted: Resources) -> None:
    network.execute(OPERATOR, make_update(resources=MORE))
    assert prover_now(network).resources == OLD
    network.next_block()
    prover = prover_now(network)
    answer = task_of(network, prover.test_task_id)
    assert (answer.task.task.test, answer.task.task.resources) == (TEST_KIND_CLAIM, MORE)
    # While it is tested it is still good for what it had, and does nothing else.
    assert (prover.resources, prover.used) == (OLD, OLD)
    network.execute(node_key(0), make_proof(node_key(0), prover.test_task_id))
    network.next_block()
    vote(network, prover.test_task_id, dict.fromkeys(committee_of(network, prover.test_task_id), verdict))
    network.next_block()
    prover = prover_now(network)
    assert (prover.resources, prover.HasField("claim")) == (granted, False)
    # Failing to have more doesn't jail: the old claim was not what was tested.
    assert prover.status == PROVER_STATUS_ACTIVE
    # A test costs a committee its work: nobody has one after the other.
    most = Resources(cpu_millis=16_000, memory_bytes=8 * GIB)
    refuse(network, TEST_TOO_SOON, OPERATOR, make_update(resources=most))


def test_basic_the_test_waits_for_running_work(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    index = accept(network, task_id)
    operator = operator_key(index)
    network.execute(operator, make_update(operator, resources=MORE))
    network.next_block()
    prover = prover_now(network, index)
    assert (prover.test_due, prover.test_task_id) == (TEST_KIND_CLAIM, 0)
    network.execute(node_key(index), make_proof(node_key(index), task_id))
    network.next_block()
    assert prover_now(network, index).test_task_id


def test_basic_a_wish_can_be_taken_back(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    operator = operator_key(accept(network, task_id))
    network.execute(operator, make_update(operator, resources=MORE))
    network.execute(operator, make_update(operator, resources=OLD))
    prover = prover_now(network, prover_of(network, task_id))
    assert (prover.HasField("claim"), prover.test_due) == (False, 0)


def test_basic_the_node_key_is_rotated(network: Network) -> None:
    new = Key("a new node key")
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    index = accept(network, task_id)
    old, operator = node_key(index), operator_key(index)
    network.execute(ALICE, make_send(ALICE, new.address, MILL))
    result = network.deliver(operator, make_update(operator, node=new.address))
    assert "proofmill.prover.v1.EventNodeKeyRotated" in [event.type for event in result.events]
    prover = prover_now(network, index)
    assert (prover.node, prover.region) == (new.address, "test")
    # The old key signs nothing any more, and what was accepted with it is proved with the new one.
    refuse(network, PROVER_NOT_FOUND, old, make_proof(old, task_id))
    network.execute(new, make_proof(new, task_id))
    assert task_of(network, task_id).task.progress.status == TASK_STATUS_PROVED
    assert prover_now(network, index).used == Resources()


def test_basic_the_new_key_answers_duties_without_a_fee(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    index, new = prover_of(network, task_id), Key("a new node key")
    operator = operator_key(index)
    network.execute(operator, make_send(operator, new.address, 1), make_update(operator, node=new.address))
    network.send(new, MsgAcceptTasks(node=new.address, task_ids=[task_id]), fee=0)
    (result,) = network.next_block()
    assert result.code == 0, result.log


def test_basic_a_rotation_may_be_sent_twice(network: Network) -> None:
    new = Key("a new node key")
    network.execute(OPERATOR, make_update(node=new.address))
    result = network.deliver(OPERATOR, make_update(node=new.address))
    assert (result.code, prover_now(network).node) == (0, new.address)
    assert "proofmill.prover.v1.EventNodeKeyRotated" not in [event.type for event in result.events]


def test_basic_an_old_node_key_is_free_for_others(network: Network) -> None:
    network.execute(OPERATOR, make_update(node=Key("a new node key").address))
    network.execute(operator_key(1), make_update(operator_key(1), node=node_key(0).address))
    assert prover_now(network, 1).node == node_key(0).address


def test_basic_a_prover_that_leaves_may_still_rotate(network: Network) -> None:
    network.execute(OPERATOR, MsgExitProver(operator=OPERATOR.address))
    network.execute(OPERATOR, make_update(node=Key("a new node key").address))
    assert prover_now(network).node == Key("a new node key").address


def test_invalid_node_key_of_another(network: Network) -> None:
    refuse(network, NODE_KEY_TAKEN, OPERATOR, make_update(node=node_key(1).address))


def test_invalid_rotation_by_the_node_key(network: Network) -> None:
    refuse(network, PROVER_NOT_FOUND, node_key(0), make_update(node_key(0), node=Key("a new node key").address))


def test_invalid_in_use(network: Network) -> None:
    message = make_run(ALICE, deploy(network))
    message.resources.CopyFrom(OLD)
    network.execute(ALICE, message)
    network.next_block()
    operator = operator_key(prover_of(network, 1))
    refuse(network, CLAIM_IN_USE, operator, make_update(operator, resources=LESS))
    assert task_of(network, 1).task.progress.status != TASK_STATUS_PENDING


def test_invalid_under_test(network: Network) -> None:
    network.execute(OPERATOR, make_update(resources=MORE))
    network.next_block()
    for resources in (LESS, MORE):
        refuse(network, TEST_UNDER_WAY, OPERATOR, make_update(resources=resources))
    network.execute(OPERATOR, make_update(region="elsewhere"))


def test_invalid_without_capacity_program() -> None:
    network = Network.start(make_genesis())
    network.execute(ALICE, make_send(ALICE, OPERATOR.address, MILL))
    refuse(network, NO_CAPACITY_PROGRAM, OPERATOR, make_update(resources=MORE))


def test_invalid_leaving(network: Network) -> None:
    network.execute(OPERATOR, MsgExitProver(operator=OPERATOR.address))
    refuse(network, WRONG_STATUS, OPERATOR, make_update(region="elsewhere"))


def test_invalid_stranger(network: Network) -> None:
    refuse(network, PROVER_NOT_FOUND, ALICE, make_update(ALICE, region="elsewhere"))


BAD: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no resources": {"resources": Resources()},
    "absurd CPU": {"resources": Resources(cpu_millis=2**64 - 1, memory_bytes=GIB)},
    "endpoint of another kind": {"endpoints": ["s3://bucket"]},
    "nine endpoints": {"endpoints": ["https://host"] * 9},
    "region of two lines": {"region": "eu\n1"},
    "long region": {"region": "x" * 65},
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_description(network: Network, name: str) -> None:
    number = schema.ACCOUNTS.require(network.values, OPERATOR.raw).number
    raw = make_tx(OPERATOR, [make_update(**BAD[name])], account_number=number, sequence=0)
    refuse_raw(network, PROVER_INVALID, raw)


def test_invalid_address(network: Network) -> None:
    message = MsgUpdateProver(operator="mill1", region="x")
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))
    raw = make_tx(OPERATOR, [make_update(node="mill1")], account_number=1, sequence=0)
    refuse_raw(network, INVALID_ADDRESS, raw)
