"""cosmos.bank.v1beta1.MsgSend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmos.bank.v1beta1.tx_pb2 import MsgSend, MsgSendResponse

from chain.address import decode_address
from chain.amount import MAX_AMOUNT, UMILL
from chain.bank import ledger
from chain.errors import INVALID_COINS
from chain.events import Event
from chain.fields import check_address

if TYPE_CHECKING:
    from chain.context import Context


def validate_send(message: MsgSend) -> None:
    check_address(message.from_address, "from_address")
    check_address(message.to_address, "to_address")
    if len(message.amount) != 1 or message.amount[0].denom != UMILL:
        raise INVALID_COINS.error(f"a transfer moves exactly one coin, {UMILL}: credits are not transferable")
    parse_coin_amount(message.amount[0].amount)


def execute_send(context: Context, message: MsgSend) -> MsgSendResponse:
    amount = parse_coin_amount(message.amount[0].amount)
    ledger.move_umill(context.kv, decode_address(message.from_address), decode_address(message.to_address), amount)
    # The name and the attributes that block explorers look for.
    context.events.append(
        Event(
            "transfer",
            (("recipient", message.to_address), ("sender", message.from_address), ("amount", f"{amount}{UMILL}")),
        )
    )
    return MsgSendResponse()


def parse_coin_amount(text: str) -> int:
    """The positive integer in a Coin; INVALID_COINS for anything else, leading zeros included."""
    if not (text.isascii() and text.isdigit()) or text[0] == "0" or len(text) > 19 or int(text) > MAX_AMOUNT:
        raise INVALID_COINS.error(f"{text[:40]!r} is not a whole amount between 1 and {MAX_AMOUNT}")
    return int(text)
