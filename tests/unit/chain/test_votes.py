"""proofmill.verification.v1.MsgVotes: commit, then reveal (protocol §6.6)."""

from __future__ import annotations

import hashlib

import pytest
from proofmill.task.v1.state_pb2 import (
    TASK_STATUS_COMMITTING,
    TASK_STATUS_DECIDED,
    TASK_STATUS_PROVED,
    TASK_STATUS_REVEALING,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_UNSPECIFIED,
    VERDICT_VALID,
)
from proofmill.verification.v1.tx_pb2 import Commit, MsgVotes, Reveal

from chain.errors import (
    COMMIT_CHANGED,
    COMMIT_CLOSED,
    INVALID_ADDRESS,
    NOT_IN_COMMITTEE,
    PROVER_NOT_FOUND,
    REVEAL_CLOSED,
    REVEAL_EARLY,
    REVEAL_MISMATCH,
    TASK_NOT_FOUND,
    VOTE_INVALID,
    WRONG_ROUND,
)
from chain.verification.votes import vote_commitment
from tests.support.life import committee_of, deploy, make_commit, make_reveal, prove, run, salt_of, task_of, vote
from tests.support.network import ALICE, Network, make_tx, node_key, operator_key
from tests.support.refusals import entries, refuse, refuse_raw, reject, repeat, take


@pytest.fixture
def judged(network: Network) -> int:
    """A task whose committee of four has just been drawn."""
    task_id = run(network, ALICE, deploy(network))
    prove(network, task_id)
    return task_id


def commit_all(network: Network, task_id: int, members: list[int]) -> None:
    """A block of commits."""
    for index in members:
        network.send(node_key(index), make_commit(index, task_id, 1, VERDICT_VALID))
    for result in network.next_block():
        assert [entry.code for entry in entries(result)] == [0]


def test_basic(network: Network, judged: int) -> None:
    members = committee_of(network, judged)
    round_ = task_of(network, judged).rounds[0].round
    assert (round_.size, round_.drawn_height) == (4, network.height)
    # Ten seconds of the verifier and fifteen of the window.
    assert round_.commit_deadline_ms == network.time_ms + 25_000
    first = take(network, node_key(members[0]), make_commit(members[0], judged, 1, VERDICT_VALID))
    assert [event.type for event in first.events] == ["proofmill.verification.v1.EventVoteCommitted"]
    commit_all(network, judged, members[1:])
    answer = task_of(network, judged)
    assert answer.task.progress.status == TASK_STATUS_REVEALING
    assert answer.rounds[0].round.commits == 4
    assert answer.rounds[0].round.commit_closed_height == network.height
    assert answer.rounds[0].round.reveal_deadline_ms == network.time_ms + 5_000
    for index in members:
        take(network, node_key(index), make_reveal(index, judged, 1, VERDICT_VALID))
    answer = task_of(network, judged)
    assert answer.task.progress.status == TASK_STATUS_DECIDED
    assert answer.task.progress.verdict == VERDICT_VALID
    assert [v.verdict for v in answer.rounds[0].votes] == [VERDICT_VALID] * 4


def test_basic_commits_and_reveals_of_several_tasks_in_one_message(network: Network, judged: int) -> None:
    member = committee_of(network, judged)[0]
    message = make_commit(member, judged, 1, VERDICT_VALID)
    message.commits.append(Commit(task_id=99, round=1, commitment=bytes(32)))
    message.reveals.append(Reveal(task_id=judged, round=1, verdict=VERDICT_VALID, salt=salt_of(member, judged)))
    result = network.deliver(node_key(member), message)
    assert [entry.code for entry in entries(result)] == [0, TASK_NOT_FOUND.code, REVEAL_EARLY.code]


