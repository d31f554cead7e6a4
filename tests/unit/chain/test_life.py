"""A task's whole life, transaction by transaction."""

from __future__ import annotations

import pytest
from proofmill.task.v1.state_pb2 import (
    PAYOUT_KIND_BURN,
    PAYOUT_KIND_PROVER_REWARD,
    PAYOUT_KIND_SUBSIDY,
    PAYOUT_KIND_VERIFIER_REWARD,
    TASK_STATUS_DONE,
    TASK_STATUS_OFFERED,
    TASK_STATUS_UNDECIDED,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_VALID,
)

from chain import schema
from tests.support.life import committee_of, deploy, index_of, prove, run, task_of, vote
from tests.support.network import ALICE, Network, make_genesis, operator_key


@pytest.fixture
def network() -> Network:
    return Network.start(make_genesis())


def ucredit_of(network: Network, raw: bytes) -> int:
    account = schema.ACCOUNTS.get(network.values, raw)
    return account.ucredit if account else 0


def umill_of(network: Network, raw: bytes) -> int:
    account = schema.ACCOUNTS.get(network.values, raw)
    return account.umill if account else 0


def test_a_valid_proof_is_paid_to_the_unit(network: Network) -> None:
    program = deploy(network)
    before = ucredit_of(network, ALICE.raw)
    task_id = run(network, ALICE, program)
    # 1 cpu, 2 GiB, 10 s: the third test vector of protocol §8.
    assert before - ucredit_of(network, ALICE.raw) == 18
    prover = prove(network, task_id)
    committee = committee_of(network, task_id)
    assert sorted([*committee, prover]) == [0, 1, 2, 3, 4]
    vote(network, task_id, dict.fromkeys(committee, VERDICT_VALID))
    network.next_block()
    progress = task_of(network, task_id).task.progress
    assert progress.status == TASK_STATUS_DONE
    # 90 % of 18 is 16; 8 % is 1, which four verifiers can't share; the rest is burned.
    paid = dict.fromkeys((1, 2, 3, 4, 5), 0)
    for payout in progress.payouts:
        paid[payout.kind] += payout.umill if payout.kind == PAYOUT_KIND_SUBSIDY else payout.ucredit
    assert paid[PAYOUT_KIND_PROVER_REWARD] == 16
    assert paid[PAYOUT_KIND_VERIFIER_REWARD] == 0
    assert paid[PAYOUT_KIND_BURN] == 2
    assert paid[PAYOUT_KIND_SUBSIDY] == 0
    assert umill_of(network, operator_key(prover).raw) == 16
    assert schema.POOLS.require(network.values).escrow_ucredit == 0


def test_after_an_invalid_proof_half_goes_back_and_a_fallback_is_drawn(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    before = ucredit_of(network, ALICE.raw)
    first = prove(network, task_id)
    vote(network, task_id, dict.fromkeys(committee_of(network, task_id), VERDICT_INVALID))
    network.next_block()
    progress = task_of(network, task_id).task.progress
    assert (progress.status, progress.attempt) == (TASK_STATUS_OFFERED, 2)
    assert progress.fallback_reason == "the committee found the proof invalid"
    assert ucredit_of(network, ALICE.raw) == before + 9
    assert index_of(progress.prover) != first


def test_three_split_committees_leave_the_task_undecided(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    prove(network, task_id)
    for round_ in (1, 2, 3):
        committee = committee_of(network, task_id)
        votes = {m: VERDICT_VALID if i % 2 else VERDICT_INCONCLUSIVE for i, m in enumerate(committee)}
        vote(network, task_id, votes, round_)
        network.next_block()
    progress = task_of(network, task_id).task.progress
    assert progress.status == TASK_STATUS_UNDECIDED
    assert progress.round == 3
    assert schema.POOLS.require(network.values).escrow_ucredit == 0
