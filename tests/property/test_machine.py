"""The prover's machine in any order of events: lagging reports, lost transactions, stale answers, crashes.

Hypothesis plays the chain, the interpreter and fate. What must hold whatever happens: no job runs twice at once,
nothing that was finished and journalled is run again, a vote is never cast in two ways, nothing is sent before it is
on disk, no proof that could be copied is revealed before its commitment is on chain, resources are never promised
twice, not even while a cancelled container is still dying, and in the end every duty is done.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chain.task.proof_handlers import proof_commitment
from chain.verification.votes import vote_commitment
from prover_node.ballots import Ballots
from prover_node.duties import (
    ContainerSpec,
    FailureReason,
    FileKind,
    FileRef,
    JobKey,
    ProofRecord,
    ProveDuty,
    Resources,
    Role,
    Usage,
    Verdict,
    VoteDuty,
)
from prover_node.effects import (
    AcceptTask,
    Cancel,
    CommitProof,
    CommitVote,
    DeclineTask,
    Effect,
    Entry,
    EntryRef,
    FetchFiles,
    Forget,
    Inquire,
    Journal,
    PackProof,
    Prefetch,
    ReportFailure,
    RequestTest,
    RevealVote,
    RunJob,
    SubmitProof,
    Warn,
)
from prover_node.events import (
    Draining,
    DutiesReported,
    Event,
    Fetched,
    FetchFailed,
    JobBroken,
    NodeKeyRotated,
    PackFailed,
    ProofStored,
    ProofUnusable,
    Restarted,
    RunFinished,
    StandingReported,
    Stopped,
    TxFailed,
)
from prover_node.journal_entries import (
    AssignmentEnded,
    JournalEntry,
    ProofMade,
    VerdictReached,
    VoteEnded,
    WorkFailed,
)
from prover_node.machine import Machine, MachineConfig
from prover_node.proof_commitments import ProofCommitments
from prover_node.runner.base import Outcome, Reason
from prover_node.transfers import UNMEASURED, Transfers
from tests.support.prover_duties import standing

CAPACITY = Resources(4000, 1 << 30)
PARALLEL = 2
BLOCK_MS = 1000
CHAIN, OPERATOR = "test-1", bytes(20)
IMAGE = FileRef(FileKind.IMAGE, "", "1" * 64, 10)
PROOF_FILE = FileRef(FileKind.PROOF, "", "2" * 64, 10)

outcomes = st.builds(
    lambda reason, code: Outcome(
        reason=reason,
        exit_code=code if reason is Reason.EXITED else None,
        wall_ms=1,
        cpu_ms=1,
        peak_memory_bytes=1,
        stdout=b"",
        stderr=b"",
        detail=f"{reason.value} {code}",
    ),
    st.sampled_from([Reason.EXITED, Reason.EXITED, Reason.EXITED, *Reason]),
    st.sampled_from([0, 0, 0, 1, 2, 137]),
)


@dataclass
class ChainTask:
    """What the chain knows of an assignment."""

    cpu_millis: int
    accept_by: int
    accepted: bool = False
    commit_first: bool = False
    is_test: bool = False
    commitment: bytes = b""
    committed_height: int = 0
    deadline_ms: int = 0

    def duty(self, task_id: int) -> ProveDuty:
        return ProveDuty(
            task_id=task_id,
            spec=ContainerSpec(IMAGE, (), (), Resources(self.cpu_millis, 1000), 60),
            accepted=self.accepted,
            accept_by_height=self.accept_by,
            deadline_ms=self.deadline_ms if self.accepted else 0,
            transfer_ms=30_000,
            commit_first=self.commit_first,
            commitment=self.commitment,
            is_test=self.is_test,
        )


@dataclass
class ChainSeat:
    """What the chain knows of a seat."""

    deadline_ms: int
    commitment: bytes = b""
    closed: bool = False
    revealed: bool = False

    def duty(self, task_id: int, round_: int) -> VoteDuty:
        spec = ContainerSpec(IMAGE, (), (PROOF_FILE,), Resources(1000, 1000), 10)
        return VoteDuty(task_id, round_, spec, self.commitment, self.closed, self.revealed, self.deadline_ms)


@dataclass
class World:
    """The chain, the disk and the machine room around one daemon."""

    height: int = 1
    tasks: dict[int, ChainTask] = field(default_factory=dict)
    seats: dict[tuple[int, int], ChainSeat] = field(default_factory=dict)
    journal: dict[tuple[str, int, int], JournalEntry] = field(default_factory=dict)
    mempool: dict[EntryRef, Entry] = field(default_factory=dict)
    fetching: set[JobKey] = field(default_factory=set)
    running: dict[JobKey, ContainerSpec] = field(default_factory=dict)
    stopping: dict[JobKey, ContainerSpec | None] = field(default_factory=dict)
    bundles: dict[int, ProofRecord] = field(default_factory=dict)
    committed: dict[int, ProofRecord] = field(default_factory=dict)
    tests: set[int] = field(default_factory=set)
    packing: set[JobKey] = field(default_factory=set)
    finished: list[JobKey] = field(default_factory=list)
    verdicts: dict[tuple[int, int], Verdict] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    transfers: Transfers = UNMEASURED
    likely_ms: int = 0
    keys: list[bytes] = field(default_factory=lambda: [bytes([1]) * 32])
    """Node keys, the present one first."""

    @property
    def ballots(self) -> Ballots:
        return Ballots(self.keys, CHAIN, OPERATOR)

    @property
    def commitments(self) -> ProofCommitments:
        return ProofCommitments(self.keys, CHAIN, OPERATOR)

    def report(self) -> DutiesReported:
        return DutiesReported(
            self.height,
            self.height * BLOCK_MS,
            tuple(task.duty(task_id) for task_id, task in self.tasks.items()),
            tuple(seat.duty(*seat_id) for seat_id, seat in self.seats.items()),
            self.transfers,
            dict.fromkeys(self.tasks, self.likely_ms),
        )


class ProverMachine(RuleBasedStateMachine):
    """One daemon's life."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.trust_learned = False
        self.machine = self._new_machine()
        self.next_task = 1
        self.draining = False
        self.dies_after: int | None = None

    def _new_machine(self) -> Machine:
        config = MachineConfig(CAPACITY, PARALLEL, auto_retest=True, trust_learned=self.trust_learned)
        return Machine(config, self.world.ballots, self.world.commitments)

    def tell(self, event: Event) -> None:
        for effect in self.machine.handle(event):
            if self.dies_after == 0:
                self._restart(journal_lost=False)
                return
            if self.dies_after is not None:
                self.dies_after -= 1
            self.perform(effect)

    # The interpreter, and what it must never be asked.

    def perform(self, effect: Effect) -> None:  # noqa: C901, PLR0912 - one arm an effect, nothing else
        world = self.world
        match effect:
            case FetchFiles(key):
                assert not self._busy_with(key), f"{key} is fetched while another attempt is under way"
                world.fetching.add(key)
            case RunJob(key, spec):
                assert not self._busy_with(key), f"{key} runs while another attempt is under way"
                assert ("task", key.task_id, 0) not in world.journal or key.role is Role.VERIFY
                assert ("vote", key.task_id, key.round) not in world.journal or key.role is Role.PROVE
                task = world.tasks.get(key.task_id)  # gone already, perhaps, but not yet reported so
                assert key.role is Role.VERIFY or task is None or task.accepted
                world.running[key] = spec
            case PackProof(key):
                assert key.role is Role.PROVE
                world.packing.add(key)
            case Cancel(key):
                world.fetching.discard(key)
                world.packing.discard(key)
                # Its container takes a while to die.
                world.stopping[key] = world.running.pop(key, None)
            case Forget(key):
                assert key not in world.running, f"{key} is forgotten while it runs"
                world.finished.append(key)
            case Journal(entry):
                self._write(entry)
            case CommitProof(task_id, commitment):
                made = world.journal["task", task_id, 0]
                assert isinstance(made, ProofMade)
                assert world.committed.setdefault(task_id, made.proof) == made.proof, "committed to two proofs"
                assert commitment == world.commitments.commitment(task_id, made.proof)
            case SubmitProof(task_id, proof, salt):
                entry = world.journal["task", task_id, 0]
                assert isinstance(entry, ProofMade)
                assert entry.proof == proof
                task = world.tasks.get(task_id)
                if task is not None and task.commit_first:
                    assert task.committed_height < world.height + 1
                    opened = proof_commitment(OPERATOR, bytes.fromhex(proof.sha256), salt)
                    assert task.commitment == opened, "revealed before the commit, or what doesn't open it"
                else:
                    assert task is None or salt == b""
            case ReportFailure(task_id):
                assert isinstance(world.journal["task", task_id, 0], WorkFailed)
            case CommitVote(task_id, round_, commitment):
                ballot = world.ballots.open(task_id, round_, commitment)
                assert ballot is not None
                first = world.verdicts.setdefault((task_id, round_), ballot.verdict)
                assert first is ballot.verdict, "voted in two ways"
                assert isinstance(world.journal["vote", task_id, round_], VerdictReached)
            case RevealVote(task_id, round_, verdict, salt):
                seat = world.seats.get((task_id, round_))
                opened = vote_commitment(OPERATOR, task_id, round_, int(verdict), salt)
                assert seat is None or opened == seat.commitment
            case AcceptTask(task_id) | DeclineTask(task_id):
                assert task_id not in world.tests, "a test is nothing to accept or decline"
            case Prefetch() | Inquire() | Warn() | RequestTest():
                pass
        if isinstance(effect, Entry):
            world.mempool[effect.ref] = effect

    def _busy_with(self, key: JobKey) -> bool:
        under_way = {*self.world.fetching, *self.world.running, *self.world.packing}
        return any((one.role, one.task_id, one.round) == (key.role, key.task_id, key.round) for one in under_way)

    def _write(self, entry: JournalEntry) -> None:
        journal = self.world.journal
        match entry:
            case AssignmentEnded(task_id):
                journal.pop(("task", task_id, 0), None)
            case VoteEnded(task_id, round_):
                journal.pop(("vote", task_id, round_), None)
            case VerdictReached(task_id, round_, verdict):
                before = journal.get(("vote", task_id, round_))
                assert before is None or (isinstance(before, VerdictReached) and before.verdict is verdict)
                journal["vote", task_id, round_] = entry
            case ProofMade(task_id) | WorkFailed(task_id):
                assert ("task", task_id, 0) not in journal, "a finished task was done again"
                journal["task", task_id, 0] = entry
                if isinstance(entry, ProofMade):
                    self.world.bundles[task_id] = entry.proof

    # The chain.

    @initialize(trust_learned=st.booleans())
    def the_operator_decides(self, trust_learned: bool) -> None:
        self.trust_learned = trust_learned
        self.machine = self._new_machine()

    @rule(
        cpu_millis=st.sampled_from([500, 1500, 3000, 5000]),
        window=st.integers(1, 8),
        accepted=st.booleans(),
        commit_first=st.booleans(),
    )
    def a_task_is_assigned(self, cpu_millis: int, window: int, accepted: bool, commit_first: bool) -> None:
        world = self.world
        # An accept of a life before this one may have landed.
        early = accepted and cpu_millis > 3000
        deadline_ms = world.height * BLOCK_MS + 90_000
        world.tasks[self.next_task] = ChainTask(
            cpu_millis, world.height + window, early, commit_first, deadline_ms=deadline_ms
        )
        self.next_task += 1

    @precondition(lambda self: not self.world.tasks)
    @rule(cpu_millis=st.sampled_from([500, 4000, 6000]))
    def a_capacity_test_begins(self, cpu_millis: int) -> None:
        world = self.world
        deadline_ms = world.height * BLOCK_MS + 25_000
        world.tasks[self.next_task] = ChainTask(cpu_millis, 0, accepted=True, is_test=True, deadline_ms=deadline_ms)
        world.tests.add(self.next_task)
        self.next_task += 1

    @rule(window=st.integers(1, 30), rounds=st.integers(1, 3))
    def seats_are_drawn(self, window: int, rounds: int) -> None:
        """One proof of a task each, all judged at the same time."""
        for round_ in range(1, rounds + 1):
            deadline_ms = (self.world.height + window + round_ - 1) * BLOCK_MS
            self.world.seats[self.next_task, round_] = ChainSeat(deadline_ms)
        self.next_task += 1

    @rule(declines_left=st.integers(0, 1), may_ask=st.booleans())
    def the_standing_is_reported(self, declines_left: int, may_ask: bool) -> None:
        self.tell(StandingReported(standing(declines_left=declines_left, may_request_test_ms=int(may_ask))))

    @rule(likely_ms=st.sampled_from([0, 1000, 60_000]))
    def runs_are_expected_to_take(self, likely_ms: int) -> None:
        self.world.likely_ms = likely_ms

    @rule(cached=st.booleans(), bytes_per_s=st.sampled_from([1, 1000, 1 << 30]))
    def transfers_become(self, cached: bool, bytes_per_s: int) -> None:
        self.world.transfers = Transfers(frozenset({IMAGE.key} if cached else ()), bytes_per_s)

    @rule(count=st.integers(1, 4))
    def blocks_pass_and_are_reported(self, count: int) -> None:
        self.world.height += count
        self._chain_moves_on()
        self.tell(self.world.report())

    @rule(lag=st.integers(1, 3))
    def a_lagging_node_reports(self, lag: int) -> None:
        old = replace(self.world.report(), height=max(self.world.height - lag, 0), assignments=(), votes=())
        if old.height < self.machine.height:
            assert self.machine.handle(old) == []

    @precondition(lambda self: self.world.mempool)
    @rule(data=st.data())
    def an_entry_lands(self, data: st.DataObject) -> None:
        self._land(data.draw(st.sampled_from(sorted(self.world.mempool, key=repr))))

    @precondition(lambda self: self.world.mempool)
    @rule(data=st.data())
    def a_transaction_is_lost(self, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(sorted(self.world.mempool, key=repr)))
        del self.world.mempool[ref]
        self.tell(TxFailed((ref,)))

    @precondition(lambda self: self.world.tasks or self.world.seats)
    @rule(data=st.data())
    def the_chain_takes_a_duty_away(self, data: st.DataObject) -> None:
        duties: list[tuple[int, int]] = [(task_id, 0) for task_id in self.world.tasks]
        task_id, round_ = data.draw(st.sampled_from([*duties, *self.world.seats]))
        if round_:
            del self.world.seats[task_id, round_]
        else:
            del self.world.tasks[task_id]

    def _chain_moves_on(self) -> None:
        for task_id, task in list(self.world.tasks.items()):
            if not task.accepted and self.world.height > task.accept_by:
                del self.world.tasks[task_id]
        for seat in self.world.seats.values():
            late = self.world.height * BLOCK_MS > seat.deadline_ms
            seat.closed = seat.closed or late or bool(seat.commitment)

    def _land(self, ref: EntryRef) -> None:  # noqa: C901, PLR0912 - one arm a message, nothing else
        world = self.world
        entry = world.mempool.pop(ref)
        match entry:
            case AcceptTask(task_id):
                if task_id in world.tasks and not world.tasks[task_id].accepted:
                    world.tasks[task_id].accepted = True
                    world.tasks[task_id].deadline_ms = world.height * BLOCK_MS + 90_000
            case DeclineTask(task_id):
                if task_id in world.tasks and not world.tasks[task_id].accepted:
                    del world.tasks[task_id]
            case CommitProof(task_id, commitment):
                task = world.tasks.get(task_id)
                if task is not None and task.accepted and not task.commitment:
                    task.commitment, task.committed_height = commitment, world.height
            case SubmitProof(task_id, proof):
                task = world.tasks.get(task_id)
                if task is not None and task.accepted:
                    if task.commit_first:
                        assert task.committed_height < world.height, "a reveal in the block of its commit"
                        assert self.world.commitments.open(task_id, proof, task.commitment) is not None
                    del world.tasks[task_id]
                    world.done.add(task_id)
            case ReportFailure(task_id):
                if task_id in world.tasks and world.tasks[task_id].accepted:
                    del world.tasks[task_id]
                    world.done.add(task_id)
            case CommitVote(task_id, round_, commitment):
                seat = world.seats.get((task_id, round_))
                if seat is not None and not seat.closed and not seat.commitment:
                    seat.commitment = commitment
            case RevealVote(task_id, round_):
                seat = world.seats.get((task_id, round_))
                if seat is not None and seat.closed:
                    seat.revealed = True

    # The machine room.

    @precondition(lambda self: self.world.fetching)
    @rule(data=st.data(), kind=st.sampled_from([None, None, FileKind.INPUT, FileKind.IMAGE]))
    def a_fetch_ends(self, data: st.DataObject, kind: FileKind | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.fetching)))
        self.world.fetching.discard(key)
        self.tell(Fetched(key) if kind is None else FetchFailed(key, kind, "not there"))

    @precondition(lambda self: self.world.running)
    @rule(data=st.data(), outcome=outcomes, malformed=st.booleans())
    def a_run_ends(self, data: st.DataObject, outcome: Outcome, malformed: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.running)))
        del self.world.running[key]
        if malformed and key.role is Role.VERIFY:
            self.tell(ProofUnusable(key, "a symlink"))
        else:
            self.tell(RunFinished(key, outcome))

    @precondition(lambda self: self.world.packing)
    @rule(data=st.data(), fails=st.booleans())
    def a_proof_is_packed(self, data: st.DataObject, fails: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.packing)))
        self.world.packing.discard(key)
        self.tell(PackFailed(key, "nothing there") if fails else ProofStored(key, self._proof(key)))

    @precondition(lambda self: self.world.stopping)
    @rule(data=st.data())
    def a_cancelled_container_is_gone(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.stopping)))
        del self.world.stopping[key]
        self.tell(Stopped(key))

    @rule()
    def all_jobs_succeed(self) -> None:
        for key in sorted(self.world.fetching):
            self.world.fetching.discard(key)
            self.tell(Fetched(key))
        for key in sorted(self.world.running):
            if self.world.running.pop(key, None) is not None:
                self.tell(RunFinished(key, _success()))
        for key in sorted(self.world.packing):
            self.world.packing.discard(key)
            self.tell(ProofStored(key, self._proof(key)))

    @rule()
    def everything_sent_lands_and_is_reported(self) -> None:
        for ref in list(self.world.mempool):
            self._land(ref)
        self.blocks_pass_and_are_reported(1)

    @precondition(lambda self: self.world.fetching or self.world.running or self.world.packing)
    @rule(data=st.data())
    def the_machine_fails_a_job(self, data: st.DataObject) -> None:
        world = self.world
        key = data.draw(st.sampled_from(sorted({*world.fetching, *world.running, *world.packing})))
        world.fetching.discard(key)
        world.running.pop(key, None)
        world.packing.discard(key)
        self.tell(JobBroken(key, "the disk is full"))

    @precondition(lambda self: self.world.finished)
    @rule(data=st.data(), outcome=outcomes)
    def an_answer_comes_too_late(self, data: st.DataObject, outcome: Outcome) -> None:
        key = data.draw(st.sampled_from(self.world.finished))
        late: list[Event] = [
            Fetched(key),
            RunFinished(key, outcome),
            ProofStored(key, self._proof(key)),
            JobBroken(key, "late"),
        ]
        for event in late:
            assert not any(isinstance(effect, Journal | RunJob | FetchFiles) for effect in self.machine.handle(event))

    @rule(journal_lost=st.booleans())
    def the_daemon_is_killed_and_started_again(self, journal_lost: bool) -> None:
        self._restart(journal_lost=journal_lost)

    @rule(effects=st.integers(0, 3))
    def the_daemon_will_be_killed_while_it_acts(self, effects: int) -> None:
        """The next list of effects is performed only so far."""
        self.dies_after = effects

    def _restart(self, *, journal_lost: bool) -> None:
        world = self.world
        self.dies_after = None
        world.fetching.clear()
        world.running.clear()
        world.stopping.clear()
        world.packing.clear()
        world.finished.clear()
        if journal_lost:
            # The bundles are still in the store, with the numbers of their tasks. Verdicts aren't lost here: whoever
            # loses one before its commitment is on chain may vote otherwise.
            world.journal = {key: entry for key, entry in world.journal.items() if key[0] == "vote"}
            world.journal |= {
                ("task", task_id, 0): ProofMade(task_id, proof) for task_id, proof in world.bundles.items()
            }
        self.machine = self._new_machine()
        self.draining = False
        self.tell(Restarted(tuple(world.journal.values())))

    @precondition(lambda self: len(self.world.keys) < 4)
    @rule()
    def the_node_key_is_rotated(self) -> None:
        """What was signed with the old key is refused from now on."""
        self.world.keys.insert(0, bytes([len(self.world.keys) + 1]) * 32)
        self.world.mempool.clear()
        self.tell(NodeKeyRotated(self.world.keys[0]))

    @rule()
    def the_operator_asks_to_stop(self) -> None:
        self.draining = True
        self.tell(Draining())

    @invariant()
    def the_state_is_consistent(self) -> None:
        self.machine.validate_state()

    @invariant()
    def no_more_runs_than_there_are_resources_for(self) -> None:
        world = self.world
        dying = {key: spec for key, spec in world.stopping.items() if spec is not None}
        proving = {key: spec for key, spec in (world.running | dying).items() if key.role is Role.PROVE}
        held = Resources(0, 0)
        for spec in proving.values():
            held += spec.resources
        alone = len(proving) == 1 and {key.task_id for key in proving} <= world.tests
        assert held.shortage(CAPACITY) is None or alone
        assert sum(key.role is Role.VERIFY for key in world.running) <= PARALLEL

    def teardown(self) -> None:
        """From wherever it got to, with nothing going wrong any more, everything ends."""
        for _ in range(120):
            self.world.height += 1
            self._chain_moves_on()
            for seat_id in [seat_id for seat_id, seat in self.world.seats.items() if seat.revealed]:
                del self.world.seats[seat_id]
            for seat_id, seat in list(self.world.seats.items()):
                if seat.closed and not seat.commitment:
                    del self.world.seats[seat_id]
            self.tell(self.world.report())
            for key in sorted(self.world.stopping):
                del self.world.stopping[key]
                self.tell(Stopped(key))
            self.all_jobs_succeed()
            for ref in list(self.world.mempool):
                self._land(ref)
        assert self.world.tasks == {}
        assert self.world.seats == {}
        assert self.machine.unfinished == 0
        assert self.world.journal == {}

    @staticmethod
    def _proof(key: JobKey) -> ProofRecord:
        return ProofRecord(f"{key.task_id:064x}", 10, Usage())


def _success() -> Outcome:
    return Outcome(
        reason=Reason.EXITED,
        exit_code=0,
        wall_ms=1,
        cpu_ms=1,
        peak_memory_bytes=1,
        stdout=b"",
        stderr=b"",
        detail="exited",
    )


ProverMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestProverMachine = ProverMachine.TestCase


def test_verdicts_and_reasons_are_numbered_as_on_the_wire() -> None:
    from proofmill.task.v1 import state_pb2  # noqa: PLC0415 - the wire is this test's subject alone

    for verdict in Verdict:
        assert state_pb2.Verdict.Value(f"VERDICT_{verdict.name}") == verdict
    for reason in FailureReason:
        assert state_pb2.FailureReason.Value(f"FAILURE_REASON_{reason.name}") == reason