def test_basic_silent_members_are_not_waited_for_beyond_the_windows(network: Network, judged: int) -> None:
    members = committee_of(network, judged)
    commit_all(network, judged, members[:3])
    assert task_of(network, judged).task.progress.status == TASK_STATUS_COMMITTING
    network.next_block(after_ms=25_000)
    assert task_of(network, judged).task.progress.status == TASK_STATUS_COMMITTING
    network.next_block()
    assert task_of(network, judged).task.progress.status == TASK_STATUS_REVEALING
    for index in members[:2]:
        take(network, node_key(index), make_reveal(index, judged, 1, VERDICT_VALID))
    network.next_block(after_ms=5_000)
    network.next_block()
    answer = task_of(network, judged)
    # Two of four are no quorum: the next committee is drawn at once.
    assert answer.task.progress.status == TASK_STATUS_COMMITTING
    assert answer.task.progress.round == 2


def test_basic_a_late_block_still_takes_the_commits_that_waited(network: Network, judged: int) -> None:
    members = committee_of(network, judged)
    for index in members:
        network.send(node_key(index), make_commit(index, judged, 1, VERDICT_VALID))
    results = network.next_block(after_ms=3_600_000)
    assert [entry.code for result in results for entry in entries(result)] == [0] * 4
    for index in members:
        network.send(node_key(index), make_reveal(index, judged, 1, VERDICT_VALID))
    results = network.next_block(after_ms=3_600_000)
    assert [entry.code for result in results for entry in entries(result)] == [0] * 4
    assert task_of(network, judged).task.progress.verdict == VERDICT_VALID


def test_basic_nobody_commits(network: Network, judged: int) -> None:
    network.next_block(after_ms=25_000)
    network.next_block()
    progress = task_of(network, judged).task.progress
    assert (progress.round, progress.status) == (2, TASK_STATUS_COMMITTING)


def test_basic_nobody_commits_and_a_round_ends_without_a_quorum(network: Network, judged: int) -> None:
    for _ in range(2):
        network.next_block(after_ms=25_000)
    progress = task_of(network, judged).task.progress
    assert (progress.round, progress.status) == (2, TASK_STATUS_COMMITTING)
    # The round ended in the very block that drew the next committee, which is as large as there are members.
    assert len(committee_of(network, judged)) == 4


def test_basic_repeat(network: Network, judged: int) -> None:
    members = committee_of(network, judged)
    node = node_key(members[0])
    commit = make_commit(members[0], judged, 1, VERDICT_VALID)
    take(network, node, commit)
    repeat(network, node, commit)
    commit_all(network, judged, members[1:])
    repeat(network, node, commit)
    reveal = make_reveal(members[0], judged, 1, VERDICT_VALID)
    take(network, node, reveal)
    repeat(network, node, reveal)
    repeat(network, node, commit)
    for index in members[1:]:
        network.send(node_key(index), make_reveal(index, judged, 1, VERDICT_VALID))
    network.next_block()
    assert task_of(network, judged).task.progress.status == TASK_STATUS_DECIDED
    repeat(network, node, reveal)
    network.next_block()
    repeat(network, node, reveal)
    repeat(network, node, commit)


def test_invalid_commit_changed(network: Network, judged: int) -> None:
    member = committee_of(network, judged)[0]
    take(network, node_key(member), make_commit(member, judged, 1, VERDICT_VALID))
    reject(network, COMMIT_CHANGED, node_key(member), make_commit(member, judged, 1, VERDICT_INVALID))


def test_invalid_commit_too_late(network: Network, judged: int) -> None:
    members = committee_of(network, judged)
    commit_all(network, judged, members[:3])
    network.next_block(after_ms=25_000)
    network.next_block()
    reject(network, COMMIT_CLOSED, node_key(members[3]), make_commit(members[3], judged, 1, VERDICT_VALID))


def test_invalid_commit_in_an_earlier_round(network: Network, judged: int) -> None:
    member = committee_of(network, judged)[0]
    for _ in range(2):
        network.next_block(after_ms=25_000)
    assert task_of(network, judged).task.progress.round == 2
    reject(network, COMMIT_CLOSED, node_key(member), make_commit(member, judged, 1, VERDICT_VALID))


