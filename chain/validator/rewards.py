"""Transaction fees and inflation, to those who signed the last block, by voting power (protocol §8 "Validators")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chain import schema
from chain.bank.ledger import add_fees, add_umill, mint_inflation, take_fees

if TYPE_CHECKING:
    from chain.context import Context

# (consensus address, voting power, whether it signed)
CommitVote = tuple[bytes, int, bool]


def pay_validators(context: Context, votes: tuple[CommitVote, ...]) -> None:
    """Hand out the fees of the last block and this block's inflation; what rounding leaves stays for the next block."""
    kv = context.kv
    signers = []
    for consensus_address, power, signed in votes:
        operator = schema.VALIDATOR_OPERATORS.get(kv, consensus_address)
        if signed and power and operator is not None:
            signers.append((operator, power))
    total_power = sum(power for _, power in signers)
    if not total_power:
        return
    mint_inflation(kv, context.params.inflation_per_block)
    amount = take_fees(kv)
    paid = 0
    for operator, power in signers:
        share = amount * power // total_power
        if share:
            add_umill(kv, operator, share)
            paid += share
    if paid != amount:
        add_fees(kv, amount - paid)
