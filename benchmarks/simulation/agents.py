"""An honest node: what the prover daemon does, decision by decision. Strategies override single decisions."""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING, ClassVar

from proofmill.prover.v1.state_pb2 import PROVER_STATUS_JAILED
from proofmill.prover.v1.tx_pb2 import MsgRequestTest, MsgTopUpBond
from proofmill.task.v1.state_pb2 import FAILURE_REASON_EXIT_CODE, Verdict
from proofmill.task.v1.tx_pb2 import Decline, MsgReportFailure, ProofCommit, ProofEntry
from proofmill.verification.v1.tx_pb2 import Commit, Reveal

from benchmarks.simulation.costs import VERIFYING_UMILL, test_cost
from chain import schema
from chain.task.proof_handlers import proof_commitment
from chain.verification.votes import vote_commitment

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Proof

    from benchmarks.simulation.engine import Wallet
    from benchmarks.simulation.population import Size
    from benchmarks.simulation.world import Ballot, Job, World

# Of a capacity test of 20 s.
_TEST_MS = 12_000


class Node:
    """A prover node and its operator: does all its work, tops its bond up, and comes back from jail."""

    name: ClassVar[str] = "honest"

    def __init__(self, index: int, operator: Wallet, node: Wallet, size: Size, bond: int, seed: int) -> None:
        self.index = index
        self.operator = operator
        self.node = node
        self.size = size
        self.bond = bond
        self.dice = Random(f"{seed} {index}")
        # Of its proofs, in ten thousand; a careless node's aren't all good.
        self.invalid_bp = 0
        self.proving_umill = self.verifying_umill = self.testing_umill = 0
        # Work that it should have done and didn't.
        self.saved_umill = 0
        self.topped_up_umill = 0
        self.offers = self.assigned = self.seats = self.tests = self.tests_failed = self.jails = 0
        self.jailed_since = self.jailed_ms = 0
        # umill by PayoutKind, and (times, umill) by kind of slash.
        self.income: dict[int, int] = {}
        self.slashes: dict[str, tuple[int, int]] = {}
        self._proofs: dict[int, tuple[Proof, bytes]] = {}
        # Containers: (begun, run time, cost) by task.
        self._runs: dict[int, tuple[int, int, int]] = {}
        self._returning = False

    # Proving.

    def offered(self, world: World, job: Job) -> None:
        self.accept(world, job)

    def accept(self, world: World, job: Job) -> None:
        world.out(self.node).accepts.append(job.task_id)

    def decline(self, world: World, job: Job) -> None:
        world.out(self.node).declines.append(Decline(task_id=job.task_id, reason="busy"))

    def accepted(self, world: World, job: Job) -> None:
        self.start_work(world, job)

    def start_work(self, world: World, job: Job) -> None:
        """Run the prover container."""
        run_ms, cost = world.program_of(job).run_ms(self, job), self.proving_cost(world, job)
        self._runs[job.task_id] = world.now, run_ms, cost
        world.after(run_ms, lambda: self.finish(world, job))

    def proving_cost(self, world: World, job: Job) -> int:
        """umill of a whole run."""
        return world.program_of(job).proving_cost(job)

    def stopped(self, world: World, job: Job) -> None:
        """The assignment ended before the container did: what it has cost by now is lost."""
        start_ms, run_ms, cost = self._runs.pop(job.task_id, (world.now, 1, 0))
        self.proving_umill += cost * min(run_ms, world.now - start_ms) // run_ms

    def finish(self, world: World, job: Job) -> None:
        if job.task_id not in self._runs:
            return
        self.proving_umill += self._runs.pop(job.task_id)[2]
        if not world.program_of(job).works(self, job):
            self.report_failure(world, job)
            return
        valid = self.dice.randrange(10_000) >= self.invalid_bp
        self.publish(world, job, world.publish_truth(job, self, valid=valid))

    def report_failure(self, world: World, job: Job) -> None:
        message = MsgReportFailure(node=self.node.address, task_id=job.task_id, reason=FAILURE_REASON_EXIT_CODE)
        world.out(self.node).others.append([message])

    def publish(self, world: World, job: Job, proof: Proof) -> None:
        """Submit a proof, after a commitment where somebody could copy it."""
        if job.redundancy == 1 and not job.fallback:
            world.out(self.node).proofs.append(ProofEntry(task_id=job.task_id, proof=proof))
            return
        salt = self.salt(job.task_id, 0)
        self._proofs[job.task_id] = proof, salt
        commitment = proof_commitment(self.operator.raw, proof.sha256, salt)
        world.out(self.node).proof_commits.append(ProofCommit(task_id=job.task_id, commitment=commitment))

    def proof_committed(self, world: World, job: Job) -> None:
        proof, salt = self._proofs.pop(job.task_id)
        world.out(self.node).proofs.append(ProofEntry(task_id=job.task_id, proof=proof, salt=salt))

    def saw_proof(self, world: World, job: Job) -> None:
        """Somebody else was first to reveal a proof of a task that this node works on."""

    # Voting.

    def drawn(self, world: World, ballot: Ballot) -> None:
        self.commit(world, ballot, self.run_verifier(world, ballot))

    def run_verifier(self, world: World, ballot: Ballot) -> Verdict:
        self.verifying_umill += VERIFYING_UMILL
        return world.program_of(ballot.job).verdict(self, ballot)

    def commit(self, world: World, ballot: Ballot, verdict: Verdict) -> None:
        task_id, number = ballot.job.task_id, ballot.round
        salt = self.salt(task_id, number)
        commitment = vote_commitment(self.operator.raw, task_id, number, verdict, salt)
        ballot.committed[self] = verdict, salt
        world.out(self.node).vote_commits.append(Commit(task_id=task_id, round=number, commitment=commitment))

    def saw_commit(self, world: World, ballot: Ballot, voter: str) -> None:
        """Only watchers of a ballot are told."""

    def reveal(self, world: World, ballot: Ballot, verdict: Verdict, salt: bytes) -> None:
        """The commit window has closed."""
        reveal = Reveal(task_id=ballot.job.task_id, round=ballot.round, verdict=verdict, salt=salt)
        world.out(self.node).reveals.append(reveal)

    def salt(self, task_id: int, number: int) -> bytes:
        return hashlib.sha256(b"%d %d %d" % (self.index, task_id, number)).digest()

    # Capacity tests, jail and bond.

    def tested(self, world: World, job: Job, _kind: str) -> None:
        self.pass_test(world, job)

    def pass_test(self, world: World, job: Job) -> None:
        self.testing_umill += test_cost(world.params, self.size.resources)
        proof = world.publish_truth(job, self, valid=True)
        entry = ProofEntry(task_id=job.task_id, proof=proof)
        world.after(_TEST_MS, lambda: world.out(self.node).proofs.append(entry))

    def jailed(self, world: World) -> None:
        self._come_back(world)

    def test_over(self, world: World) -> None:
        self._come_back(world)

    def _come_back(self, world: World) -> None:
        """Ask for a test as soon as one may be asked for, if still jailed, with the bond it began with."""
        if self._returning:
            return
        prover = schema.PROVERS.require(world.engine.rows, self.operator.raw)
        if prover.status != PROVER_STATUS_JAILED:
            return
        self._returning = True
        retry_ms = prover.test_ended_ms + world.params.test_retry_ms if prover.test_ended_ms else 0
        world.after(max(0, retry_ms - world.now), lambda: self._ask_for_test(world))

    def _ask_for_test(self, world: World) -> None:
        self._returning = False
        prover = schema.PROVERS.require(world.engine.rows, self.operator.raw)
        if prover.status != PROVER_STATUS_JAILED:
            return
        if prover.bond < world.params.prover_bond_min:
            amount = self.bond - prover.bond
            self.topped_up_umill += amount
            top_up = MsgTopUpBond(operator=self.operator.address, amount=amount)
            world.out(self.operator).others.append([top_up])
        if not (prover.test_due or prover.test_task_id):
            world.out(self.node).others.append([MsgRequestTest(node=self.node.address)])
