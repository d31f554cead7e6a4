"""Moves a task one step on, as its provers and its committees would."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_ACCEPTED,
    ASSIGNMENT_STATUS_COMMITTED,
    ASSIGNMENT_STATUS_OFFERED,
    VERDICT_VALID,
    Assignment,
    Proof,
    Usage,
    Verdict,
)
from proofmill.task.v1.tx_pb2 import MsgAcceptTasks, MsgCommitProofs, MsgSubmitProofs, ProofCommit, ProofEntry
from proofmill.verification.v1.state_pb2 import ROUND_PHASE_COMMITTING, ROUND_PHASE_REVEALING

from chain import schema
from chain.task.proof_handlers import proof_commitment
from client.life import FINAL_STATUSES
from tests.support.life import index_of, make_commit, make_reveal, salt_of, task_of
from tests.support.network import node_key, operator_key

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from tests.support.memory_node import MemoryNode


# The discard port: nobody listens there.
NOWHERE = "http://127.0.0.1:9/proof.tar"


def is_final(node: MemoryNode, task_id: int) -> bool:
    """Whether the task is there and has ended."""
    with node.lock:
        progress = schema.PROGRESS.get(node.network.values, task_id)
    return progress is not None and progress.status in FINAL_STATUSES


def step(
    node: MemoryNode, task_id: int, *, bundle: bytes = b"proof", url: str = NOWHERE, verdict: Verdict = VERDICT_VALID
) -> None:
    """Makes one block, with what the nodes owe to the task now."""
    with node.lock:
        network = node.network
        if schema.TASKS.has(network.values, task_id):
            answer = task_of(network, task_id)
            proof = Proof(
                sha256=hashlib.sha256(bundle).digest(),
                size=len(bundle),
                urls=[url],
                usage=Usage(wall_ms=400, cpu_ms=700, peak_memory_bytes=50_000_000),
            )
            for assignment in answer.assignments:
                message = _next_message(assignment, proof)
                if message is not None:
                    network.send(node_key(index_of(assignment.prover)), message)
            for view in answer.rounds:
                for vote in view.votes:
                    index, round_ = index_of(vote.voter), view.round
                    if round_.phase == ROUND_PHASE_COMMITTING and not vote.committed_height:
                        network.send(node_key(index), make_commit(index, task_id, round_.round, verdict))
                    elif round_.phase == ROUND_PHASE_REVEALING and not vote.revealed_height:
                        network.send(node_key(index), make_reveal(index, task_id, round_.round, verdict))
        node.commit()


def _next_message(assignment: Assignment, proof: Proof) -> Message | None:
    """What a prover does about an assignment in this block."""
    index, task_id = index_of(assignment.prover), assignment.task_id
    node = node_key(index).address
    if assignment.status == ASSIGNMENT_STATUS_OFFERED:
        return MsgAcceptTasks(node=node, task_ids=[task_id])
    if assignment.status == ASSIGNMENT_STATUS_ACCEPTED and assignment.commit_first:
        commitment = proof_commitment(operator_key(index).raw, proof.sha256, salt_of(index, task_id))
        return MsgCommitProofs(node=node, entries=[ProofCommit(task_id=task_id, commitment=commitment)])
    if assignment.status in (ASSIGNMENT_STATUS_ACCEPTED, ASSIGNMENT_STATUS_COMMITTED):
        salt = salt_of(index, task_id) if assignment.commit_first else b""
        return MsgSubmitProofs(node=node, entries=[ProofEntry(task_id=task_id, proof=proof, salt=salt)])
    return None
