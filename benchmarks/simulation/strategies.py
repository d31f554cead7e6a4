"""Nodes that don't do what they should: each overrides the one decision that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from proofmill.task.v1.state_pb2 import VERDICT_INCONCLUSIVE, VERDICT_INVALID, VERDICT_VALID
from proofmill.task.v1.tx_pb2 import ProofEntry
from proofmill.verification.v1.tx_pb2 import Commit, Reveal

from benchmarks.simulation.agents import Node
from benchmarks.simulation.costs import VERIFYING_UMILL, test_cost
from chain import schema

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Proof, Verdict

    from benchmarks.simulation.world import Ballot, Job, World


class LazyVerifier(Node):
    """Always votes valid, never runs a verifier."""

    name = "lazy verifier"

    def run_verifier(self, _world: World, _ballot: Ballot) -> Verdict:
        self.saved_umill += VERIFYING_UMILL
        return VERDICT_VALID


class HidingVerifier(LazyVerifier):
    """Lazy, and doesn't reveal its vote if two blocks later more reveals say invalid: silence costs a fifth."""

    name = "lazy, hides a lost vote"

    def reveal(self, world: World, ballot: Ballot, verdict: Verdict, salt: bytes) -> None:
        world.after(2_000, lambda: self._decide(world, ballot, verdict, salt))

    def _decide(self, world: World, ballot: Ballot, verdict: Verdict, salt: bytes) -> None:
        if ballot.revealed.get("INVALID", 0) <= ballot.revealed.get("VALID", 0):
            super().reveal(world, ballot, verdict, salt)


class Abstainer(Node):
    """Always votes inconclusive, never runs a verifier: not rewarded, never slashed."""

    name = "abstainer"

    def run_verifier(self, _world: World, _ballot: Ballot) -> Verdict:
        self.saved_umill += VERIFYING_UMILL
        return VERDICT_INCONCLUSIVE


class CopycatVoter(Node):
    """Copies the first commitment that it sees, and later tries to open it with what its author revealed."""

    name = "copycat voter"

    def drawn(self, world: World, ballot: Ballot) -> None:
        self.saved_umill += VERIFYING_UMILL
        ballot.watchers.append(self)

    def saw_commit(self, world: World, ballot: Ballot, voter: str) -> None:
        ballot.watchers.remove(self)
        author = world.by_operator[voter]
        vote = schema.VOTES.require(world.engine.rows, (ballot.job.task_id, ballot.round, author.operator.raw))
        commit = Commit(task_id=ballot.job.task_id, round=ballot.round, commitment=vote.commitment)
        world.out(self.node).vote_commits.append(commit)
        world.after(1_000, lambda: self._watch(world, ballot, author, 0))

    def _watch(self, world: World, ballot: Ballot, author: Node, looks: int) -> None:
        """Wait until the author has revealed, then send the same."""
        if (ballot.job.task_id, ballot.round) not in world.ballots:
            return
        vote = schema.VOTES.require(world.engine.rows, (ballot.job.task_id, ballot.round, author.operator.raw))
        if vote.revealed_height and author in ballot.committed:
            verdict, salt = ballot.committed[author]
            reveal = Reveal(task_id=ballot.job.task_id, round=ballot.round, verdict=verdict, salt=salt)
            world.out(self.node).reveals.append(reveal)
        elif looks < 60:
            world.after(1_000, lambda: self._watch(world, ballot, author, looks + 1))


class Contrarian(Node):
    """Runs the verifier and votes for the opposite."""

    name = "contrarian"

    def run_verifier(self, world: World, ballot: Ballot) -> Verdict:
        honest = super().run_verifier(world, ballot)
        return VERDICT_INVALID if honest == VERDICT_VALID else VERDICT_VALID


class NoShow(Node):
    """Proves, and never votes."""

    name = "no-show"

    def drawn(self, _world: World, _ballot: Ballot) -> None:
        self.saved_umill += VERIFYING_UMILL


class SelectiveDecliner(Node):
    """Declines tasks that pay less than a large one, as often as it must."""

    name = "selective decliner"
    LEAST_UCREDIT: ClassVar[int] = 5_000

    def offered(self, world: World, job: Job) -> None:
        if job.fee // job.redundancy < self.LEAST_UCREDIT:
            self.decline(world, job)
        else:
            self.accept(world, job)


