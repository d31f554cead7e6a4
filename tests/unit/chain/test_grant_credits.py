"""proofmill.credits.v1.MsgGrantCredits."""

from __future__ import annotations

import pytest
from proofmill.credits.v1.tx_pb2 import MsgGrantCredits

from chain import schema
from chain.amount import MAX_AMOUNT
from chain.errors import INVALID_ADDRESS, INVALID_COINS, UNAUTHORIZED
from tests.support.envelope import account_of
from tests.support.network import ALICE, AUTHORITY, Key, Network, make_genesis, make_tx
from tests.support.refusals import refuse, refuse_raw

NEW = Key("new")


def make_grant(signer: Key, recipient: str, amount: int) -> MsgGrantCredits:
    return MsgGrantCredits(authority=signer.address, recipient=recipient, amount=amount)


def test_basic(network: Network) -> None:
    supply = schema.POOLS.require(network.values).ucredit_supply
    network.execute(AUTHORITY, make_grant(AUTHORITY, NEW.address, 250))
    network.execute(AUTHORITY, make_grant(AUTHORITY, NEW.address, 50))
    assert account_of(network, NEW).ucredit == 300
    assert schema.POOLS.require(network.values).ucredit_supply == supply + 300


def test_basic_up_to_the_largest_supply(network: Network) -> None:
    left = MAX_AMOUNT - schema.POOLS.require(network.values).ucredit_supply
    network.execute(AUTHORITY, make_grant(AUTHORITY, NEW.address, left))
    refuse(network, INVALID_COINS, AUTHORITY, make_grant(AUTHORITY, ALICE.address, 1))


def test_invalid_signer(network: Network) -> None:
    result = refuse(network, UNAUTHORIZED, ALICE, make_grant(ALICE, ALICE.address, 1))
    assert AUTHORITY.address in result.log


def test_invalid_without_an_authority() -> None:
    genesis = make_genesis()
    genesis.authority = ""
    refuse(Network.start(genesis), UNAUTHORIZED, ALICE, make_grant(ALICE, ALICE.address, 1))


@pytest.mark.parametrize("amount", [0, MAX_AMOUNT + 1, 2**64 - 1])
def test_invalid_amount(network: Network, amount: int) -> None:
    message = make_grant(AUTHORITY, ALICE.address, amount)
    refuse_raw(network, INVALID_COINS, make_tx(AUTHORITY, [message], account_number=0, sequence=0))


def test_invalid_recipient(network: Network) -> None:
    message = make_grant(AUTHORITY, "mill1nobody", 1)
    refuse_raw(network, INVALID_ADDRESS, make_tx(AUTHORITY, [message], account_number=0, sequence=0))
