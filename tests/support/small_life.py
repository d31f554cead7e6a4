"""Moves a task one step on, as its prover and its committee would."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from proofmill.task.v1.state_pb2 import (
    TASK_STATUS_COMMITTING,
    TASK_STATUS_OFFERED,
    TASK_STATUS_REVEALING,
    TASK_STATUS_RUNNING,
    VERDICT_VALID,
    Proof,
    Usage,
    Verdict,
)
from proofmill.task.v1.tx_pb2 import MsgAcceptTasks, MsgSubmitProofs, ProofEntry

from tests.support.life import committee_of, make_commit, make_reveal, prover_of, task_of
from tests.support.network import node_key

if TYPE_CHECKING:
    from tests.support.memory_node import MemoryNode


# The discard port: nobody listens there.
NOWHERE = "http://127.0.0.1:9/proof.tar"


def step(
    node: MemoryNode, task_id: int, *, bundle: bytes = b"proof", url: str = NOWHERE, verdict: Verdict = VERDICT_VALID
) -> None:
    """Makes one block, with what the nodes owe at the task's present status."""
    network = node.network
    status = task_of(network, task_id).task.progress.status
    if status == TASK_STATUS_OFFERED:
        prover = node_key(prover_of(network, task_id))
        network.send(prover, MsgAcceptTasks(node=prover.address, task_ids=[task_id]))
    elif status == TASK_STATUS_RUNNING:
        prover = node_key(prover_of(network, task_id))
        proof = Proof(
            sha256=hashlib.sha256(bundle).digest(),
            size=len(bundle),
            urls=[url],
            usage=Usage(wall_ms=400, cpu_ms=700, peak_memory_bytes=50_000_000),
        )
        entry = ProofEntry(task_id=task_id, proof=proof)
        network.send(prover, MsgSubmitProofs(node=prover.address, entries=[entry]))
    elif status in (TASK_STATUS_COMMITTING, TASK_STATUS_REVEALING):
        make = make_commit if status == TASK_STATUS_COMMITTING else make_reveal
        for index in committee_of(network, task_id):
            network.send(node_key(index), make(index, task_id, 1, verdict))
    node.commit()