def test_invalid_commit_in_a_round_to_come(network: Network, judged: int) -> None:
    member = committee_of(network, judged)[0]
    for round_ in (0, 2, 2**32 - 1):
        reject(network, WRONG_ROUND, node_key(member), make_commit(member, judged, round_, VERDICT_VALID))


def test_invalid_before_there_is_a_committee(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    reject(network, WRONG_ROUND, node_key(0), make_commit(0, task_id, 1, VERDICT_VALID))


def test_invalid_voter_is_the_prover(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    index = prove(network, task_id)
    assert index not in committee_of(network, task_id)
    reject(network, NOT_IN_COMMITTEE, node_key(index), make_commit(index, task_id, 1, VERDICT_VALID))


def test_invalid_voter_is_a_stranger(network: Network, judged: int) -> None:
    message = MsgVotes(node=ALICE.address, commits=[Commit(task_id=judged, round=1, commitment=bytes(32))])
    refuse(network, PROVER_NOT_FOUND, ALICE, message)


def test_invalid_task_unknown(network: Network) -> None:
    reject(network, TASK_NOT_FOUND, node_key(0), make_commit(0, 7, 1, VERDICT_VALID))
    reject(network, TASK_NOT_FOUND, node_key(0), make_reveal(0, 7, 1, VERDICT_VALID))


def test_invalid_reveal_while_others_commit(network: Network, judged: int) -> None:
    member = committee_of(network, judged)[0]
    take(network, node_key(member), make_commit(member, judged, 1, VERDICT_VALID))
    reject(network, REVEAL_EARLY, node_key(member), make_reveal(member, judged, 1, VERDICT_VALID))


def test_invalid_reveal_in_the_block_of_the_last_commit(network: Network, judged: int) -> None:
    """Whoever builds that block could otherwise see the reveals before the last commits."""
    members = committee_of(network, judged)
    commit_all(network, judged, members[:3])
    network.send(node_key(members[3]), make_commit(members[3], judged, 1, VERDICT_VALID))
    network.send(node_key(members[0]), make_reveal(members[0], judged, 1, VERDICT_VALID))
    last, early = network.next_block()
    assert entries(last)[0].code == 0
    assert entries(early)[0].code == REVEAL_EARLY.code
    take(network, node_key(members[0]), make_reveal(members[0], judged, 1, VERDICT_VALID))


def test_invalid_reveal_too_late(network: Network, judged: int) -> None:
    members = committee_of(network, judged)
    commit_all(network, judged, members)
    network.next_block(after_ms=5_000)
    network.next_block()
    reject(network, REVEAL_CLOSED, node_key(members[0]), make_reveal(members[0], judged, 1, VERDICT_VALID))


def test_invalid_reveal_without_a_commit(network: Network, judged: int) -> None:
    members = committee_of(network, judged)
    commit_all(network, judged, members[:3])
    for _ in range(2):
        network.next_block(after_ms=25_000)
    reject(network, REVEAL_CLOSED, node_key(members[3]), make_reveal(members[3], judged, 1, VERDICT_VALID))


def test_invalid_reveal_of_another_verdict(network: Network, judged: int) -> None:
    members = committee_of(network, judged)
    commit_all(network, judged, members)
    reject(network, REVEAL_MISMATCH, node_key(members[0]), make_reveal(members[0], judged, 1, VERDICT_INVALID))
    wrong_salt = make_reveal(members[0], judged, 1, VERDICT_VALID)
    wrong_salt.reveals[0].salt = bytes(32)
    reject(network, REVEAL_MISMATCH, node_key(members[0]), wrong_salt)
    take(network, node_key(members[0]), make_reveal(members[0], judged, 1, VERDICT_VALID))
    reject(network, REVEAL_MISMATCH, node_key(members[0]), make_reveal(members[0], judged, 1, VERDICT_INVALID))


def test_a_copied_commitment_cannot_be_revealed(network: Network, judged: int) -> None:
    """The commitment names the voter: who copies it knows nothing that opens it."""
    members = committee_of(network, judged)
    copied = make_commit(members[0], judged, 1, VERDICT_VALID).commits[0]
    take(network, node_key(members[1]), MsgVotes(node=node_key(members[1]).address, commits=[copied]))
    commit_all(network, judged, [members[0], *members[2:]])
    take(network, node_key(members[0]), make_reveal(members[0], judged, 1, VERDICT_VALID))
    stolen = make_reveal(members[0], judged, 1, VERDICT_VALID)
    stolen.node = node_key(members[1]).address
    reject(network, REVEAL_MISMATCH, node_key(members[1]), stolen)


@pytest.mark.parametrize("verdict", [VERDICT_UNSPECIFIED, 4, -1])
def test_invalid_verdict(network: Network, verdict: int) -> None:
    message = MsgVotes(node=node_key(0).address, reveals=[Reveal(task_id=1, round=1, verdict=verdict, salt=bytes(32))])  # type: ignore[arg-type]
    refuse_raw(network, VOTE_INVALID, make_tx(node_key(0), [message], account_number=4, sequence=0))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_invalid_sizes(network: Network, size: int) -> None:
    for message in (
        MsgVotes(node=node_key(0).address, commits=[Commit(task_id=1, round=1, commitment=bytes(size))]),
        MsgVotes(
            node=node_key(0).address,
            reveals=[Reveal(task_id=1, round=1, verdict=VERDICT_VALID, salt=bytes(size))],
        ),
    ):
        refuse_raw(network, VOTE_INVALID, make_tx(node_key(0), [message], account_number=4, sequence=0))


@pytest.mark.parametrize("count", [0, 501])
def test_invalid_number_of_entries(network: Network, count: int) -> None:
    message = MsgVotes(
        node=node_key(0).address,
        commits=[Commit(task_id=1, round=1, commitment=bytes(32))] * count,
        reveals=[Reveal(task_id=1, round=1, verdict=VERDICT_VALID, salt=bytes(32))] * count,
    )
    refuse_raw(network, VOTE_INVALID, make_tx(node_key(0), [message], account_number=4, sequence=0))


def test_invalid_address(network: Network) -> None:
    message = MsgVotes(node="mill1", commits=[Commit(task_id=1, round=1, commitment=bytes(32))])
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))


