"""How committees are drawn: protocol §6.5 and §6.7."""

from __future__ import annotations

import pytest

from chain.params import default_params
from tests.support.life import committee_of, deploy, prove, run, task_of
from tests.support.network import ALICE, Network, make_genesis


def judged(provers: int, share_bp: int = 100, rounds: int = 3) -> tuple[Network, int, int]:
    """A network, a task whose first committee has just been drawn, and its prover."""
    params = default_params()
    params.committee_share_bp = share_bp
    params.verification_rounds_max = rounds
    network = Network.start(make_genesis(provers, params))
    task_id = run(network, ALICE, deploy(network))
    return network, task_id, prove(network, task_id)


def silence(network: Network) -> None:
    """Nobody commits, so the round ends without a quorum and the next committee is drawn."""
    network.next_block(after_ms=25_000)
    network.next_block()


@pytest.mark.parametrize(
    ("provers", "share_bp", "size"),
    [(1, 100, 0), (2, 100, 1), (8, 100, 7), (11, 100, 10), (25, 100, 10), (25, 5_000, 13), (25, 10_000, 24)],
)
def test_size(provers: int, share_bp: int, size: int) -> None:
    network, task_id, prover = judged(provers, share_bp)
    round_ = task_of(network, task_id).rounds[0]
    members = committee_of(network, task_id)
    assert round_.round.size == len(members) == len(set(members)) == size
    assert prover not in members


def test_later_committees_are_twice_as_large_and_of_others_as_far_as_there_are() -> None:
    network, task_id, prover = judged(35)
    first = committee_of(network, task_id)
    silence(network)
    second = committee_of(network, task_id)
    silence(network)
    third = committee_of(network, task_id)
    assert (len(first), len(second), len(third)) == (10, 20, 34)
    assert not set(first) & set(second)
    assert prover not in third


def test_members_of_earlier_committees_fill_up_the_next() -> None:
    network, task_id, _ = judged(15)
    first = committee_of(network, task_id)
    silence(network)
    second = committee_of(network, task_id)
    assert len(second) == 14
    assert set(first) < set(second)


def test_rounds_are_bounded() -> None:
    network, task_id, _ = judged(5, rounds=2)
    for _ in range(4):
        silence(network)
    assert task_of(network, task_id).task.progress.round == 2


def test_without_anybody_to_vote_the_rounds_pass_by_themselves() -> None:
    network, task_id, _ = judged(1)
    for _ in range(3):
        network.next_block()
    answer = task_of(network, task_id)
    assert answer.task.progress.round == 3
    assert answer.task.progress.ended_height == network.height


def test_a_prover_that_passed_is_in_no_committee_of_the_task(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    for _ in range(4):
        network.next_block()
    prove(network, task_id)
    assert len(committee_of(network, task_id)) == 3
