"""The simulated world: nodes react to the events of a block with transactions for the next ones."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from proofmill.prover.v1.event_pb2 import (
    EventProverActivated,
    EventProverJailed,
    EventProverSlashed,
    EventTestEnded,
    EventTestIssued,
)
from proofmill.task.v1.event_pb2 import (
    EventAssignmentEnded,
    EventEntryRejected,
    EventFallback,
    EventProofCommitted,
    EventTaskAccepted,
    EventTaskCreated,
    EventTaskEnded,
    EventTaskOffered,
    EventTaskProved,
)
from proofmill.task.v1.state_pb2 import VERDICT_INVALID, VERDICT_VALID, Proof, Usage, Verdict
from proofmill.task.v1.tx_pb2 import (
    MsgAcceptTasks,
    MsgCommitProofs,
    MsgDeclineTasks,
    MsgSubmitProofs,
)
from proofmill.verification.v1.event_pb2 import (
    EventCommitClosed,
    EventCommitteeDrawn,
    EventVerdict,
    EventVoteCommitted,
    EventVoteRevealed,
)
from proofmill.verification.v1.tx_pb2 import MsgVotes

from benchmarks.simulation.costs import proving_cost
from benchmarks.simulation.engine import Send
from chain import schema
from chain.address import decode_address
from chain.state.overlay import Overlay

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message
    from proofmill.types.v1.types_pb2 import Resources

    from benchmarks.simulation.agents import Node
    from benchmarks.simulation.demand import Demand
    from benchmarks.simulation.engine import Engine, Wallet

# Blocks after which the rows of an ended task are counted and dropped. Nothing on chain reads them again; a message
# that comes later still is refused either way.
_KEEP_BLOCKS = 8


@dataclass(slots=True)
class Job:
    """A task, as everybody sees it."""

    task_id: int
    user: str
    program: bytes
    resources: Resources
    time_limit_s: int
    fee: int
    redundancy: int
    test: bool
    created_height: int
    offered_height: int = 0
    fallback: bool = False
    # Hash of the first revealed proof of this attempt.
    first_proof: bytes = b""
    # What each prover's proof is worth, which honest verifiers find out.
    truths: dict[str, Verdict] = field(default_factory=dict)


@dataclass(slots=True)
class Ballot:
    """A committee's vote on a proof. `truth` is what the verifier says on an honest machine."""

    job: Job
    round: int
    judged: str
    truth: Verdict
    # Who committed to what: (verdict, salt).
    committed: dict[Node, tuple[Verdict, bytes]] = field(default_factory=dict)
    # What has been revealed so far.
    revealed: dict[str, int] = field(default_factory=dict)
    watchers: list[Node] = field(default_factory=list)


class Program:
    """How a program behaves; this one is honest."""

    def works(self, _node: Node, _job: Job) -> bool:
        """Whether its prover comes to an end on that node."""
        return True

    def run_ms(self, node: Node, job: Job) -> int:
        """How long its prover takes there: 30 to 90 % of the time limit."""
        return job.time_limit_s * (300 + node.dice.randrange(600))

    def proving_cost(self, job: Job) -> int:
        """What a whole run of its prover costs, in umill."""
        return proving_cost(job.fee, job.redundancy)

    def verdict(self, _node: Node, ballot: Ballot) -> Verdict:
        """What its verifier says on that node."""
        return ballot.truth


@dataclass(slots=True)
class Outgoing:
    """What one wallet sends with the next block: all batches in one transaction."""

    wallet: Wallet
    accepts: list[int] = field(default_factory=list)
    declines: list[Any] = field(default_factory=list)
    proof_commits: list[Any] = field(default_factory=list)
    proofs: list[Any] = field(default_factory=list)
    vote_commits: list[Any] = field(default_factory=list)
    reveals: list[Any] = field(default_factory=list)
    # Transactions of their own.
    others: list[list[Message]] = field(default_factory=list)

    def sends(self) -> list[Send]:
        node, batch = self.wallet.address, list[Any]()
        if self.accepts:
            batch.append(MsgAcceptTasks(node=node, task_ids=self.accepts))
        if self.declines:
            batch.append(MsgDeclineTasks(node=node, entries=self.declines))
        if self.proof_commits:
            batch.append(MsgCommitProofs(node=node, entries=self.proof_commits))
        if self.proofs:
            batch.append(MsgSubmitProofs(node=node, entries=self.proofs))
        if self.vote_commits or self.reveals:
            batch.append(MsgVotes(node=node, commits=self.vote_commits, reveals=self.reveals))
        sends: list[Send] = []
        for messages in [batch, *self.others] if batch else self.others:
            send = Send(self.wallet, messages)
            duties = all(spec.duties(message) for spec, message in send.specs)
            free = duties and not any(other.free for other in sends)
            sends.append(Send(self.wallet, messages, free))
        return sends


