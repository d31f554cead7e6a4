"""proofmill.prover.v1.MsgExitProver: leaving, and the bond (protocol §5)."""

from __future__ import annotations

import pytest
from proofmill.prover.v1.state_pb2 import (
    PROVER_STATUS_ACTIVE,
    PROVER_STATUS_EXITED,
    PROVER_STATUS_EXITING,
    PROVER_STATUS_JOINING,
    Prover,
)
from proofmill.prover.v1.tx_pb2 import MsgExitProver, MsgRegisterProver
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE, VERDICT_VALID
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.errors import INVALID_ADDRESS, PROVER_EXISTS, PROVER_NOT_FOUND
from chain.invariants import check_invariants
from chain.params import DAY_MS, GIB, HOUR_MS
from chain.prover.registry import get_active_count
from tests.support.envelope import account_of
from tests.support.life import (
    accept,
    committee_of,
    deploy,
    fail_first,
    make_proof,
    make_test_genesis,
    prove,
    prove_fallback,
    run,
    task_of,
    vote,
)
from tests.support.network import ALICE, MILL, Key, Network, make_tx, node_key, operator_key
from tests.support.refusals import assert_only, refuse, refuse_raw
from tests.support.sends import make_send


@pytest.fixture
def network() -> Network:
    network = Network.start(make_test_genesis())
    for index in range(5):
        network.send(ALICE, make_send(ALICE, operator_key(index).address, 10 * MILL))
    network.next_block()
    return network


def leave(network: Network, index: int) -> None:
    operator = operator_key(index)
    network.execute(operator, MsgExitProver(operator=operator.address))
    check_invariants(network.values)


def prover_now(network: Network, index: int) -> Prover:
    check_invariants(network.values)
    return schema.PROVERS.require(network.values, operator_key(index).raw)


def wait(network: Network, ms: int) -> None:
    network.next_block(after_ms=ms)
    network.next_block()


def test_basic_the_bond_comes_back_after_the_cooldown(network: Network) -> None:
    leave(network, 0)
    assert prover_now(network, 0).status == PROVER_STATUS_EXITING
    assert get_active_count(network.values) == 4
    before = account_of(network, operator_key(0)).umill
    network.next_block(after_ms=DAY_MS - 1)
    network.next_block(after_ms=1)
    assert prover_now(network, 0).status == PROVER_STATUS_EXITING
    network.next_block()
    prover = prover_now(network, 0)
    assert (prover.status, prover.bond) == (PROVER_STATUS_EXITED, 0)
    assert account_of(network, operator_key(0)).umill == before + 2_000 * MILL


def test_basic_who_left_is_not_drawn_and_the_array_stays_dense(network: Network) -> None:
    program = deploy(network)
    for index in (0, 4, 2):
        leave(network, index)
    for task_id in range(1, 5):
        run(network, ALICE, program)
        network.next_block()
        assert prove_and_pay(network, task_id) in (1, 3)


def prove_and_pay(network: Network, task_id: int) -> int:
    index = accept(network, task_id)
    network.execute(node_key(index), make_proof(node_key(index), task_id))
    network.next_block()
    vote(network, task_id, dict.fromkeys(committee_of(network, task_id), VERDICT_VALID))
    network.next_block()
    check_invariants(network.values)
    return index


def test_basic_work_and_votes_are_finished_first(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    index = prove(network, task_id)
    member = committee_of(network, task_id)[0]
    leave(network, member)
    assert prover_now(network, member).exit_ms == 0
    leave(network, index)
    # Its proof is published: it owes nothing more.
    assert prover_now(network, index).exit_ms == network.time_ms + DAY_MS
    vote(network, task_id, dict.fromkeys(committee_of(network, task_id), VERDICT_VALID))
    assert prover_now(network, member).exit_ms == network.time_ms + DAY_MS
    network.next_block()
    assert task_of(network, task_id).task.progress.status == TASK_STATUS_DONE
    wait(network, DAY_MS)
    assert {prover_now(network, one).status for one in (index, member)} == {PROVER_STATUS_EXITED}


def test_basic_a_held_fault_holds_the_bond(network: Network) -> None:
    """Nobody leaves from under a slash."""
    task_id = run(network, ALICE, deploy(network))
    first = fail_first(network, task_id)
    leave(network, first)
    assert prover_now(network, first).exit_ms == 0
    prove_fallback(network, task_id)
    members = committee_of(network, task_id)
    vote(network, task_id, dict.fromkeys(members, VERDICT_VALID))
    network.next_block()
    prover = prover_now(network, first)
    assert (prover.bond, prover.exit_ms) == (1_900 * MILL, network.time_ms + DAY_MS)
    before = account_of(network, operator_key(first)).umill
    wait(network, DAY_MS)
    assert account_of(network, operator_key(first)).umill == before + 1_900 * MILL


def test_basic_both_keys_are_free_afterwards(network: Network) -> None:
    leave(network, 0)
    operator = operator_key(0)
    again = MsgRegisterProver(
        operator=operator.address,
        node=node_key(0).address,
        resources=Resources(cpu_millis=1_000, memory_bytes=GIB),
        endpoints=["https://h"],
        bond=1_000 * MILL,
    )
    refuse(network, PROVER_EXISTS, operator, again)
    wait(network, DAY_MS)
    network.execute(operator, again)
    prover = prover_now(network, 0)
    assert (prover.status, prover.bond) == (PROVER_STATUS_JOINING, 1_000 * MILL)


def test_basic_an_idle_check_doesnt_reach_who_has_left(network: Network) -> None:
    leave(network, 0)
    wait(network, 4 * HOUR_MS)
    wait(network, 1_000)
    prover = prover_now(network, 0)
    assert (prover.status, prover.test_task_id, prover.test_due) == (PROVER_STATUS_EXITING, 0, 0)
    assert prover_now(network, 1).status == PROVER_STATUS_ACTIVE


def test_basic_repeat(network: Network) -> None:
    leave(network, 0)
    result = network.deliver(operator_key(0), MsgExitProver(operator=operator_key(0).address))
    assert (result.code, result.events) == (0, ())
    assert_only(network, {schema.ACCOUNTS.prefix + operator_key(0).raw, schema.POOLS.prefix})


def test_invalid_stranger(network: Network) -> None:
    refuse(network, PROVER_NOT_FOUND, ALICE, MsgExitProver(operator=ALICE.address))


def test_invalid_node_key(network: Network) -> None:
    """A stolen daemon can't take the bond with it."""
    node = node_key(0)
    refuse(network, PROVER_NOT_FOUND, node, MsgExitProver(operator=node.address))


@pytest.mark.parametrize("operator", ["", "x"])
def test_invalid_address(network: Network, operator: str) -> None:
    message = MsgExitProver(operator=operator)
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))


def test_invalid_signer(network: Network) -> None:
    thief = Key("thief")
    network.execute(ALICE, make_send(ALICE, thief.address, MILL))
    number = account_of(network, thief).number
    network.send_raw(
        make_tx(thief, [MsgExitProver(operator=operator_key(0).address)], account_number=number, sequence=0)
    )
    (result,) = network.next_block()
    assert result.code != 0
    assert prover_now(network, 0).status == PROVER_STATUS_ACTIVE
