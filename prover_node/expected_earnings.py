"""What a claim earns in an hour of work, by the chain's prices (protocol §8): tasks pay for the share that they use."""

from __future__ import annotations

from dataclasses import dataclass

from proofmill.params.v1.state_pb2 import Params
from proofmill.types.v1 import types_pb2

from chain.params import BASIS_POINTS
from chain.pricing import price
from prover_node.duties import Resources

_HOUR_S = 3600
_UCREDIT_PER_CREDIT = 1_000_000


@dataclass(frozen=True)
class Expected:
    """An hour's fees (ucredit) for a claim in use for so many percent of the time, and what of it is the prover's.

    ``subsidy_umill`` comes on top while the network's pool lasts. 1 credit is 1 USD.
    """

    utilisation_percent: int
    fees_ucredit: int
    earned_umill: int
    subsidy_umill: int


def expected_hour(params: Params, claim: Resources, utilisation_percent: int) -> Expected:
    """With tasks that use all of the claim, or none: those that use less of one thing than of another pay less."""
    needs = types_pb2.Resources(cpu_millis=claim.cpu_millis, memory_bytes=claim.memory_bytes, gpus=claim.gpus)
    fees = price(params, needs, _HOUR_S, 1) * utilisation_percent // 100
    share = fees * params.prover_share_bp // BASIS_POINTS
    earned = share * params.credit_price_umill // _UCREDIT_PER_CREDIT
    return Expected(utilisation_percent, fees, earned, earned * params.subsidy_bp // BASIS_POINTS)
