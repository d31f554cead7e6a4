"""proofmill.task.v1.MsgCommitProofs, and revealing what was committed to (protocol §6.4)."""

from __future__ import annotations

import pytest
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_COMMITTED,
    ASSIGNMENT_STATUS_OFFERED,
    ASSIGNMENT_STATUS_PROVED,
    ASSIGNMENT_STATUS_SUPERSEDED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    TASK_STATUS_COMMITTING,
    TASK_STATUS_PROVED,
    TASK_STATUS_RUNNING,
)
from proofmill.task.v1.tx_pb2 import MsgCommitProofs, ProofCommit

from chain import schema
from chain.errors import (
    DEADLINE_PASSED,
    INVALID_ADDRESS,
    INVALID_REQUEST,
    NOT_ASSIGNED,
    PROOF_COMMIT_CHANGED,
    PROOF_EARLY,
    PROOF_INVALID,
    PROOF_MISMATCH,
    PROOF_UNCOMMITTED,
    PROVER_NOT_FOUND,
    SUPERSEDED,
    TASK_INVALID,
    TASK_NOT_FOUND,
)
from chain.invariants import check_invariants
from tests.support.life import (
    accept,
    accept_all,
    assigned,
    deploy,
    digest_of,
    make_proof,
    make_proof_commit,
    make_proof_reveal,
    make_run,
    run,
    task_of,
)
from tests.support.network import ALICE, Network, make_genesis, make_tx, node_key
from tests.support.refusals import entries, refuse, refuse_raw, reject, repeat, take


@pytest.fixture
def network() -> Network:
    return Network.start(make_genesis(9))


@pytest.fixture
def three(network: Network) -> list[int]:
    """The provers of task 1, which all three accepted."""
    message = make_run(ALICE, deploy(network))
    message.redundancy = 3
    network.execute(ALICE, message)
    network.next_block()
    return accept_all(network, 1)


def test_basic(network: Network, three: list[int]) -> None:
    first, second, third = three
    for index in (first, second):
        result = take(network, node_key(index), make_proof_commit(index, 1))
        assert [event.type.rpartition(".")[2] for event in result.events] == ["EventProofCommitted"]
    assert sorted(assigned(network, 1, ASSIGNMENT_STATUS_COMMITTED)) == sorted([first, second])
    assert task_of(network, 1).task.progress.status == TASK_STATUS_RUNNING
    take(network, node_key(first), make_proof_reveal(first, 1))
    # The third hadn't committed when the first proof was revealed: it is free, and nobody blames it.
    assert assigned(network, 1, ASSIGNMENT_STATUS_SUPERSEDED) == [third]
    assert not schema.PROVERS.require(network.values, prover_key(network, third)).used.ListFields()
    assert task_of(network, 1).task.progress.status == TASK_STATUS_RUNNING
    take(network, node_key(second), make_proof_reveal(second, 1))
    assert task_of(network, 1).task.progress.status == TASK_STATUS_PROVED
    network.next_block()
    answer = task_of(network, 1)
    assert answer.task.progress.status == TASK_STATUS_COMMITTING
    # A committee for each proof, and none of the provers in any.
    assert len(answer.rounds) == 2
    assert {view.round.prover for view in answer.rounds} == {
        row.prover for row in answer.assignments if row.status == ASSIGNMENT_STATUS_PROVED
    }
    drawn = {row.prover for row in answer.assignments}
    assert not drawn & {vote.voter for view in answer.rounds for vote in view.votes}
    check_invariants(network.values)


def prover_key(network: Network, index: int) -> bytes:
    operator = schema.PROVERS_BY_NODE.require(network.values, node_key(index).raw)
    assert operator is not None
    return operator


def test_basic_repeat(network: Network, three: list[int]) -> None:
    index = three[0]
    take(network, node_key(index), make_proof_commit(index, 1))
    repeat(network, node_key(index), make_proof_commit(index, 1))
    take(network, node_key(index), make_proof_reveal(index, 1))
    repeat(network, node_key(index), make_proof_commit(index, 1))
    repeat(network, node_key(index), make_proof_reveal(index, 1))


def test_basic_one_stale_entry_fails_no_other(network: Network, three: list[int]) -> None:
    message = make_proof_commit(three[0], 1)
    message.entries.add(task_id=77, commitment=bytes(32))
    result = network.deliver(node_key(three[0]), message)
    assert [entry.code for entry in entries(result)] == [0, TASK_NOT_FOUND.code]
    assert assigned(network, 1, ASSIGNMENT_STATUS_COMMITTED) == [three[0]]


