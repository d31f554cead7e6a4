"""Moves a task one step on, as its prover and its committee would."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from proofmill.task.v1.state_pb2 import (
    TASK_STATUS_COMMITTING,
    TASK_STATUS_OFFERED,
    TASK_STATUS_REVEALING,
    TASK_STATUS_RUNNING,
    TASK_STATUS_UNSPECIFIED,
    VERDICT_VALID,
    Proof,
    Usage,
    Verdict,
)
from proofmill.task.v1.tx_pb2 import MsgAcceptTasks, MsgSubmitProofs, ProofEntry

from chain import schema
from client.life import FINAL_STATUSES
from tests.support.life import committee_of, make_commit, make_reveal, prover_of
from tests.support.network import node_key

if TYPE_CHECKING:
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
    """Makes one block, with what the nodes owe at the task's present status."""
    with node.lock:
        network = node.network
        progress = schema.PROGRESS.get(network.values, task_id)
        status = progress.status if progress else TASK_STATUS_UNSPECIFIED
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