def test_commitment_is_what_the_protocol_page_says() -> None:
    voter = operator_key(0).raw
    expected = hashlib.sha256(voter + bytes(7) + b"\x05" + bytes(3) + b"\x02" + b"\x01" + b"s" * 32).digest()
    assert vote_commitment(voter, 5, 2, VERDICT_VALID, b"s" * 32) == expected


@pytest.mark.parametrize("minority", [VERDICT_INVALID, VERDICT_INCONCLUSIVE])
def test_a_quorum_decides_whatever_the_others_say(network: Network, judged: int, minority: int) -> None:
    members = committee_of(network, judged)
    verdicts = dict.fromkeys(members, VERDICT_VALID) | {members[0]: minority}
    vote(network, judged, verdicts)  # type: ignore[arg-type]
    progress = task_of(network, judged).task.progress
    assert (progress.status, progress.verdict) == (TASK_STATUS_DECIDED, VERDICT_VALID)


def test_half_is_no_quorum(network: Network, judged: int) -> None:
    members = committee_of(network, judged)
    verdicts = dict.fromkeys(members, VERDICT_VALID) | dict.fromkeys(members[:2], VERDICT_INVALID)
    vote(network, judged, verdicts)
    assert task_of(network, judged).task.progress.status == TASK_STATUS_PROVED