class World:
    """An engine, its nodes, and what is going to happen."""

    def __init__(self, engine: Engine, nodes: list[Node], demand: Demand | None, *, archive: bool = True) -> None:
        self.engine = engine
        self.nodes = nodes
        self.by_operator = {node.operator.address: node for node in nodes}
        self.demand = demand
        self.jobs: dict[int, Job] = {}
        self.programs: dict[bytes, Program] = {}
        self.honest_program = Program()
        self.ballots: dict[tuple[int, int], Ballot] = {}
        # (task, operator) of accepted assignments that are still open.
        self.working: set[tuple[int, str]] = set()
        self.params = schema.PARAMS.require(engine.rows)
        self.figures = Figures()
        # Somebody else who wants to see all events of a block.
        self.listeners: list[Callable[[list[Message]], None]] = []
        self._archive = archive
        self._outbox: dict[str, Outgoing] = {}
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._ended: list[tuple[int, int]] = []
        self._busy = True
        self._handlers: dict[type[Message], Callable[[Any], None]] = {
            EventTaskCreated: self._created,
            EventTaskOffered: self._offered,
            EventTaskAccepted: self._accepted,
            EventProofCommitted: self._proof_committed,
            EventTaskProved: self._proved,
            EventAssignmentEnded: self._assignment_ended,
            EventFallback: self._fallback,
            EventCommitteeDrawn: self._drawn,
            EventVoteCommitted: self._vote_committed,
            EventCommitClosed: self._commits_closed,
            EventVoteRevealed: self._vote_revealed,
            EventVerdict: self._verdict,
            EventTaskEnded: self._task_ended,
            EventTestIssued: self._test_issued,
            EventTestEnded: self._test_ended,
            EventProverJailed: self._jailed,
            EventProverActivated: self._activated,
            EventProverSlashed: self._slashed,
            EventEntryRejected: self._rejected,
        }

    @property
    def now(self) -> int:
        return self.engine.time_ms

    def after(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Do something so much later."""
        self._count += 1
        heapq.heappush(self._agenda, (self.now + delay_ms, self._count, act))

    def out(self, wallet: Wallet) -> Outgoing:
        """What a wallet will send with the next block."""
        outgoing = self._outbox.get(wallet.address)
        if outgoing is None:
            outgoing = self._outbox[wallet.address] = Outgoing(wallet)
        return outgoing

    def step(self, after_ms: int, block_hash: bytes | None = None) -> list[Message]:
        """A block, and what everybody makes of it."""
        if self.demand is not None:
            for user, messages in self.demand.draw(self.now, after_ms).items():
                self.out(user).others.append(list(messages))
        # What was refused because one of its duties was over is sent again, and paid for.
        sends = [Send(send.wallet, send.messages) for send in self.engine.refused]
        self.figures.refused += len(sends)
        sends += [send for outgoing in self._outbox.values() for send in outgoing.sends()]
        self._outbox = {}
        self.figures.txs += len(sends)
        events = self.engine.block(after_ms, sends, block_hash)
        for event in events:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)
        for listener in self.listeners:
            listener(events)
        while self._agenda and self._agenda[0][0] <= self.now:
            heapq.heappop(self._agenda)[2]()
        self._busy = bool(events or self._outbox or self.engine.refused)
        if self._archive:
            self._drop_ended()
        return events

    def run(self, until_ms: int, *, idle_ms: int = 15_000) -> None:
        """Blocks of a second while something happens; the next one after at most `idle_ms` if nothing does."""
        while self.now < until_ms:
            wait = 1_000
            if not self._busy:
                due = self._agenda[0][0] - self.now if self._agenda else idle_ms
                wait = max(1_000, min(idle_ms, due))
            self.step(wait)

    # What the events mean.

    def program_of(self, job: Job) -> Program:
        return self.programs.get(job.program, self.honest_program)

    def _created(self, event: EventTaskCreated) -> None:
        self._know(event.task_id)
        self.figures.created += 1

    def _know(self, task_id: int) -> Job:
        task = schema.TASKS.require(self.engine.rows, task_id)
        job = self.jobs[task_id] = Job(
            task_id,
            task.user,
            task.program_id,
            task.resources,
            task.time_limit_s,
            task.fee,
            task.redundancy,
            bool(task.test),
            self.engine.height,
        )
        return job

    def _offered(self, event: EventTaskOffered) -> None:
        job, node = self.jobs[event.task_id], self.by_operator[event.prover]
        node.offers += 1
        if not job.offered_height:
            job.offered_height = self.engine.height
            waited = self.engine.height - job.created_height
            self.figures.waits[waited] = self.figures.waits.get(waited, 0) + 1
        node.offered(self, job)

    def _accepted(self, event: EventTaskAccepted) -> None:
        self.working.add((event.task_id, event.prover))
        node = self.by_operator[event.prover]
        node.assigned += 1
        node.accepted(self, self.jobs[event.task_id])

    def _proof_committed(self, event: EventProofCommitted) -> None:
        self.by_operator[event.prover].proof_committed(self, self.jobs[event.task_id])

    def _proved(self, event: EventTaskProved) -> None:
        self.working.discard((event.task_id, event.prover))
        job = self.jobs[event.task_id]
        self.figures.proofs += not job.test
        self.figures.bad_proofs += not job.test and job.truths[event.prover] == VERDICT_INVALID
        if not job.first_proof:
            job.first_proof = event.proof_sha256
            for task_id, operator in [key for key in self.working if key[0] == event.task_id]:
                self.by_operator[operator].saw_proof(self, self.jobs[task_id])

    def _assignment_ended(self, event: EventAssignmentEnded) -> None:
        self.working.discard((event.task_id, event.prover))
        self.by_operator[event.prover].stopped(self, self.jobs[event.task_id])
        self.figures.endings[event.status] = self.figures.endings.get(event.status, 0) + 1

    def _fallback(self, event: EventFallback) -> None:
        job = self.jobs[event.task_id]
        job.fallback = True
        job.first_proof = b""
        self.figures.fallbacks += 1

    def _drawn(self, event: EventCommitteeDrawn) -> None:
        job = self.jobs[event.task_id]
        round_ = schema.ROUNDS.require(self.engine.rows, (event.task_id, event.round))
        ballot = Ballot(job, event.round, round_.prover, job.truths[round_.prover])
        self.ballots[event.task_id, event.round] = ballot
        self.figures.rounds += 1
        for member in event.members:
            node = self.by_operator[member]
            node.seats += 1
            node.drawn(self, ballot)

    def _vote_committed(self, event: EventVoteCommitted) -> None:
        ballot = self.ballots[event.task_id, event.round]
        for node in list(ballot.watchers):
            node.saw_commit(self, ballot, event.voter)

    def _commits_closed(self, event: EventCommitClosed) -> None:
        ballot = self.ballots[event.task_id, event.round]
        for node, (verdict, salt) in ballot.committed.items():
            node.reveal(self, ballot, verdict, salt)

    def _vote_revealed(self, event: EventVoteRevealed) -> None:
        revealed = self.ballots[event.task_id, event.round].revealed
        revealed[event.verdict] = revealed.get(event.verdict, 0) + 1

    def _verdict(self, event: EventVerdict) -> None:
        ballot = self.ballots.pop((event.task_id, event.round))
        if not ballot.job.test:
            key = (Verdict.Name(ballot.truth).removeprefix("VERDICT_"), event.verdict)
            self.figures.verdicts[key] = self.figures.verdicts.get(key, 0) + 1

    def _task_ended(self, event: EventTaskEnded) -> None:
        job = self.jobs[event.task_id]
        if not job.test:
            for payout in schema.PROGRESS.require(self.engine.rows, event.task_id).payouts:
                node = self.by_operator.get(payout.recipient)
                if node is not None and payout.umill:
                    node.income[payout.kind] = node.income.get(payout.kind, 0) + payout.umill
        ends = self.figures.test_ends if job.test else self.figures.ends
        ends[event.status] = ends.get(event.status, 0) + 1
        self._ended.append((self.engine.height + _KEEP_BLOCKS, event.task_id))

    def _test_issued(self, event: EventTestIssued) -> None:
        job = self._know(event.task_id)
        node = self.by_operator[event.operator]
        self.working.add((event.task_id, event.operator))
        node.tests += 1
        self.figures.tests[event.kind] = self.figures.tests.get(event.kind, 0) + 1
        node.tested(self, job, event.kind)

    def _test_ended(self, event: EventTestEnded) -> None:
        self.working.discard((event.task_id, event.operator))
        node = self.by_operator[event.operator]
        node.tests_failed += event.result == "FAILED"
        node.test_over(self)

    def _jailed(self, event: EventProverJailed) -> None:
        node = self.by_operator[event.operator]
        node.jailed_since = self.now
        node.jails += 1
        node.jailed(self)

    def _activated(self, event: EventProverActivated) -> None:
        node = self.by_operator[event.operator]
        if node.jailed_since:
            node.jailed_ms += self.now - node.jailed_since
            node.jailed_since = 0

    def _slashed(self, event: EventProverSlashed) -> None:
        slashes = self.by_operator[event.operator].slashes
        count, umill = slashes.get(event.kind, (0, 0))
        slashes[event.kind] = count + 1, umill + event.umill

    def _rejected(self, event: EventEntryRejected) -> None:
        key = (event.codespace, event.code)
        self.figures.rejected[key] = self.figures.rejected.get(key, 0) + 1

    # What nodes publish.

    def publish_truth(self, job: Job, node: Node, *, valid: bool) -> Proof:
        """A proof bundle of a node, good or bad; what it is worth is known to honest verifiers only."""
        job.truths[node.operator.address] = VERDICT_VALID if valid else VERDICT_INVALID
        digest = hashlib.sha256(f"{job.task_id} {valid}".encode()).digest()
        return Proof(sha256=digest, size=1_234, urls=["http://127.0.0.1:1/blob"], usage=Usage(wall_ms=400))

    def _drop_ended(self) -> None:
        """Count the bytes of what ended a while ago, and forget it."""
        due = [task_id for height, task_id in self._ended if height <= self.engine.height]
        if not due:
            return
        self._ended = self._ended[len(due) :]
        rows = self.engine.rows
        overlay = Overlay(rows)
        for task_id in due:
            job = self.jobs.pop(task_id)
            sizes = self.figures.test_bytes if job.test else self.figures.task_bytes
            start = task_id.to_bytes(8, "big")
            for name, collection in _PER_TASK:
                low = collection.prefix + start
                found = list(rows.iterate(low, low + b"\xff" * 40))
                sizes[name] = sizes.get(name, 0) + sum(len(key) + len(value) for key, value in found)
                for key, _ in found:
                    overlay.delete(key)
            if job.user:
                key = schema.TASKS_BY_USER.prefix + decode_address(job.user) + start
                sizes["index"] = sizes.get("index", 0) + len(key) + 1
                overlay.delete(key)
            self.figures.dropped_tests += job.test
            self.figures.dropped_tasks += not job.test
        rows.commit(overlay.writes)


_PER_TASK = (
    ("task", schema.TASKS),
    ("progress", schema.PROGRESS),
    ("assignments", schema.ASSIGNMENTS),
    ("rounds", schema.ROUNDS),
    ("votes", schema.VOTES),
)


@dataclass(slots=True)
class Figures:
    """What was counted on the way."""

    created: int = 0
    txs: int = 0
    refused: int = 0
    proofs: int = 0
    bad_proofs: int = 0
    rounds: int = 0
    fallbacks: int = 0
    # Blocks from run to first offer: how many tasks waited so long.
    waits: dict[int, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    test_ends: dict[str, int] = field(default_factory=dict)
    endings: dict[str, int] = field(default_factory=dict)
    tests: dict[str, int] = field(default_factory=dict)
    rejected: dict[tuple[str, int], int] = field(default_factory=dict)
    # (what honest verifiers would say, what the committee said): rounds.
    verdicts: dict[tuple[str, str], int] = field(default_factory=dict)
    task_bytes: dict[str, int] = field(default_factory=dict)
    test_bytes: dict[str, int] = field(default_factory=dict)
    dropped_tasks: int = 0
    dropped_tests: int = 0
