"""Tests, commitments, votes and standings as the real state machine tells of them and takes them."""

from __future__ import annotations

import asyncio
import hashlib
import json

from proofmill.prover.v1.tx_pb2 import MsgRegisterProver
from proofmill.types.v1.types_pb2 import Resources as ResourcesMessage

from chain.params import GIB
from prover_node.chain_link import ChainLink
from prover_node.duties import FileKind, ProofRecord, Usage
from prover_node.effects import AcceptTask, CommitProof, Entry, RequestTest, SubmitProof
from prover_node.events import DutiesReported, TxFailed
from prover_node.messages import Rejection
from prover_node.proof_commitments import ProofCommitments
from prover_node.submitter import Submitter
from tests.support.http_node import HttpNode
from tests.support.life import PROOF_SHA256, accept, deploy, make_proof, make_run, make_test_genesis, run
from tests.support.memory_node import MemoryNode
from tests.support.network import ALICE, BOB, CHAIN_ID, MILL, Key, Network, make_genesis, node_key, operator_key

PROOF = ProofRecord("ab" * 32, 2048, Usage(1, 2, 3))


class Node:
    """A chain of its own blocks, and what one prover asks and sends."""

    def __init__(self, network: Network, operator: Key, node: Key) -> None:
        self.memory = MemoryNode(network)
        self.operator, self.node = operator, node
        self.failed: list[TxFailed] = []
        self.refused: list[Rejection] = []

    async def duties(self) -> DutiesReported:
        with HttpNode(self.memory) as server:
            link = self._link(server)
            duties = await link.duties()
            await link.close()
        return duties

    async def send(self, *entries: Entry) -> None:
        """One transaction, in a block when this returns."""

        async def report(event: TxFailed) -> None:
            self.failed.append(event)

        with HttpNode(self.memory) as server:
            link = self._link(server)
            submitter = Submitter(link, self.node.address, ["http://prover"], report, self.refused.append)
            sending = asyncio.create_task(submitter.run())
            for entry in entries:
                submitter.add(entry)
            async with asyncio.timeout(30):
                while not submitter.sent + submitter.failed:  # noqa: ASYNC110 - counters are all there is
                    await asyncio.sleep(0.01)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await link.close()

    def _link(self, server: HttpNode) -> ChainLink:
        return ChainLink((server.url,), CHAIN_ID, self.operator.address, self.node)


async def test_a_proof_that_could_be_copied_is_committed_to_and_then_revealed() -> None:
    network = Network.start(make_genesis(2))
    message = make_run(ALICE, deploy(network))
    message.redundancy, message.max_fee = 2, 10_000
    network.execute(ALICE, message)
    prover = Node(network, operator_key(0), node_key(0))
    commitments = ProofCommitments((b"k" * 32,), CHAIN_ID, operator_key(0).raw)
    prover.memory.commit()
    await prover.send(AcceptTask(1))
    (duty,) = (await prover.duties()).assignments
    assert (duty.accepted, duty.commit_first, duty.commitment) == (True, True, b"")
    assert duty.transfer_ms >= 30_000

    commitment = commitments.commitment(1, PROOF)
    await prover.send(CommitProof(1, commitment))
    (duty,) = (await prover.duties()).assignments
    assert (duty.accepted, duty.commitment) == (True, commitment)

    await prover.send(SubmitProof(1, PROOF, commitments.salt(1)))
    assert (await prover.duties()).assignments == ()
    assert prover.failed == []
    assert prover.refused == []


async def test_a_salt_that_does_not_open_the_commitment_is_told_back_with_the_chains_reason() -> None:
    network = Network.start(make_genesis(2))
    message = make_run(ALICE, deploy(network))
    message.redundancy, message.max_fee = 2, 10_000
    network.execute(ALICE, message)
    prover = Node(network, operator_key(0), node_key(0))
    commitments = ProofCommitments((b"k" * 32,), CHAIN_ID, operator_key(0).raw)
    prover.memory.commit()
    await prover.send(AcceptTask(1))
    await prover.send(CommitProof(1, commitments.commitment(1, PROOF)))
    await prover.send(SubmitProof(1, PROOF, commitments.salt(2)))
    (refused,) = prover.refused
    assert "aren't those that were committed to" in refused.log


async def test_a_joining_prover_finds_its_test_accepted_with_the_challenge() -> None:
    network = Network.start(make_test_genesis(1))
    claim = ResourcesMessage(cpu_millis=2000, memory_bytes=4 * GIB)
    network.execute(
        ALICE,
        MsgRegisterProver(
            operator=ALICE.address, node=BOB.address, resources=claim, endpoints=["http://prover"], bond=1500 * MILL
        ),
    )
    network.next_block()
    (duty,) = (await Node(network, ALICE, BOB).duties()).assignments
    assert (duty.is_test, duty.accepted, duty.transfer_ms) == (True, True, 0)
    assert (duty.spec.resources.cpu_millis, duty.spec.time_limit_s) == (2000, 20)
    (challenge,) = duty.spec.files
    assert (challenge.kind, challenge.name) == (FileKind.INPUT, "challenge.json")
    assert challenge.inline is not None
    assert hashlib.sha256(challenge.inline).hexdigest() == challenge.sha256
    assert json.loads(challenge.inline)["prover"] == ALICE.address


async def test_a_request_for_a_test_that_is_not_needed_is_told_back() -> None:
    prover = Node(Network.start(make_test_genesis(1)), operator_key(0), node_key(0))
    await prover.send(RequestTest())
    assert prover.failed == [TxFailed((RequestTest().ref,))]


async def test_a_seat_names_the_proof_that_it_judges() -> None:
    network = Network.start(make_genesis(2))
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    drawn = accept(network, task_id)
    network.execute(node_key(drawn), make_proof(node_key(drawn), task_id))
    network.next_block()
    voter = 1 - drawn
    (seat,) = (await Node(network, operator_key(voter), node_key(voter)).duties()).votes
    assert (seat.task_id, seat.round, seat.commit_closed, seat.revealed) == (task_id, 1, False, False)
    proof = seat.spec.files[-1]
    assert (proof.kind, proof.sha256) == (FileKind.PROOF, PROOF_SHA256.hex())
    assert len(proof.urls) == 2


async def test_the_standing_says_what_decisions_depend_on() -> None:
    network = Network.start(make_test_genesis(1))
    with HttpNode(MemoryNode(network)) as server:
        link = ChainLink((server.url,), CHAIN_ID, operator_key(0).address, node_key(0))
        standing = await link.standing()
        await link.close()
    assert (standing.status, standing.declines_left, standing.misses) == ("active", 1, 0)
    assert (standing.bond, standing.bond_min) == (2000 * MILL, 1000 * MILL)
    assert (standing.test_result, standing.may_request_test_ms) == ("", 0)
