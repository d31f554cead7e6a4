"""Transaction fees and inflation: protocol §8 "Validators"."""

from __future__ import annotations

import pytest
from proofmill.genesis.v1.genesis_pb2 import Genesis, GenesisValidator

from chain import schema
from chain.amount import MAX_AMOUNT
from chain.invariants import check_invariants
from chain.params import default_params
from tests.support.envelope import account_of
from tests.support.network import ALICE, BOB, Key, Network, make_genesis
from tests.support.sends import make_send

OPERATORS = [Key(f"validator{index}") for index in range(3)]
ADDRESSES = [bytes([index]) * 20 for index in range(3)]


def validators(inflation: int = 0) -> Genesis:
    params = default_params()
    params.inflation_per_block = inflation
    genesis = make_genesis(params=params)
    genesis.validators.extend(
        GenesisValidator(consensus_address=address, operator=key.address)
        for address, key in zip(ADDRESSES, OPERATORS, strict=True)
    )
    return genesis


def pay_fee(network: Network, fee: int) -> None:
    assert network.deliver(ALICE, make_send(ALICE, BOB.address, 1), fee=fee).code == 0


def balances(network: Network) -> list[int]:
    return [account_of(network, key).umill for key in OPERATORS]


def test_fees_go_to_those_who_signed_by_their_power() -> None:
    network = Network.start(validators())
    pay_fee(network, 10_000)
    network.next_block(votes=((ADDRESSES[0], 1, True), (ADDRESSES[1], 2, True), (ADDRESSES[2], 7, False)))
    # A third and two thirds; what doesn't divide stays for the next block.
    assert balances(network) == [3_333, 6_666, 0]
    assert schema.POOLS.require(network.values).fees_umill == 1
    pay_fee(network, 9_999)
    network.next_block(votes=((ADDRESSES[2], 1, True),))
    assert balances(network) == [3_333, 6_666, 10_000]
    check_invariants(network.values)


@pytest.mark.parametrize(
    "votes",
    [(), ((ADDRESSES[0], 5, False),), ((b"\xff" * 20, 5, True),), ((ADDRESSES[0], 0, True),)],
    ids=["none", "absent", "unknown", "powerless"],
)
def test_without_anybody_to_pay_the_fees_wait(votes: tuple[tuple[bytes, int, bool], ...]) -> None:
    network = Network.start(validators(inflation=1_000))
    pay_fee(network, 10_000)
    network.next_block(votes=votes)
    assert balances(network) == [0, 0, 0]
    assert schema.POOLS.require(network.values).fees_umill == 10_000


def test_inflation_is_minted_block_by_block() -> None:
    network = Network.start(validators(inflation=900))
    supply = schema.POOLS.require(network.values).umill_supply
    for _ in range(3):
        network.next_block(votes=tuple((address, 1, True) for address in ADDRESSES))
    assert balances(network) == [900, 900, 900]
    assert schema.POOLS.require(network.values).umill_supply == supply + 2_700
    check_invariants(network.values)


def test_inflation_stops_at_the_largest_amount() -> None:
    genesis = validators(inflation=MAX_AMOUNT)
    network = Network.start(genesis)
    supply = schema.POOLS.require(network.values).umill_supply
    for _ in range(2):
        network.next_block(votes=((ADDRESSES[0], 1, True),))
    assert balances(network)[0] == MAX_AMOUNT - supply
    check_invariants(network.values)


def test_two_validators_of_one_operator_are_paid_for_both() -> None:
    genesis = validators()
    genesis.validators[1].operator = OPERATORS[0].address
    network = Network.start(genesis)
    pay_fee(network, 9_000)
    network.next_block(votes=tuple((address, 1, True) for address in ADDRESSES))
    assert balances(network) == [6_000, 0, 3_000]