def test_invalid_not_needed(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    index = accept(network, task_id)
    reject(network, TASK_INVALID, node_key(index), make_proof_commit(index, task_id))


def test_invalid_another_commitment(network: Network, three: list[int]) -> None:
    index = three[0]
    take(network, node_key(index), make_proof_commit(index, 1))
    reject(network, PROOF_COMMIT_CHANGED, node_key(index), make_proof_commit(index, 1, bytes(32)))


def test_invalid_reveal_without_commitment(network: Network, three: list[int]) -> None:
    reject(network, PROOF_UNCOMMITTED, node_key(three[0]), make_proof_reveal(three[0], 1))


def test_invalid_reveal_in_the_block_of_the_commitment(network: Network, three: list[int]) -> None:
    index = three[0]
    network.send(node_key(index), make_proof_commit(index, 1), make_proof_reveal(index, 1))
    (result,) = network.next_block()
    assert [entry.code for entry in entries(result)] == [0, PROOF_EARLY.code]
    take(network, node_key(index), make_proof_reveal(index, 1))


def test_invalid_copy(network: Network, three: list[int]) -> None:
    """Who committed to nothing, or blindly, can't reveal the proof of another."""
    first, second, third = three
    take(network, node_key(first), make_proof_commit(first, 1))
    take(network, node_key(second), make_proof_commit(second, 1, b"\x01" * 32))
    take(network, node_key(first), make_proof_reveal(first, 1))
    reject(network, PROOF_MISMATCH, node_key(second), make_proof_reveal(second, 1, digest_of(first)))
    reject(network, SUPERSEDED, node_key(third), make_proof_commit(third, 1, digest_of(first)))
    reject(network, SUPERSEDED, node_key(third), make_proof_reveal(third, 1, digest_of(first)))


def test_invalid_salt_of_another(network: Network, three: list[int]) -> None:
    index = three[0]
    take(network, node_key(index), make_proof_commit(index, 1))
    reject(network, PROOF_MISMATCH, node_key(index), make_proof(node_key(index), 1, digest_of(index)))


def test_invalid_reveal_after_its_window(network: Network, three: list[int]) -> None:
    first, second, _ = three
    for index in (first, second):
        take(network, node_key(index), make_proof_commit(index, 1))
    # Nobody has revealed: both have their whole time, and may restart in between.
    network.next_block(after_ms=6_000)
    network.next_block()
    take(network, node_key(first), make_proof_reveal(first, 1))
    network.next_block(after_ms=5_000)
    network.next_block()
    assert assigned(network, 1, ASSIGNMENT_STATUS_TIMED_OUT) == [second]
    reject(network, DEADLINE_PASSED, node_key(second), make_proof_reveal(second, 1))
    check_invariants(network.values)


def test_basic_who_commits_late_still_has_the_window(network: Network, three: list[int]) -> None:
    """A commitment in the last moment before the deadline isn't worthless."""
    index = three[0]
    network.next_block(after_ms=39_000)
    take(network, node_key(index), make_proof_commit(index, 1))
    network.next_block(after_ms=3_000)
    network.next_block()
    assert sorted(assigned(network, 1, ASSIGNMENT_STATUS_TIMED_OUT)) == sorted(three[1:])
    take(network, node_key(index), make_proof_reveal(index, 1))
    assert task_of(network, 1).task.progress.status == TASK_STATUS_PROVED


def test_invalid_not_accepted(network: Network) -> None:
    message = make_run(ALICE, deploy(network))
    message.redundancy = 2
    network.execute(ALICE, message)
    network.next_block()
    index = assigned(network, 1, ASSIGNMENT_STATUS_OFFERED)[0]
    reject(network, NOT_ASSIGNED, node_key(index), make_proof_commit(index, 1))


def test_invalid_not_assigned(network: Network, three: list[int]) -> None:
    other = next(index for index in range(9) if index not in three)
    reject(network, NOT_ASSIGNED, node_key(other), make_proof_commit(other, 1))


def test_invalid_stranger(network: Network, three: list[int]) -> None:
    message = MsgCommitProofs(node=ALICE.address, entries=[ProofCommit(task_id=1, commitment=bytes(32))])
    refuse(network, PROVER_NOT_FOUND, ALICE, message)


@pytest.mark.parametrize("commitment", [b"", bytes(31), bytes(33)], ids=len)
def test_invalid_commitment(network: Network, commitment: bytes) -> None:
    message = MsgCommitProofs(node=node_key(0).address, entries=[ProofCommit(task_id=1, commitment=commitment)])
    refuse_raw(network, PROOF_INVALID, make_tx(node_key(0), [message], account_number=4, sequence=0))


@pytest.mark.parametrize("count", [0, 1_001])
def test_invalid_count(network: Network, count: int) -> None:
    entry = ProofCommit(task_id=1, commitment=bytes(32))
    message = MsgCommitProofs(node=node_key(0).address, entries=[entry] * count)
    refuse_raw(network, INVALID_REQUEST, make_tx(node_key(0), [message], account_number=4, sequence=0))


def test_invalid_address(network: Network) -> None:
    message = MsgCommitProofs(node="mill1", entries=[ProofCommit(task_id=1, commitment=bytes(32))])
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))


@pytest.mark.parametrize("size", [1, 31, 33])
def test_invalid_salt(network: Network, size: int) -> None:
    message = make_proof(node_key(0), 1, salt=bytes(size))
    refuse_raw(network, PROOF_INVALID, make_tx(node_key(0), [message], account_number=4, sequence=0))
