"""The bank's message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmos.bank.v1beta1.tx_pb2 import MsgSend
from cosmos.base.v1beta1.coin_pb2 import Coin

if TYPE_CHECKING:
    from tests.support.network import Key


def make_send(sender: Key, recipient: str, amount: int, denom: str = "umill") -> MsgSend:
    return MsgSend(from_address=sender.address, to_address=recipient, amount=[Coin(denom=denom, amount=str(amount))])
