"""The prover's duty: from an offer to a proof on chain. Decisions only; see ``machine``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from prover_node.admission import NOTHING, Order, PlannedRun, choose_order, judge, may_start
from prover_node.assignment import ENDING_MS, PLANNED, PROMISED, UNANSWERED, Assignment, Phase, clip_detail, planned_run
from prover_node.duties import FailureReason, FileKind, JobKey, ProofRecord, ProveDuty, Resources, Role, Usage
from prover_node.effects import (
    AcceptTask,
    Cancel,
    CommitProof,
    DeclineTask,
    Effect,
    Entry,
    FetchFiles,
    Forget,
    Inquire,
    Journal,
    PackProof,
    Prefetch,
    ReportFailure,
    RunJob,
    SubmitProof,
    Warn,
)
from prover_node.events import DutiesReported
from prover_node.journal_entries import AssignmentEnded, ProofMade, WorkFailed
from prover_node.outbox import Outbox
from prover_node.proof_commitments import ProofCommitments
from prover_node.runner.base import Outcome, Reason
from prover_node.transfers import UNMEASURED

_ATTEMPTS_MAX = 2
# What a report of a failure takes to get into a block.
_REPORTING_MS = 5000
# An answer that lands is on its way so many blocks before the offer ends, so that it can be sent twice.
_ANSWERING_BLOCKS = 2

_FAILURES = {
    Reason.TIME_LIMIT: FailureReason.TIME_LIMIT,
    Reason.OUT_OF_MEMORY: FailureReason.OUT_OF_MEMORY,
    Reason.OUTPUT_LIMIT: FailureReason.BAD_OUTPUT,
    Reason.IMAGE_UNUSABLE: FailureReason.IMAGE_UNAVAILABLE,
    # It had time left by its own limit: it was begun too late, and beginning again would be later still.
    Reason.DEADLINE: FailureReason.PROVER_ERROR,
}


class Assignments:
    """All assignments that the chain's last report listed, by task."""

    def __init__(
        self,
        capacity: Resources,
        commitments: ProofCommitments,
        outbox: Outbox,
        next_attempt: Callable[[], int],
        *,
        trust_learned: bool,
    ) -> None:
        self._capacity = capacity
        self._trust_learned = trust_learned
        self._commitments = commitments
        self._outbox = outbox
        self._next_attempt = next_attempt
        self._by_task: dict[int, Assignment] = {}
        self._proofs: dict[int, ProofRecord] = {}
        self._failures: dict[int, tuple[FailureReason, str]] = {}
        self._stopping: dict[JobKey, Resources] = {}
        self._order: Order = ()
        self._height = 0
        self._time_ms = 0
        self._transfers = UNMEASURED
        self._likely_ms: Mapping[int, int] = {}
        self.surviving: set[str] = set()
        """Works whose containers an earlier process left running, until they are gone on with."""
        self.draining = False
        self.declines_left: int | None = None

    # What happens.

    def remember(self, entry: ProofMade | WorkFailed) -> None:
        """Take over a result of an earlier process."""
        if isinstance(entry, ProofMade):
            self._proofs[entry.task_id] = entry.proof
        else:
            self._failures[entry.task_id] = (entry.reason, entry.detail)

    def report(self, event: DutiesReported) -> Iterator[Effect]:
        """Bring the work in line with what the chain wants now."""
        height = self._height = event.height
        self._time_ms, self._transfers, self._likely_ms = event.time_ms, event.transfers, event.likely_ms
        wanted = {duty.task_id: duty for duty in event.assignments}
        for task_id in [task_id for task_id in self._by_task if task_id not in wanted]:
            yield from self._end(task_id)
        for task_id in [task_id for task_id in self._remembered() if task_id not in wanted]:
            yield from self._end_remembered(task_id)
        for task_id in sorted(wanted, key=lambda task_id: self._rank(wanted[task_id])):
            duty = wanted[task_id]
            assignment = self._by_task.get(task_id)
            if assignment is None:
                yield from self._begin(duty)
            else:
                yield from self._go_on(assignment, duty)
            yield from self._heed_commitment(self._by_task[task_id])
        yield from self.start_ready()
        for task_id in sorted(self._by_task):
            entry = self._owed(self._by_task[task_id], height)
            if entry is not None and self._outbox.take(entry.ref, height):
                yield entry

    def fetched(self, key: JobKey) -> Iterator[Effect]:
        """The job's files are here."""
        assignment = self._expecting(key, Phase.FETCHING)
        if assignment is not None:
            assignment.phase = Phase.READY
            yield from self.start_ready()

    def fetch_failed(self, key: JobKey, kind: FileKind, detail: str) -> Iterator[Effect]:
        """A file can't be had: an input is the user's to provide, image and assets the program's."""
        assignment = self._expecting(key, Phase.FETCHING)
        if assignment is not None:
            inputs = kind is FileKind.INPUT
            reason = FailureReason.INPUT_UNAVAILABLE if inputs else FailureReason.IMAGE_UNAVAILABLE
            yield from self._fail(assignment, reason, detail)

    def run_finished(self, key: JobKey, outcome: Outcome) -> Iterator[Effect]:
        """The container ended."""
        assignment = self._expecting(key, Phase.RUNNING)
        if assignment is None:
            return
        if outcome.reason is Reason.EXITED and outcome.exit_code == 0:
            assignment.phase = Phase.PACKING
            yield PackProof(key, Usage(outcome.wall_ms, outcome.cpu_ms, outcome.peak_memory_bytes))
            yield from self.start_ready()
        elif outcome.reason is Reason.EXITED:
            yield from self._fail(assignment, FailureReason.EXIT_CODE, outcome.detail)
        elif outcome.reason in _FAILURES:
            yield from self._fail(assignment, _FAILURES[outcome.reason], outcome.detail)
        else:
            yield from self._own_fault(assignment, outcome.detail)

    def proof_stored(self, key: JobKey, proof: ProofRecord) -> Iterator[Effect]:
        """The bundle is on disk."""
        assignment = self._expecting(key, Phase.PACKING)
        if assignment is None:
            return
        assignment.phase = Phase.PROVED
        assignment.proof = proof
        yield Journal(ProofMade(key.task_id, proof))
        yield from self._heed_commitment(assignment)
        yield from self._release(assignment)

    def pack_failed(self, key: JobKey, detail: str) -> Iterator[Effect]:
        """The program left nothing, too much, or something that no bundle may hold."""
        assignment = self._expecting(key, Phase.PACKING)
        if assignment is not None:
            yield from self._fail(assignment, FailureReason.BAD_OUTPUT, detail)

    def broken(self, key: JobKey, detail: str) -> Iterator[Effect]:
        """This machine failed: once more, then say so."""
        assignment = self._expecting(key, *PROMISED)
        if assignment is not None:
            yield from self._own_fault(assignment, detail)

    def stopped(self, key: JobKey) -> Iterator[Effect]:
        """A cancelled container is gone: only now is its place free."""
        if self._stopping.pop(key, None) is not None:
            yield from self.start_ready()

    def start_ready(self) -> Iterator[Effect]:
        """Run what is accepted, fetched, and fits beside what runs already, in the order that keeps all promises."""
        self._order = choose_order(self._promised(), self._order, self._capacity, self._time_ms)
        # What an earlier process left running uses its share already.
        for task_id in sorted(self._order, key=lambda task_id: not self._survives(self._by_task[task_id])):
            assignment = self._by_task[task_id]
            spec, ready = assignment.duty.spec, assignment.phase is Phase.READY and assignment.duty.accepted
            held = self.held.less(spec.resources) if self._survives(assignment) else self.held
            if assignment.key is None or not ready or not may_start(spec.resources, self._capacity, held):
                break
            self.surviving.discard(assignment.key.work)
            assignment.phase = Phase.RUNNING
            assignment.started_ms = self._time_ms
            yield RunJob(assignment.key, spec)

    def owed_now(self, height: int) -> Iterator[Effect]:
        """Entries that became owed since the last report, so that nothing waits for the next block."""
        for task_id in sorted(self._by_task):
            entry = self._owed(self._by_task[task_id], height)
            if isinstance(entry, CommitProof | SubmitProof | ReportFailure) and self._outbox.take(entry.ref, height):
                yield entry

    # What is known.

    @property
    def unfinished(self) -> int:
        """Assignments that still need work or a message."""
        return sum(assignment.phase is not Phase.DECLINED for assignment in self._by_task.values())

    @property
    def held(self) -> Resources:
        """By containers that run, are being stopped, or were left running by an earlier process."""
        held = NOTHING
        for resources in self._stopping.values():
            held += resources
        for assignment in self._by_task.values():
            if assignment.phase is Phase.RUNNING or self._survives(assignment):
                held += assignment.duty.spec.resources
        return held

    def phases(self) -> dict[int, Phase]:
        """Phase by task."""
        return {task_id: assignment.phase for task_id, assignment in self._by_task.items()}

    def listed(self) -> list[Assignment]:
        """Copies of all, by task."""
        return [replace(self._by_task[task_id]) for task_id in sorted(self._by_task)]

    def works_under_way(self) -> set[str]:
        """What the containers of promised assignments are for."""
        return {one.key.work for one in self._by_task.values() if one.key is not None}

    def validate_state(self) -> None:
        """Raise AssertionError unless every record is consistent."""
        busy = [one for one in self._by_task.values() if one.phase is Phase.RUNNING]
        alone = len(busy) + len(self._stopping) == 1 and all(one.duty.is_test for one in busy)
        fits = self.held.shortage(self._capacity) is None
        _require(fits or alone, "more runs than this node has resources for")
        for task_id, assignment in self._by_task.items():
            _require(assignment.duty.task_id == task_id, f"task {task_id} is filed under another")
            _require((assignment.phase is Phase.PROVED) == (assignment.proof is not None), f"proof of task {task_id}")
            _require((assignment.phase is Phase.FAILED) == (assignment.failure is not None), f"failure of {task_id}")
            _require((assignment.phase in PROMISED) == (assignment.key is not None), f"job of task {task_id}")
            if assignment.phase is Phase.RUNNING:
                _require(assignment.duty.accepted, f"task {task_id} runs without having been accepted")

    # Steps.

    def _survives(self, assignment: Assignment) -> bool:
        return assignment.key is not None and assignment.key.work in self.surviving

    def _begin(self, duty: ProveDuty) -> Iterator[Effect]:
        proof = self._proofs.get(duty.task_id)
        failure = self._failures.get(duty.task_id)
        if proof is not None:
            self._by_task[duty.task_id] = Assignment(duty, Phase.PROVED, proof=proof)
            return
        if failure is not None:
            self._by_task[duty.task_id] = Assignment(duty, Phase.FAILED, failure=failure)
            return
        assignment = Assignment(duty, Phase.DECLINED, duty.deadline_ms)
        assignment.likely_ms = self._likely_ms.get(duty.task_id, 0)
        self._by_task[duty.task_id] = assignment
        yield from self._commence(assignment) if duty.accepted else self._answer(assignment)

    def _go_on(self, assignment: Assignment, duty: ProveDuty) -> Iterator[Effect]:
        assignment.duty = duty
        assignment.deadline_ms = duty.deadline_ms or assignment.deadline_ms
        if assignment.phase in UNANSWERED and duty.accepted:
            # An accept of an earlier process landed after all: the chain counts on us.
            yield from self._commence(assignment)
        elif assignment.phase is Phase.UNDECIDED:
            yield from self._answer(assignment)

    def _answer(self, assignment: Assignment) -> Iterator[Effect]:
        """Accept an offer, decline it, or wait for what runs now, as long as the offer stands."""
        duty = assignment.duty
        lasting = "the node is shutting down" if self.draining else self._transfers.no_room(duty.spec.all_files)
        obstacle = lasting or self._admit(assignment)
        if not obstacle:
            yield from self._commence(assignment)
        elif not lasting and self._may_fit_soon(assignment):
            assignment.phase = Phase.UNDECIDED
        else:
            assignment.phase, assignment.decline_reason = Phase.DECLINED, clip_detail(obstacle)
            yield from self._refuse(duty)

    def _admit(self, assignment: Assignment) -> str:
        """Why an offer can't be accepted; empty if it can, and then its place is in the order."""
        assignment.deadline_ms = 0
        assignment.ready_ms = self._fetched_ms(assignment.duty)
        offer, promised = planned_run(assignment, self._time_ms), self._promised()
        assignment.deadline_ms = offer.deadline_ms
        answer = judge(offer, promised, self._order, self._capacity, self._time_ms)
        if answer.obstacle and assignment.likely_ms and self._trust_learned:
            offer = replace(offer, hopeful=True)
            answer = judge(offer, promised, self._order, self._capacity, self._time_ms)
        if not answer.obstacle:
            self._order, assignment.hopeful = answer.order, offer.hopeful
        return answer.obstacle

    def _may_fit_soon(self, assignment: Assignment) -> bool:
        """Whether it would fit if what was promised takes no longer than usual, and there is time to find out."""
        if self._height + _ANSWERING_BLOCKS >= assignment.duty.accept_by_height:
            return False
        usual = [run.as_usual() for run in self._promised()]
        offer = planned_run(assignment, self._time_ms)
        return not judge(offer, usual, self._order, self._capacity, self._time_ms).obstacle

    def _rank(self, duty: ProveDuty) -> tuple[int, int, int]:
        """What is promised comes before what is offered, and what has its files here before what hasn't."""
        return 0 if duty.accepted else 1, self._transfers.missing(duty.spec.all_files), duty.task_id

    def _commence(self, assignment: Assignment) -> Iterator[Effect]:
        spec = assignment.duty.spec
        shortage = spec.resources.shortage(self._capacity)
        # A test of a larger claim than this node is configured for is what its operator asked for.
        if shortage is not None and not assignment.duty.is_test:
            yield from self._fail(assignment, FailureReason.PROVER_ERROR, f"the task {shortage} on this node")
            return
        assignment.phase = Phase.FETCHING
        assignment.attempts += 1
        assignment.ready_ms = self._fetched_ms(assignment.duty)
        assignment.key = JobKey(Role.PROVE, assignment.duty.task_id, 0, self._next_attempt())
        left_ms = assignment.deadline_ms - self._time_ms - _REPORTING_MS
        yield FetchFiles(assignment.key, spec, max(left_ms, _REPORTING_MS))

    def _promised(self) -> list[PlannedRun]:
        """What this node runs, is ending, or said that it would run."""
        now_ms = self._time_ms
        runs = [
            PlannedRun(-number, resources, now_ms, ENDING_MS, now_ms + ENDING_MS, running=True)
            for number, resources in enumerate(self._stopping.values(), start=1)
        ]
        runs += [planned_run(one, now_ms) for one in self._by_task.values() if one.phase in PLANNED]
        return runs

    def _fetched_ms(self, duty: ProveDuty) -> int:
        """When the files will be here, at the measured rate."""
        return self._time_ms + self._transfers.ms(self._transfers.missing(duty.spec.all_files))

    def _refuse(self, duty: ProveDuty) -> Iterator[Effect]:
        if self.declines_left == 0:
            yield Warn(f"declining task {duty.task_id} counts as a miss, because no declines are left", duty.task_id)
        elif self.declines_left is not None:
            self.declines_left -= 1
        own = duty.spec.resources.shortage(self._capacity) is None and not self.draining
        lasting = tuple(ref for ref in duty.spec.all_files if ref.kind is not FileKind.INPUT)
        if own and self._transfers.missing(lasting) and not self._transfers.no_room(lasting):
            # The next task of this program shall not fail for want of them.
            yield Prefetch(lasting)

    def _owed(self, assignment: Assignment, height: int) -> Entry | None:
        """The one entry that this assignment waits for the chain to take, if any."""
        duty = assignment.duty
        if not duty.accepted:
            if height >= duty.accept_by_height:
                return None  # whatever is sent now lands too late
            if assignment.phase is Phase.UNDECIDED:
                return None
            if assignment.phase is Phase.DECLINED:
                return DeclineTask(duty.task_id, assignment.decline_reason)
            return AcceptTask(duty.task_id)
        if assignment.proof is not None:
            return self._publication(duty, assignment.proof)
        if assignment.failure is not None:
            return ReportFailure(duty.task_id, *assignment.failure)
        return None

    def _publication(self, duty: ProveDuty, proof: ProofRecord) -> Entry | None:
        """The commit, or the reveal, or the proof itself where nobody could copy it."""
        if not duty.commit_first:
            return SubmitProof(duty.task_id, proof, spare_ms=self._spare_ms(duty))
        if not duty.commitment:
            return CommitProof(duty.task_id, self._commitments.commitment(duty.task_id, proof))
        salt = self._commitments.open(duty.task_id, proof, duty.commitment)
        return None if salt is None else SubmitProof(duty.task_id, proof, salt, self._spare_ms(duty))

    def _spare_ms(self, duty: ProveDuty) -> int:
        """Until the deadline; none in a capacity test, which is about time."""
        return 0 if duty.is_test else max(duty.deadline_ms - self._time_ms, 0)

    def _heed_commitment(self, assignment: Assignment) -> Iterator[Effect]:
        """Say so if what is committed on chain can't be revealed."""
        duty, proof = assignment.duty, assignment.proof
        if assignment.foreign or proof is None or not duty.commitment:
            return
        if self._commitments.open(duty.task_id, proof, duty.commitment) is None:
            assignment.foreign = True
            yield Warn(
                f"the commitment on chain for task {duty.task_id} is to another proof, so this one can't be revealed: "
                "make sure that only one node uses this key",
                duty.task_id,
            )

    def _fail(self, assignment: Assignment, reason: FailureReason, detail: str) -> Iterator[Effect]:
        assignment.phase = Phase.FAILED
        assignment.failure = (reason, clip_detail(detail))
        yield Journal(WorkFailed(assignment.duty.task_id, *assignment.failure))
        yield from self._release(assignment)

    def _own_fault(self, assignment: Assignment, detail: str) -> Iterator[Effect]:
        if assignment.attempts >= _ATTEMPTS_MAX:
            yield from self._fail(assignment, FailureReason.PROVER_ERROR, detail)
            return
        if assignment.key is not None:
            yield Forget(assignment.key)
        yield from self._commence(assignment)
        yield from self.start_ready()

    def _release(self, assignment: Assignment) -> Iterator[Effect]:
        """Give the job's place to the next one."""
        if assignment.key is not None:
            yield Forget(assignment.key)
            assignment.key = None
        yield from self.start_ready()

    def _end(self, task_id: int) -> Iterator[Effect]:
        assignment = self._by_task.pop(task_id)
        self._outbox.drop(task_id)
        if assignment.key is not None:
            if assignment.phase is Phase.RUNNING:
                self._stopping[assignment.key] = assignment.duty.spec.resources
            yield Cancel(assignment.key)
            yield Forget(assignment.key)
        if assignment.phase is not Phase.DECLINED:
            yield Inquire(task_id, assignment.phase.value)
        if assignment.phase in (Phase.PROVED, Phase.FAILED):
            yield from self._end_remembered(task_id)

    def _end_remembered(self, task_id: int) -> Iterator[Effect]:
        self._proofs.pop(task_id, None)
        self._failures.pop(task_id, None)
        yield Journal(AssignmentEnded(task_id))

    def _remembered(self) -> list[int]:
        """Results of an earlier process that no listed assignment has taken over."""
        return sorted(set(self._proofs) | set(self._failures))

    def _expecting(self, key: JobKey, *phases: Phase) -> Assignment | None:
        """The assignment whose current job is ``key``; ``None`` for an answer that nobody waits for."""
        assignment = self._by_task.get(key.task_id)
        if assignment is None or assignment.key != key or assignment.phase not in phases:
            return None
        return assignment


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(f"prover state is inconsistent: {what}")
