"""The cost model, all of it: what work costs those who do it. 1 ucredit is worth 1 umill at the genesis price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chain.gas import compute_fee, compute_tx_gas
from chain.messages import MESSAGES
from chain.pricing import price

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message
    from proofmill.params.v1.state_pb2 import Params
    from proofmill.types.v1.types_pb2 import Resources

# Proving costs its prover so much of what the task's price is for one prover: hardware, power, rent.
PROVING_PERCENT: Final = 60
# One run of a verifier container: two seconds of a core and the fetch of the proof, at the same 60 % of the list price
# of a core (0.61 credits an hour for 96 of them, 1.8 ucredit a second).
VERIFYING_UMILL: Final = 2


def proving_cost(fee: int, redundancy: int) -> int:
    """umill for one prover's run of a task."""
    return fee * PROVING_PERCENT // (100 * redundancy)


def test_cost(params: Params, claim: Resources) -> int:
    """umill for a capacity test: the whole claim for the test's time limit."""
    return price(params, claim, params.capacity_time_limit_s, 1) * PROVING_PERCENT // 100


def tx_gas(messages: Sequence[Message]) -> int:
    """Gas of a transaction with these messages and one signature, exactly as the ante counts it."""
    body = 0
    gas = 0
    for message in messages:
        url = f"/{message.DESCRIPTOR.full_name}"
        size = message.ByteSize()
        packed = _field(len(url)) + (_field(size) if size else 0)
        body += _field(packed)
        gas += MESSAGES[url].gas(message)
    return compute_tx_gas(body, 1, gas)


def tx_fee(params: Params, gas: int) -> int:
    return compute_fee(gas, params.gas_price_umill)


def _field(size: int) -> int:
    """Bytes of a length-delimited field with a tag of one byte."""
    return 1 + max(1, -(-size.bit_length() // 7)) + size