class CarefulDecliner(SelectiveDecliner):
    """Declines cheap tasks only while that costs no jail: one decline a week, two misses a day."""

    name = "careful decliner"

    def offered(self, world: World, job: Job) -> None:
        prover = schema.PROVERS.require(world.engine.rows, self.operator.raw)
        params, now = world.params, world.now
        declines = sum(time + params.decline_window_ms > now for time in prover.declines_ms)
        misses = sum(time + params.miss_window_ms > now for time in prover.misses_ms)
        if declines < params.decline_limit or misses + 1 < params.misses_to_jail:
            super().offered(world, job)
        else:
            self.accept(world, job)


class ProofCopycat(Node):
    """Where several provers do a task, it computes nothing, waits for the first proof and sends the same."""

    name = "proof copycat"

    def accepted(self, world: World, job: Job) -> None:
        if job.redundancy == 1:
            super().accepted(world, job)
        else:
            self.saved_umill += self.proving_cost(world, job)

    def saw_proof(self, world: World, job: Job) -> None:
        proof = self._copy(world, job)
        self.publish(world, job, proof)
        # The reveal as well, in case that the commitment counts.
        world.out(self.node).proofs.append(ProofEntry(task_id=job.task_id, proof=proof, salt=self.salt(job.task_id, 0)))

    def _copy(self, world: World, job: Job) -> Proof:
        proof = world.publish_truth(job, self, valid=True)
        proof.sha256 = job.first_proof
        return proof


class Pool(Node):
    """One owner's nodes share: one run of a verifier for a whole committee, one proof for all slots of a task."""

    name = "siblings that share"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.shared: dict[tuple[int, int], bool] = {}

    def run_verifier(self, world: World, ballot: Ballot) -> Verdict:
        verdict = super().run_verifier(world, ballot)
        if self._is_known(world, ballot.job.task_id, ballot.round):
            self.verifying_umill -= VERIFYING_UMILL
            self.saved_umill += VERIFYING_UMILL
        return verdict

    def proving_cost(self, world: World, job: Job) -> int:
        cost = super().proving_cost(world, job)
        if job.redundancy == 1 or not self._is_known(world, job.task_id, 0):
            return cost
        self.saved_umill += cost
        return 0

    def _is_known(self, world: World, task_id: int, number: int) -> bool:
        """Whether a sibling has already done the work; if not, this node does it."""
        first = next(node for node in world.nodes if isinstance(node, Pool))
        known = (task_id, number) in first.shared
        first.shared[task_id, number] = True
        return known


class SlowProver(Node):
    """Misses one deadline in ten."""

    name = "slow prover"
    LATE_PERCENT: ClassVar[int] = 10

    def finish(self, world: World, job: Job) -> None:
        if self.dice.randrange(100) >= self.LATE_PERCENT:
            super().finish(world, job)


class HalfCapacity(Node):
    """Has half of what it claims: what doesn't fit beside its running work is never finished, nor is any test."""

    name = "half-capacity prover"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._running: dict[int, int] = {}

    def accepted(self, world: World, job: Job) -> None:
        self._running = {
            task: mc for task, mc in self._running.items() if (task, self.operator.address) in world.working
        }
        self._running[job.task_id] = job.resources.cpu_millis
        if sum(self._running.values()) <= self.size.cores * 500:
            super().accepted(world, job)
        else:
            del self._running[job.task_id]

    def tested(self, world: World, job: Job, kind: str) -> None:
        """It works in vain for the time of the test."""
        self.testing_umill += test_cost(world.params, self.size.resources) // 2


class RentingHalfCapacity(HalfCapacity):
    """The same, but rents the rest for the tests that it asks for itself, which begin when it wants them to."""

    name = "half-capacity, rents for tests"

    def tested(self, world: World, job: Job, kind: str) -> None:
        if kind == "UNJAIL":
            self.pass_test(world, job)
        else:
            super().tested(world, job, kind)


STRATEGIES: Final[tuple[type[Node], ...]] = (
    LazyVerifier,
    HidingVerifier,
    Abstainer,
    CopycatVoter,
    Contrarian,
    NoShow,
    SelectiveDecliner,
    CarefulDecliner,
    ProofCopycat,
    Pool,
    SlowProver,
    HalfCapacity,
    RentingHalfCapacity,
)
