"""The steps of a task's life, as the nodes would take them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from proofmill.program.v1.state_pb2 import Image, ProgramSpec
from proofmill.program.v1.tx_pb2 import MsgDeployProgram, MsgDeployProgramResponse
from proofmill.task.v1.query_pb2 import QueryTaskRequest, QueryTaskResponse
from proofmill.task.v1.state_pb2 import Input, Proof, Usage, Verdict
from proofmill.task.v1.tx_pb2 import MsgAcceptTasks, MsgRunTask, MsgRunTaskResponse, MsgSubmitProofs, ProofEntry
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, Resources
from proofmill.verification.v1.tx_pb2 import Commit, MsgVotes, Reveal

from chain.params import GIB
from chain.verification.votes import vote_commitment
from tests.support.network import DEPLOYER, node_key, operator_key

if TYPE_CHECKING:
    from tests.support.network import Key, Network

PROOF_SHA256 = hashlib.sha256(b"proof").digest()


def make_spec(name: str = "groth16") -> ProgramSpec:
    return ProgramSpec(
        name=name,
        version="1.0.0",
        prover=Image(urls=["http://127.0.0.1:8600/prover.tar"], sha256=hashlib.sha256(b"prover").digest(), bytes=9_000),
        verifier=Image(
            urls=["http://127.0.0.1:8600/verifier.tar"], sha256=hashlib.sha256(b"verifier").digest(), bytes=5_000
        ),
        default_resources=Resources(cpu_millis=1_000, memory_bytes=2 * GIB),
        max_resources=Resources(cpu_millis=4_000, memory_bytes=8 * GIB),
        verifier_resources=Resources(cpu_millis=1_000, memory_bytes=GIB),
        verifier_time_limit_s=10,
    )


def deploy(network: Network, spec: ProgramSpec | None = None) -> bytes:
    """Deploy a program; its id."""
    (response,) = network.execute(DEPLOYER, MsgDeployProgram(deployer=DEPLOYER.address, spec=spec or make_spec()))
    return MsgDeployProgramResponse.FromString(response).program_id


def make_run(user: Key, program_id: bytes) -> MsgRunTask:
    public = b'{"rounds": 50}'
    return MsgRunTask(
        user=user.address,
        program_id=program_id,
        inputs=[
            Input(
                name="public.json",
                sha256=hashlib.sha256(public).digest(),
                size=len(public),
                inline=public,
                audience=AUDIENCE_BOTH,
            )
        ],
        time_limit_s=10,
        redundancy=1,
        max_fee=1_000,
        queue_timeout_s=60,
    )


def run(network: Network, user: Key, program_id: bytes) -> int:
    """Send a run transaction; the task's id."""
    (response,) = network.execute(user, make_run(user, program_id))
    return MsgRunTaskResponse.FromString(response).task_id


def task_of(network: Network, task_id: int) -> QueryTaskResponse:
    answer: QueryTaskResponse = network.query(
        "/proofmill.task.v1.Query/Task", QueryTaskRequest(task_id=task_id), QueryTaskResponse
    )
    return answer


def index_of(operator: str) -> int:
    """Which of the test provers an operator's address belongs to."""
    return next(index for index in range(10_000) if operator_key(index).address == operator)


def prover_of(network: Network, task_id: int) -> int:
    return index_of(task_of(network, task_id).task.progress.prover)


def accept(network: Network, task_id: int) -> int:
    """The drawn prover accepts; its index."""
    index = prover_of(network, task_id)
    network.execute(node_key(index), MsgAcceptTasks(node=node_key(index).address, task_ids=[task_id]))
    return index


def make_proof(node: Key, task_id: int, digest: bytes = PROOF_SHA256) -> MsgSubmitProofs:
    proof = Proof(
        sha256=digest,
        size=1_234,
        urls=["http://127.0.0.1:8700/blobs/00"],
        usage=Usage(wall_ms=400, cpu_ms=700, peak_memory_bytes=50_000_000),
    )
    return MsgSubmitProofs(node=node.address, entries=[ProofEntry(task_id=task_id, proof=proof)])


def prove(network: Network, task_id: int) -> int:
    """From the run transaction's block to the committee's: offered, accepted, proved, drawn. The prover's index."""
    network.next_block()
    index = accept(network, task_id)
    network.execute(node_key(index), make_proof(node_key(index), task_id))
    network.next_block()
    return index


def salt_of(index: int, task_id: int) -> bytes:
    return hashlib.sha256(f"salt {index} {task_id}".encode()).digest()


def committee_of(network: Network, task_id: int) -> list[int]:
    """Indexes of the current round's members."""
    return [index_of(vote.voter) for vote in task_of(network, task_id).rounds[-1].votes]


def make_commit(index: int, task_id: int, round_: int, verdict: Verdict) -> MsgVotes:
    commitment = vote_commitment(operator_key(index).raw, task_id, round_, verdict, salt_of(index, task_id))
    return MsgVotes(
        node=node_key(index).address, commits=[Commit(task_id=task_id, round=round_, commitment=commitment)]
    )


def make_reveal(index: int, task_id: int, round_: int, verdict: Verdict) -> MsgVotes:
    reveal = Reveal(task_id=task_id, round=round_, verdict=verdict, salt=salt_of(index, task_id))
    return MsgVotes(node=node_key(index).address, reveals=[reveal])


def vote(network: Network, task_id: int, verdicts: dict[int, Verdict], round_: int = 1) -> None:
    """A block of commits and a block of reveals; all of them must be taken."""
    for make in (make_commit, make_reveal):
        for index, verdict in verdicts.items():
            network.send(node_key(index), make(index, task_id, round_, verdict))
        for result in network.next_block():
            assert result.code == 0, result.log
            assert not [event for event in result.events if event.type.endswith("EventEntryRejected")], result.events
