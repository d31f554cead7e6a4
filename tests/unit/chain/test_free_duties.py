"""What a prover was drawn for costs it no fee, and nothing else is free (ADR 10)."""

from __future__ import annotations

import pytest
from proofmill.task.v1.state_pb2 import VERDICT_VALID
from proofmill.task.v1.tx_pb2 import MsgAcceptTasks

from chain import schema
from chain.errors import INSUFFICIENT_FEE
from chain.invariants import check_invariants
from chain.params import GIB
from chain.signatures import SignatureCache
from chain.transition import CheckState
from tests.support.envelope import account_of
from tests.support.life import (
    committee_of,
    deploy,
    make_commit,
    make_proof,
    make_reveal,
    make_run,
    prove,
    prover_of,
    run,
)
from tests.support.network import ALICE, CHAIN_ID, Network, make_genesis, make_tx, node_key
from tests.support.refusals import expect
from tests.support.sends import make_send


@pytest.fixture
def offered(network: Network) -> int:
    """The prover that holds the offer of task 1."""
    run(network, ALICE, deploy(network))
    network.next_block()
    return prover_of(network, 1)


def make_accept(index: int, *tasks: int) -> MsgAcceptTasks:
    return MsgAcceptTasks(node=node_key(index).address, task_ids=tasks)


def test_a_tasks_whole_life_costs_its_nodes_nothing(network: Network, offered: int) -> None:
    before = {index: account_of(network, node_key(index)).umill for index in range(5)}
    fees = schema.POOLS.require(network.values).fees_umill
    for message in (make_accept(offered, 1), make_proof(node_key(offered), 1)):
        assert network.deliver(node_key(offered), message, fee=0).code == 0
    network.next_block()
    members = committee_of(network, 1)
    for make in (make_commit, make_reveal):
        for index in members:
            network.send(node_key(index), make(index, 1, 1, VERDICT_VALID), fee=0)
        assert {result.code for result in network.next_block()} == {0}
    network.next_block()
    assert {index: account_of(network, node_key(index)).umill for index in range(5)} == before
    assert schema.POOLS.require(network.values).fees_umill == fees
    assert account_of(network, node_key(offered)).sequence == 2
    check_invariants(network.values)


def test_a_lower_fee_is_taken_as_it_is(network: Network, offered: int) -> None:
    before = account_of(network, node_key(offered)).umill
    assert network.deliver(node_key(offered), make_accept(offered, 1), fee=7).code == 0
    assert account_of(network, node_key(offered)).umill == before - 7


def test_the_second_in_a_block_costs_its_fee(network: Network, offered: int) -> None:
    node = node_key(offered)
    network.send(node, make_accept(offered, 1), fee=0)
    network.send(node, make_accept(offered, 1), fee=0)
    first, second = network.next_block()
    assert first.code == 0
    expect(second, INSUFFICIENT_FEE)
    # It took no effect: the same sequence is free in the next block.
    assert network.deliver(node, make_accept(offered, 1), fee=0).code == 0
    network.send(node, make_accept(offered, 1), fee=0)
    network.send(node, make_accept(offered, 1))
    assert [result.code for result in network.next_block()] == [0, 0]


def test_the_mempool_keeps_to_the_same_rule(network: Network, offered: int) -> None:
    account = account_of(network, node_key(offered))

    def offer(sequence: int) -> bytes:
        return make_tx(
            node_key(offered),
            [make_accept(offered, 1)],
            account_number=account.number,
            sequence=account.sequence + sequence,
            fee=0,
        )

    check = CheckState(network.values, CHAIN_ID, network.height, network.time_ms, SignatureCache())
    assert check.check(offer(0), recheck=False).code == 0
    assert check.check(offer(1), recheck=False).code == INSUFFICIENT_FEE.code
    later = CheckState(network.values, CHAIN_ID, network.height + 1, network.time_ms, SignatureCache())
    assert later.check(offer(0), recheck=True).code == 0


def refused(network: Network, index: int, *messages: object, **changes: object) -> None:
    network.send(node_key(index), *messages, fee=0, **changes)  # type: ignore[arg-type]  # what a test may falsify
    (result,) = network.next_block()
    expect(result, INSUFFICIENT_FEE)
    assert result.gas_used == 0


def test_more_entries_than_duties_cost_their_fee(network: Network, offered: int) -> None:
    refused(network, offered, make_accept(offered, 1, 2))
    assert network.deliver(node_key(offered), make_accept(offered, 1, 2)).code == 0


def test_more_than_a_hundred_at_once_cost_their_fee() -> None:
    """They are counted before the signature is verified: nobody makes the mempool count for long."""
    genesis = make_genesis(1)
    genesis.provers[0].resources.cpu_millis = 200_000
    genesis.provers[0].resources.memory_bytes = 400 * GIB
    network = Network.start(genesis)
    program = deploy(network)
    for _ in range(2):
        network.send(ALICE, *[make_run(ALICE, program)] * 60)
    network.next_block()
    network.next_block()
    refused(network, 0, make_accept(0, *range(1, 102)))
    assert network.deliver(node_key(0), make_accept(0, *range(1, 101)), fee=0).code == 0
    assert network.deliver(node_key(0), make_accept(0, *range(101, 121)), fee=0).code == 0
    check_invariants(network.values)


def test_who_owes_nothing_pays(network: Network, offered: int) -> None:
    refused(network, (offered + 1) % 5, make_accept((offered + 1) % 5, 1))


def test_a_duty_that_is_over_is_none(network: Network) -> None:
    run(network, ALICE, deploy(network))
    index = prove(network, 1)
    refused(network, index, make_proof(node_key(index), 1))


def test_whoever_is_no_prover_pays(network: Network) -> None:
    network.send(ALICE, MsgAcceptTasks(node=ALICE.address, task_ids=[1]), fee=0)
    expect(network.next_block()[0], INSUFFICIENT_FEE)


def test_other_messages_beside_them_cost_the_fee_of_all(network: Network, offered: int) -> None:
    node = node_key(offered)
    refused(network, offered, make_accept(offered, 1), make_send(node, ALICE.address, 1))
    refused(network, offered, make_send(node, ALICE.address, 1))


def test_more_gas_than_needed_costs_its_fee(network: Network, offered: int) -> None:
    """It would keep others out of the block."""
    refused(network, offered, make_accept(offered, 1), gas_limit=1_000_000)


def test_users_pay(network: Network) -> None:
    program = deploy(network)
    network.send(ALICE, make_run(ALICE, program), fee=0)
    expect(network.next_block()[0], INSUFFICIENT_FEE)


def test_a_node_without_money_does_its_duty() -> None:
    genesis = make_genesis(1)
    for account in genesis.accounts:
        if account.address == node_key(0).address:
            account.umill = 0
    network = Network.start(genesis)
    run(network, ALICE, deploy(network))
    network.next_block()
    assert network.deliver(node_key(0), make_accept(0, 1), fee=0).code == 0
