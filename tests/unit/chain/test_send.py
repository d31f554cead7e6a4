"""cosmos.bank.v1beta1.MsgSend."""

from __future__ import annotations

import pytest
from cosmos.bank.v1beta1.tx_pb2 import MsgSend
from cosmos.base.v1beta1.coin_pb2 import Coin

from chain.errors import INSUFFICIENT_FUNDS, INVALID_ADDRESS, INVALID_COINS
from tests.support.envelope import account_of, valid_send
from tests.support.network import ALICE, BOB, RICH, Key, Network, make_tx
from tests.support.refusals import refuse, refuse_raw
from tests.support.sends import make_send

NEW = Key("new")


def test_basic(network: Network) -> None:
    result = network.deliver(ALICE, make_send(ALICE, BOB.address, 12))
    assert result.code == 0
    assert account_of(network, BOB).umill == RICH + 12
    (event,) = result.events
    assert event.type == "transfer"
    assert dict(event.attributes) == {"recipient": BOB.address, "sender": ALICE.address, "amount": "12umill"}


def test_basic_to_a_new_account(network: Network) -> None:
    numbers = {account_of(network, key).number for key in (ALICE, BOB)}
    network.execute(ALICE, make_send(ALICE, NEW.address, 1))
    assert account_of(network, NEW).umill == 1
    assert account_of(network, NEW).number > max(numbers)


def test_basic_to_oneself(network: Network) -> None:
    before = account_of(network, ALICE).umill
    result = network.deliver(ALICE, make_send(ALICE, ALICE.address, 10**9))
    assert result.code == 0
    assert 0 < before - account_of(network, ALICE).umill < 1_000


def test_basic_everything_but_the_fee(network: Network) -> None:
    network.execute(ALICE, make_send(ALICE, NEW.address, 10_000))
    network.execute(
        NEW,
        make_send(NEW, BOB.address, 10_000 - 1_000),
    )
    left = account_of(network, NEW).umill
    assert left < 1_000
    refuse(network, INSUFFICIENT_FUNDS, NEW, make_send(NEW, BOB.address, left))


def test_invalid_more_than_the_balance(network: Network) -> None:
    result = refuse(network, INSUFFICIENT_FUNDS, ALICE, make_send(ALICE, NEW.address, RICH + 1))
    assert "the account holds" in result.log
    assert account_of(network, NEW).umill == 0


@pytest.mark.parametrize("recipient", ["", "mill1qqqq", BOB.address[:-1], "é" * 5, "MILL" + BOB.address[4:]])
def test_invalid_recipient(network: Network, recipient: str) -> None:
    refuse_raw(network, INVALID_ADDRESS, valid_send(network, ALICE, recipient))


@pytest.mark.parametrize("amount", ["0", "-1", "", "1.0", "007", "0x10", str(2**63), str(2**64), "9" * 1_000, "٣"])
def test_invalid_amount(network: Network, amount: str) -> None:
    send = MsgSend(from_address=ALICE.address, to_address=BOB.address, amount=[Coin(denom="umill", amount=amount)])
    refuse_raw(network, INVALID_COINS, make_tx(ALICE, [send], account_number=1, sequence=0))


@pytest.mark.parametrize("coins", [[], ["ucredit"], ["uatom"], ["umill", "umill"], ["umill", "ucredit"]], ids=str)
def test_invalid_coins(network: Network, coins: list[str]) -> None:
    send = MsgSend(
        from_address=ALICE.address,
        to_address=BOB.address,
        amount=[Coin(denom=denom, amount="1") for denom in coins],
    )
    refuse_raw(network, INVALID_COINS, make_tx(ALICE, [send], account_number=1, sequence=0))
