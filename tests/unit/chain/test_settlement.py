"""Who gets what, to the unit: protocol §8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from proofmill.task.v1.state_pb2 import (
    PAYOUT_KIND_BURN,
    PAYOUT_KIND_PROVER_REWARD,
    PAYOUT_KIND_SUBSIDY,
    PAYOUT_KIND_VERIFIER_REWARD,
    TASK_STATUS_DONE,
    TASK_STATUS_UNDECIDED,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_VALID,
)
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.amount import MAX_AMOUNT
from chain.invariants import check_invariants
from chain.params import GIB, default_params
from tests.support.envelope import account_of
from tests.support.life import committee_of, deploy, make_commit, make_reveal, make_run, prove, task_of
from tests.support.network import ALICE, Network, make_genesis, node_key, operator_key

if TYPE_CHECKING:
    from proofmill.genesis.v1.genesis_pb2 import Genesis
    from proofmill.task.v1.state_pb2 import Progress, Verdict

FEE = 25_417


@dataclass
class Settled:
    network: Network
    progress: Progress
    prover: int
    committee: list[int]

    def paid(self, kind: int) -> int:
        """ucredit of one kind of payout; umill for subsidies."""
        return sum(
            payout.umill if kind == PAYOUT_KIND_SUBSIDY else payout.ucredit
            for payout in self.progress.payouts
            if payout.kind == kind
        )

    def earned(self, index: int) -> int:
        return account_of(self.network, operator_key(index)).umill


def settle(genesis: Genesis, verdicts: list[Verdict], fee: int = FEE) -> Settled:
    """A task of that fee, judged by so many members of the committee in turn; the rest commits and never reveals."""
    network = Network.start(genesis)
    message = make_run(ALICE, deploy(network))
    if fee == FEE:
        message.resources.CopyFrom(Resources(cpu_millis=4_000, memory_bytes=8 * GIB))
        message.time_limit_s = 3_600
    message.max_fee = fee
    network.execute(ALICE, message)
    assert task_of(network, 1).task.task.fee == fee
    prover = prove(network, 1)
    committee = committee_of(network, 1)
    said = dict(zip(committee, verdicts, strict=False))
    for index in committee:
        network.send(node_key(index), make_commit(index, 1, 1, said.get(index, VERDICT_VALID)))
    network.next_block()
    for index, verdict in said.items():
        network.send(node_key(index), make_reveal(index, 1, 1, verdict))
    network.next_block()
    network.next_block(after_ms=60_000)
    network.next_block()
    network.next_block()
    check_invariants(network.values)
    return Settled(network, task_of(network, 1).task.progress, prover, committee)


@pytest.mark.parametrize(("verifiers", "share"), [(4, 508), (7, 290), (10, 203)])
def test_basic(verifiers: int, share: int) -> None:
    before = schema.POOLS.require(Network.start(make_genesis(verifiers + 1)).values)
    done = settle(make_genesis(verifiers + 1), [VERDICT_VALID] * verifiers)
    assert done.progress.status == TASK_STATUS_DONE
    assert done.paid(PAYOUT_KIND_PROVER_REWARD) == 22_875  # 90 % of 25,417 is 22,875.3
    assert done.paid(PAYOUT_KIND_VERIFIER_REWARD) == share * verifiers  # 8 % is 2,033
    assert done.paid(PAYOUT_KIND_BURN) == FEE - 22_875 - share * verifiers
    # A credit is worth a MILL here; the network adds a fiftieth.
    assert done.earned(done.prover) == 22_875 + 457
    assert {done.earned(index) for index in done.committee} == {share + share // 50}
    pools = schema.POOLS.require(done.network.values)
    assert pools.escrow_ucredit == 0
    assert pools.ucredit_supply == before.ucredit_supply - FEE
    assert pools.umill_supply == before.umill_supply + 22_875 + share * verifiers
    assert pools.network_umill == before.network_umill - 457 - share // 50 * verifiers


def test_the_books_of_the_provers_are_kept() -> None:
    done = settle(make_genesis(5), [VERDICT_VALID] * 4)
    prover = schema.PROVERS.require(done.network.values, operator_key(done.prover).raw)
    assert (prover.tasks_proved, prover.votes_rewarded, prover.earned_umill) == (1, 0, 22_875 + 457)
    voter = schema.PROVERS.require(done.network.values, operator_key(done.committee[0]).raw)
    assert (voter.tasks_proved, voter.votes_rewarded, voter.earned_umill) == (0, 1, 508 + 10)


def test_the_minority_and_the_silent_are_not_paid() -> None:
    verdicts = [VERDICT_INVALID, VERDICT_INCONCLUSIVE] + [VERDICT_VALID] * 7
    done = settle(make_genesis(11), verdicts)
    assert done.progress.status == TASK_STATUS_DONE
    unpaid, winners = [*done.committee[:2], done.committee[9]], done.committee[2:9]
    assert [done.earned(index) for index in unpaid] == [0, 0, 0]
    # 2,033 between the seven that voted with the verdict.
    assert {done.earned(index) for index in winners} == {290 + 5}


def test_a_fee_too_small_to_share_is_burned() -> None:
    done = settle(make_genesis(11), [VERDICT_VALID] * 10, fee=18)
    assert done.paid(PAYOUT_KIND_PROVER_REWARD) == 16
    assert done.paid(PAYOUT_KIND_VERIFIER_REWARD) == 0
    assert done.paid(PAYOUT_KIND_BURN) == 2


def test_the_subsidy_lasts_as_long_as_the_pool() -> None:
    genesis = make_genesis(5)
    genesis.network_pool = 457 + 10 + 7
    done = settle(genesis, [VERDICT_VALID] * 4)
    assert schema.POOLS.require(done.network.values).network_umill == 0
    assert done.earned(done.prover) == 22_875 + 457
    assert sorted(done.earned(index) for index in done.committee) == [508, 508, 508 + 7, 508 + 10]


def test_rewards_follow_the_price_of_a_credit() -> None:
    params = default_params()
    params.credit_price_umill = 2_500_001
    params.subsidy_bp = 0
    done = settle(make_genesis(5, params), [VERDICT_VALID] * 4)
    assert done.paid(PAYOUT_KIND_SUBSIDY) == 0
    assert done.earned(done.prover) == 22_875 * 2_500_001 // 1_000_000
    assert done.earned(done.committee[0]) == 508 * 2_500_001 // 1_000_000


def test_the_supply_stops_growing_at_the_largest_amount() -> None:
    genesis = make_genesis(5)
    supply = schema.POOLS.require(Network.start(genesis).values).umill_supply
    genesis.network_pool += MAX_AMOUNT - supply - 22_875 - 508 - 7
    done = settle(genesis, [VERDICT_VALID] * 4)
    assert done.progress.status == TASK_STATUS_DONE
    assert schema.POOLS.require(done.network.values).umill_supply == MAX_AMOUNT
    paid = sorted(payout.umill for payout in done.progress.payouts if payout.kind == PAYOUT_KIND_VERIFIER_REWARD)
    assert paid == [0, 0, 7, 508]


def test_without_a_verdict_all_goes_back() -> None:
    before = account_of(Network.start(make_genesis()), ALICE).ucredit
    done = settle(make_genesis(), [VERDICT_INCONCLUSIVE] * 4)
    assert done.progress.status == TASK_STATUS_UNDECIDED
    assert account_of(done.network, ALICE).ucredit == before
    assert {done.earned(index) for index in range(5)} == {0}
    prover = schema.PROVERS.require(done.network.values, operator_key(done.prover).raw)
    assert (prover.tasks_failed, prover.held_faults) == (0, 0)
