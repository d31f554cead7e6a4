"""Gas: a fixed table by message and by entry, so that a block's work is bounded (protocol §2).

What a transaction uses is known before it runs, from its body and the number of its signers; so a simulation before
signing is exact, and gas_wanted above it buys nothing. Units are about ten nanoseconds of one core each.
"""

from __future__ import annotations

from typing import Final

BLOCK_MAX_GAS: Final = 400_000_000

TX_BASE: Final = 5_000
PER_BODY_BYTE: Final = 10
PER_SIGNATURE: Final = 5_000

SEND: Final = 4_000
GRANT_CREDITS: Final = 4_000
DEPLOY_PROGRAM: Final = 50_000
DEPRECATE_PROGRAM: Final = 10_000
REGISTER_PROVER: Final = 20_000
UPDATE_PROVER: Final = 20_000
TOP_UP_BOND: Final = 10_000
EXIT_PROVER: Final = 20_000
# A task's whole life: the draw, a committee of ten with its votes, the settlement. For each of its provers.
RUN_TASK: Final = 200_000
# The same, on request.
REQUEST_TEST: Final = RUN_TASK
CANCEL_TASK: Final = 20_000
UPDATE_PARAMS: Final = 20_000
PER_ENTRY: Final = 10_000
REPORT_FAILURE: Final = 20_000


def compute_tx_gas(body_bytes: int, signatures: int, message_gas: int) -> int:
    """Gas of a transaction with a body of so many bytes and so many signatures, whose messages use `message_gas`."""
    return TX_BASE + PER_BODY_BYTE * body_bytes + PER_SIGNATURE * signatures + message_gas


def compute_fee(gas: int, gas_price_umill: int) -> int:
    """umill that so much gas costs, at a price for 1,000 gas."""
    return -(-gas * gas_price_umill // 1_000)
