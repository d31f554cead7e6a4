"""The steps of a task's life, as the nodes would take them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from proofmill.program.v1.state_pb2 import Image, ProgramSpec
from proofmill.program.v1.tx_pb2 import MsgDeployProgram, MsgDeployProgramResponse
from proofmill.task.v1.query_pb2 import QueryTaskRequest, QueryTaskResponse
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_OFFERED,
    FAILURE_REASON_EXIT_CODE,
    AssignmentStatus,
    Input,
    Proof,
    Usage,
    Verdict,
)
from proofmill.task.v1.tx_pb2 import (
    MsgAcceptTasks,
    MsgCommitProofs,
    MsgReportFailure,
    MsgRunTask,
    MsgRunTaskResponse,
    MsgSubmitProofs,
    ProofCommit,
    ProofEntry,
)
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, Resources
from proofmill.verification.v1.tx_pb2 import Commit, MsgVotes, Reveal

from chain.params import GIB
from chain.program.ids import program_id
from chain.task.proof_handlers import proof_commitment
from chain.verification.votes import vote_commitment
from tests.support.network import DEPLOYER, make_genesis, node_key, operator_key

if TYPE_CHECKING:
    from proofmill.genesis.v1.genesis_pb2 import Genesis
    from proofmill.params.v1.state_pb2 import Params

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


def make_test_genesis(provers: int = 5, params: Params | None = None) -> Genesis:
    """With a capacity program, so that provers are tested."""
    genesis = make_genesis(provers, params)
    genesis.programs.append(make_spec("capacity"))
    genesis.params.capacity_program = program_id(make_spec("capacity"))
    return genesis


def deploy(network: Network, spec: ProgramSpec | None = None) -> bytes:
    """Deploy a program; its id."""
    (response,) = network.execute(DEPLOYER, MsgDeployProgram(deployer=DEPLOYER.address, spec=spec or make_spec()))
    return MsgDeployProgramResponse.FromString(response).program_id


def make_run(user: Key, program: bytes) -> MsgRunTask:
    public = b'{"rounds": 50}'
    return MsgRunTask(
        user=user.address,
        program_id=program,
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


def run(network: Network, user: Key, program: bytes) -> int:
    """Send a run transaction; the task's id."""
    (response,) = network.execute(user, make_run(user, program))
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


def make_proof(node: Key, task_id: int, digest: bytes = PROOF_SHA256, salt: bytes = b"") -> MsgSubmitProofs:
    proof = Proof(
        sha256=digest,
        size=1_234,
        urls=["http://127.0.0.1:8700/blobs/00"],
        usage=Usage(wall_ms=400, cpu_ms=700, peak_memory_bytes=50_000_000),
    )
    return MsgSubmitProofs(node=node.address, entries=[ProofEntry(task_id=task_id, proof=proof, salt=salt)])


def digest_of(index: int) -> bytes:
    """A proof of one prover's own."""
    return hashlib.sha256(f"proof of {index}".encode()).digest()


def make_proof_commit(index: int, task_id: int, digest: bytes | None = None) -> MsgCommitProofs:
    commitment = proof_commitment(operator_key(index).raw, digest or digest_of(index), salt_of(index, task_id))
    return MsgCommitProofs(node=node_key(index).address, entries=[ProofCommit(task_id=task_id, commitment=commitment)])


def make_proof_reveal(index: int, task_id: int, digest: bytes | None = None) -> MsgSubmitProofs:
    return make_proof(node_key(index), task_id, digest or digest_of(index), salt_of(index, task_id))


def assigned(network: Network, task_id: int, status: AssignmentStatus) -> list[int]:
    """Indexes of the provers whose assignment to the task has this status."""
    return [index_of(row.prover) for row in task_of(network, task_id).assignments if row.status == status]


def accept_all(network: Network, task_id: int) -> list[int]:
    """Everybody who holds an offer accepts it; their indexes."""
    indexes = assigned(network, task_id, ASSIGNMENT_STATUS_OFFERED)
    for index in indexes:
        network.send(node_key(index), MsgAcceptTasks(node=node_key(index).address, task_ids=[task_id]))
    network.next_block()
    return indexes


def fail_first(network: Network, task_id: int) -> int:
    """The first prover accepts and reports that the program exited; the fallback is offered. The first's index."""
    network.next_block()
    first = accept(network, task_id)
    node = node_key(first)
    network.execute(node, MsgReportFailure(node=node.address, task_id=task_id, reason=FAILURE_REASON_EXIT_CODE))
    network.next_block()
    return first


def prove_fallback(network: Network, task_id: int) -> int:
    """The fallback accepts, commits and reveals, and its committee is drawn. Its index."""
    index = accept(network, task_id)
    network.execute(node_key(index), make_proof_commit(index, task_id))
    network.execute(node_key(index), make_proof_reveal(index, task_id))
    network.next_block()
    return index


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
