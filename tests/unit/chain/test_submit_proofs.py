"""proofmill.task.v1.MsgSubmitProofs."""

from __future__ import annotations

from typing import Any

import pytest
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_PROVED,
    FAILURE_REASON_EXIT_CODE,
    TASK_STATUS_COMMITTING,
    TASK_STATUS_PROVED,
    Proof,
)
from proofmill.task.v1.tx_pb2 import MsgAcceptTasks, MsgReportFailure, MsgSubmitProofs, ProofEntry

from chain import schema
from chain.errors import (
    ALREADY_PROVED,
    DEADLINE_PASSED,
    INVALID_ADDRESS,
    INVALID_REQUEST,
    NOT_ASSIGNED,
    OFFER_CLOSED,
    PROOF_INVALID,
    PROVER_NOT_FOUND,
    TASK_NOT_FOUND,
)
from tests.support.life import PROOF_SHA256, accept, deploy, make_proof, prover_of, run, task_of
from tests.support.network import ALICE, Network, make_tx, node_key, operator_key
from tests.support.refusals import entries, refuse, refuse_raw, reject, repeat, take


@pytest.fixture
def running(network: Network) -> int:
    """A task that its prover has accepted."""
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    accept(network, task_id)
    return task_id


def test_basic(network: Network, running: int) -> None:
    index = prover_of(network, running)
    result = take(network, node_key(index), make_proof(node_key(index), running))
    assert [event.type for event in result.events] == ["proofmill.task.v1.EventTaskProved"]
    assert dict(result.events[0].attributes)["proof_sha256"] == PROOF_SHA256.hex()
    answer = task_of(network, running)
    progress = answer.task.progress
    assert progress.status == TASK_STATUS_PROVED
    assert progress.proof.sha256 == PROOF_SHA256
    assert (progress.proved_height, progress.proved_ms) == (network.height, network.time_ms)
    assert answer.assignments[0].status == ASSIGNMENT_STATUS_PROVED
    # Its resources are free from this moment on.
    assert not schema.PROVERS.require(network.values, operator_key(index).raw).used.ListFields()
    network.next_block()
    assert task_of(network, running).task.progress.status == TASK_STATUS_COMMITTING


def test_basic_accept_and_proof_in_one_transaction(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    node = node_key(prover_of(network, task_id))
    network.execute(node, MsgAcceptTasks(node=node.address, task_ids=[task_id]), make_proof(node, task_id))
    assert task_of(network, task_id).task.progress.status == TASK_STATUS_PROVED


def test_basic_in_the_block_that_follows_the_deadline(network: Network, running: int) -> None:
    """However long the chain stood still, there is a block in which waiting transactions still count."""
    node = node_key(prover_of(network, running))
    network.send(node, make_proof(node, running))
    (result,) = network.next_block(after_ms=3_600_000)
    assert [entry.code for entry in entries(result)] == [0]


def test_basic_repeat(network: Network, running: int) -> None:
    node = node_key(prover_of(network, running))
    take(network, node, make_proof(node, running))
    repeat(network, node, make_proof(node, running))
    for _ in range(60):
        network.next_block()
    repeat(network, node, make_proof(node, running))


def test_invalid_another_proof(network: Network, running: int) -> None:
    node = node_key(prover_of(network, running))
    take(network, node, make_proof(node, running))
    reject(network, ALREADY_PROVED, node, make_proof(node, running, bytes(32)))
    assert task_of(network, running).task.progress.proof.sha256 == PROOF_SHA256


def test_invalid_deadline_passed(network: Network, running: int) -> None:
    node = node_key(prover_of(network, running))
    network.next_block(after_ms=40_000)
    network.next_block()
    reject(network, DEADLINE_PASSED, node, make_proof(node, running))


def test_invalid_not_accepted_yet(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    node = node_key(prover_of(network, task_id))
    reject(network, NOT_ASSIGNED, node, make_proof(node, task_id))


def test_invalid_not_assigned(network: Network, running: int) -> None:
    other = node_key((prover_of(network, running) + 1) % 5)
    reject(network, NOT_ASSIGNED, other, make_proof(other, running))


def test_invalid_after_a_reported_failure(network: Network, running: int) -> None:
    node = node_key(prover_of(network, running))
    network.execute(node, MsgReportFailure(node=node.address, task_id=running, reason=FAILURE_REASON_EXIT_CODE))
    reject(network, OFFER_CLOSED, node, make_proof(node, running))


def test_invalid_task_unknown(network: Network) -> None:
    reject(network, TASK_NOT_FOUND, node_key(0), make_proof(node_key(0), 9))


def test_invalid_too_large(network: Network, running: int) -> None:
    node = node_key(prover_of(network, running))
    message = make_proof(node, running)
    for size in (schema.PARAMS.require(network.values).blob_max_bytes + 1, 2**64 - 1):
        message.entries[0].proof.size = size
        reject(network, PROOF_INVALID, node, message)


def test_invalid_stranger(network: Network, running: int) -> None:
    refuse(network, PROVER_NOT_FOUND, ALICE, make_proof(ALICE, running))


BAD: dict[str, dict[str, Any]] = {
    "no hash": {"sha256": b""},
    "short hash": {"sha256": bytes(31)},
    "no URL": {"urls": []},
    "nine URLs": {"urls": ["https://host/x"] * 9},
    "bad URL": {"urls": ["ftp://host/x"]},
    "no size": {"size": 0},
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_proof(network: Network, name: str) -> None:
    fields: dict[str, Any] = {"sha256": bytes(32), "size": 1, "urls": ["https://host/x"]}
    message = MsgSubmitProofs(
        node=node_key(0).address, entries=[ProofEntry(task_id=1, proof=Proof(**fields | BAD[name]))]
    )
    refuse_raw(network, PROOF_INVALID, make_tx(node_key(0), [message], account_number=4, sequence=0))


def test_invalid_without_a_proof(network: Network) -> None:
    message = MsgSubmitProofs(node=node_key(0).address, entries=[ProofEntry(task_id=1)])
    refuse_raw(network, PROOF_INVALID, make_tx(node_key(0), [message], account_number=4, sequence=0))


@pytest.mark.parametrize("count", [0, 1_001])
def test_invalid_number_of_entries(network: Network, count: int) -> None:
    message = MsgSubmitProofs(node=node_key(0).address, entries=list(make_proof(node_key(0), 1).entries) * count)
    refuse_raw(network, INVALID_REQUEST, make_tx(node_key(0), [message], account_number=4, sequence=0))


def test_invalid_address(network: Network) -> None:
    message = MsgSubmitProofs(node="mill1", entries=make_proof(node_key(0), 1).entries)
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))
