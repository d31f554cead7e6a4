"""MsgGrantCredits: how the authority of a permissioned network sells credits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.credits.v1.event_pb2 import EventCreditsGranted
from proofmill.credits.v1.tx_pb2 import MsgGrantCredits, MsgGrantCreditsResponse

from chain import schema
from chain.address import decode_address
from chain.amount import MAX_AMOUNT
from chain.bank.ledger import mint_ucredit
from chain.errors import INVALID_COINS, UNAUTHORIZED
from chain.fields import check_address

if TYPE_CHECKING:
    from chain.context import Context


def validate_grant_credits(message: MsgGrantCredits) -> None:
    check_address(message.authority, "authority")
    check_address(message.recipient, "recipient")
    if not 1 <= message.amount <= MAX_AMOUNT:
        raise INVALID_COINS.error(f"amount is {message.amount} ucredit: grant 1 to {MAX_AMOUNT}")


def execute_grant_credits(context: Context, message: MsgGrantCredits) -> MsgGrantCreditsResponse:
    authority = schema.AUTHORITY.get(context.kv)
    if message.authority != authority:
        raise UNAUTHORIZED.error(f"only the authority {authority or '(none in this genesis)'} may grant credits")
    mint_ucredit(context.kv, decode_address(message.recipient), message.amount)
    context.emit(EventCreditsGranted(recipient=message.recipient, amount=message.amount))
    return MsgGrantCreditsResponse()
