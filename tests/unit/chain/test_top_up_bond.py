"""proofmill.prover.v1.MsgTopUpBond."""

from __future__ import annotations

import pytest
from proofmill.prover.v1.tx_pb2 import MsgExitProver, MsgTopUpBond, MsgTopUpBondResponse

from chain import schema
from chain.errors import INSUFFICIENT_FUNDS, INVALID_ADDRESS, PROVER_INVALID, PROVER_NOT_FOUND, WRONG_STATUS
from chain.invariants import check_invariants
from tests.support.envelope import account_of
from tests.support.network import ALICE, MILL, Key, Network, make_genesis, make_tx, operator_key
from tests.support.refusals import refuse, refuse_raw
from tests.support.sends import make_send

OPERATOR = operator_key(0)


def make_top_up(amount: int, operator: Key = OPERATOR) -> MsgTopUpBond:
    return MsgTopUpBond(operator=operator.address, amount=amount)


@pytest.fixture
def network() -> Network:
    network = Network.start(make_genesis())
    network.execute(ALICE, make_send(ALICE, OPERATOR.address, 1_000 * MILL))
    return network


def test_basic(network: Network) -> None:
    before = account_of(network, OPERATOR).umill
    result = network.deliver(OPERATOR, make_top_up(300 * MILL))
    assert [event.type for event in result.events] == ["proofmill.prover.v1.EventBondChanged"]
    assert schema.PROVERS.require(network.values, OPERATOR.raw).bond == 2_300 * MILL
    assert schema.POOLS.require(network.values).bonds_umill == 5 * 2_000 * MILL + 300 * MILL
    assert before - account_of(network, OPERATOR).umill - 300 * MILL < 10_000
    check_invariants(network.values)


def test_basic_the_response_tells_the_bond(network: Network) -> None:
    (response,) = network.execute(OPERATOR, make_top_up(1))
    assert MsgTopUpBondResponse.FromString(response).bond == 2_000 * MILL + 1


def test_invalid_under_funded(network: Network) -> None:
    refuse(network, INSUFFICIENT_FUNDS, OPERATOR, make_top_up(1_000 * MILL))


def test_invalid_stranger(network: Network) -> None:
    refuse(network, PROVER_NOT_FOUND, ALICE, make_top_up(1, ALICE))


def test_invalid_leaving(network: Network) -> None:
    network.execute(OPERATOR, MsgExitProver(operator=OPERATOR.address))
    refuse(network, WRONG_STATUS, OPERATOR, make_top_up(1))


@pytest.mark.parametrize("amount", [0, 2**63, 2**64 - 1])
def test_invalid_amount(network: Network, amount: int) -> None:
    number = account_of(network, OPERATOR).number
    raw = make_tx(OPERATOR, [make_top_up(amount)], account_number=number, sequence=0)
    refuse_raw(network, PROVER_INVALID, raw)


def test_invalid_address(network: Network) -> None:
    message = MsgTopUpBond(operator="x", amount=1)
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))
