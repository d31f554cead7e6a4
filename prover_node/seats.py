"""The verifier's duty: from a seat in a committee to a revealed vote. Decisions only; see ``machine``."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from client.proof_limits import BUNDLE_BYTES_MAX
from prover_node.ballots import Ballot, Ballots
from prover_node.duties import FileKind, JobKey, Role, Verdict, VoteDuty
from prover_node.effects import Cancel, CommitVote, Effect, Entry, FetchFiles, Forget, Journal, RevealVote, RunJob, Warn
from prover_node.journal_entries import VerdictReached, VoteEnded
from prover_node.outbox import Outbox
from prover_node.runner.base import Outcome, Reason

_ATTEMPTS_MAX = 2
_LAST_CALL_MS = 4000


class Phase(enum.Enum):
    """Where the work on a seat stands on this machine."""

    FETCHING = "fetching"
    READY = "ready"
    RUNNING = "running"
    DECIDED = "decided"
    MISSED = "missed"


_WORKING = frozenset({Phase.FETCHING, Phase.READY, Phase.RUNNING})
SeatId = tuple[int, int]


@dataclass(slots=True)
class Seat:
    """One seat and the state of the work on it."""

    duty: VoteDuty
    phase: Phase
    last_call_ms: int
    key: JobKey | None = None
    attempts: int = 0
    verdict: Verdict | None = None
    ballot: Ballot | None = None
    """What the commitment on chain stands for."""
    heeded: bool = False
    """The commitment on chain has been read."""


class Seats:
    """All seats that the chain's last report listed, by task and round."""

    def __init__(self, ballots: Ballots, parallel: int, outbox: Outbox, next_attempt: Callable[[], int]) -> None:
        self._ballots = ballots
        self._parallel = parallel
        self._outbox = outbox
        self._next_attempt = next_attempt
        self._by_id: dict[SeatId, Seat] = {}
        self._verdicts: dict[SeatId, Verdict] = {}

    # What happens.

    def remember(self, entry: VerdictReached) -> None:
        """Take over a verdict of an earlier process."""
        self._verdicts[entry.task_id, entry.round] = entry.verdict

    def report(self, duties: Iterable[VoteDuty], height: int, time_ms: int) -> Iterator[Effect]:
        """Bring the work in line with what the chain wants at ``height`` and block time ``time_ms``."""
        wanted = {(duty.task_id, duty.round): duty for duty in duties}
        for seat_id in [seat_id for seat_id in self._by_id if seat_id not in wanted]:
            yield from self._end(seat_id)
        for seat_id in [seat_id for seat_id in self._verdicts if seat_id not in wanted]:
            yield from self._end_verdict(seat_id)
        for seat_id in sorted(wanted):
            seat = self._by_id.get(seat_id)
            if seat is None:
                yield from self._begin(wanted[seat_id], time_ms)
            else:
                seat.duty = wanted[seat_id]
                yield from self._heed_commitment(seat)
                yield from self._hurry(seat, time_ms)
        yield from self._start_ready()
        yield from self.owed_now(height)

    def fetched(self, key: JobKey) -> Iterator[Effect]:
        """The job's files are here."""
        seat = self._expecting(key, Phase.FETCHING)
        if seat is not None:
            seat.phase = Phase.READY
            yield from self._start_ready()

    def fetch_failed(self, key: JobKey, kind: FileKind, detail: str) -> Iterator[Effect]:
        """What can't be had can't be judged."""
        seat = self._expecting(key, Phase.FETCHING)
        if seat is not None:
            yield from self._decide(seat, Verdict.INCONCLUSIVE, f"{kind.value} unavailable: {detail}")

    def proof_unusable(self, key: JobKey, detail: str) -> Iterator[Effect]:
        """No honest prover makes such a bundle: every verifier sees the same bytes and says the same."""
        seat = self._expecting(key, Phase.RUNNING)
        if seat is not None:
            yield from self._decide(seat, Verdict.INVALID, detail)

    def run_finished(self, key: JobKey, outcome: Outcome) -> Iterator[Effect]:
        """The verifier container ended."""
        seat = self._expecting(key, Phase.RUNNING)
        if seat is None:
            return
        if outcome.reason in (Reason.RUNNER_ERROR, Reason.CANCELLED):
            yield from self._own_fault(seat, outcome.detail)
        elif outcome.reason is Reason.EXITED and outcome.exit_code == 0:
            yield from self._decide(seat, Verdict.VALID, outcome.detail)
        elif outcome.reason is Reason.EXITED and outcome.exit_code == 1:
            yield from self._decide(seat, Verdict.INVALID, outcome.detail)
        else:
            yield from self._decide(seat, Verdict.INCONCLUSIVE, outcome.detail)

    def broken(self, key: JobKey, detail: str) -> Iterator[Effect]:
        """This machine failed: once more, then abstain."""
        seat = self._expecting(key, *_WORKING)
        if seat is not None:
            yield from self._own_fault(seat, detail)

    def owed_now(self, height: int) -> Iterator[Effect]:
        """Commits and reveals that are due."""
        for seat_id in sorted(self._by_id):
            entry = self._owed(self._by_id[seat_id])
            if entry is not None and self._outbox.take(entry.ref, height):
                yield entry

    # What is known.

    @property
    def unfinished(self) -> int:
        """Seats that still need work or a message."""
        return sum(seat.phase is not Phase.MISSED and not seat.duty.revealed for seat in self._by_id.values())

    def phases(self) -> dict[SeatId, Phase]:
        """Phase by task and round."""
        return {seat_id: seat.phase for seat_id, seat in self._by_id.items()}

    def works_under_way(self) -> set[str]:
        """What the verifiers of undecided seats are for."""
        return {seat.key.work for seat in self._by_id.values() if seat.key is not None}

    def listed(self) -> list[Seat]:
        """Copies of all, by task and round."""
        return [replace(self._by_id[seat_id]) for seat_id in sorted(self._by_id)]

    def validate_state(self) -> None:
        """Raise AssertionError unless every record is consistent."""
        running = 0
        for seat_id, seat in self._by_id.items():
            running += seat.phase is Phase.RUNNING
            _require((seat.duty.task_id, seat.duty.round) == seat_id, f"seat {seat_id} is filed under another")
            _require((seat.phase is Phase.DECIDED) == (seat.verdict is not None), f"verdict of seat {seat_id}")
            _require((seat.phase in _WORKING) == (seat.key is not None), f"job of seat {seat_id}")
        _require(running <= self._parallel, "more verifiers run than may at once")

    # Steps.

    def _begin(self, duty: VoteDuty, time_ms: int) -> Iterator[Effect]:
        seat_id = (duty.task_id, duty.round)
        # Short windows still leave three quarters of themselves for the work.
        left_ms = max(duty.commit_deadline_ms - time_ms, 0)
        seat = Seat(duty, Phase.MISSED, duty.commit_deadline_ms - min(_LAST_CALL_MS, left_ms // 4))
        self._by_id[seat_id] = seat
        if duty.commitment:
            yield from self._heed_commitment(seat)
        elif duty.commit_closed:
            yield Warn(
                f"the vote on task {duty.task_id}, round {duty.round} closed before this node could commit",
                duty.task_id,
            )
        elif seat_id in self._verdicts:
            seat.phase, seat.verdict = Phase.DECIDED, self._verdicts[seat_id]
        elif any(ref.kind is FileKind.PROOF and ref.size > BUNDLE_BYTES_MAX for ref in duty.spec.files):
            yield from self._decide(seat, Verdict.INVALID, f"the proof is larger than {BUNDLE_BYTES_MAX} bytes")
        else:
            yield from self._commence(seat)

    def _heed_commitment(self, seat: Seat) -> Iterator[Effect]:
        """What is committed on chain is this node's verdict, whatever it thinks now."""
        duty = seat.duty
        if not duty.commitment or seat.heeded:
            return
        seat.heeded = True
        ballot = seat.ballot = self._ballots.open(duty.task_id, duty.round, duty.commitment)
        yield from self._release(seat)
        seat.verdict = None if ballot is None else ballot.verdict
        seat.phase = Phase.MISSED if ballot is None else Phase.DECIDED
        if ballot is None:
            yield Warn(
                f"the commitment on chain for task {duty.task_id}, round {duty.round} was not made with this "
                "node key, so the vote can't be revealed: make sure that only one node uses this key",
                duty.task_id,
            )

    def _hurry(self, seat: Seat, time_ms: int) -> Iterator[Effect]:
        """A seat whose commit window closes must vote with what it knows, or not at all."""
        if seat.phase not in _WORKING:
            return
        if seat.duty.commit_closed:
            yield from self._release(seat)
            seat.phase = Phase.MISSED
            duty = seat.duty
            yield Warn(
                f"the vote on task {duty.task_id}, round {duty.round} closed before the verifier ended", duty.task_id
            )
        elif time_ms >= seat.last_call_ms:
            what = seat.phase.value
            yield from self._decide(seat, Verdict.INCONCLUSIVE, f"still {what} when the commit window was closing")

    def _commence(self, seat: Seat) -> Iterator[Effect]:
        seat.phase = Phase.FETCHING
        seat.attempts += 1
        seat.key = JobKey(Role.VERIFY, seat.duty.task_id, seat.duty.round, self._next_attempt())
        yield FetchFiles(seat.key, seat.duty.spec)

    def _start_ready(self) -> Iterator[Effect]:
        """Run verifiers beside whatever is being proved, the most urgent first."""
        running = sum(seat.phase is Phase.RUNNING for seat in self._by_id.values())
        ready = [seat for seat in self._by_id.values() if seat.phase is Phase.READY]
        ready.sort(key=lambda seat: (seat.duty.commit_deadline_ms, seat.duty.task_id, seat.duty.round))
        for seat in ready[: max(self._parallel - running, 0)]:
            if seat.key is not None:
                seat.phase = Phase.RUNNING
                yield RunJob(seat.key, seat.duty.spec)

    def _decide(self, seat: Seat, verdict: Verdict, detail: str) -> Iterator[Effect]:
        duty = seat.duty
        yield Journal(VerdictReached(duty.task_id, duty.round, verdict, detail))
        self._verdicts[duty.task_id, duty.round] = verdict
        yield from self._release(seat)
        seat.phase, seat.verdict = Phase.DECIDED, verdict
        yield from self._start_ready()

    def _own_fault(self, seat: Seat, detail: str) -> Iterator[Effect]:
        if seat.attempts >= _ATTEMPTS_MAX:
            yield from self._decide(seat, Verdict.INCONCLUSIVE, detail)
            return
        if seat.key is not None:
            yield Forget(seat.key)
        yield from self._commence(seat)
        yield from self._start_ready()

    def _release(self, seat: Seat) -> Iterator[Effect]:
        if seat.key is not None:
            yield Cancel(seat.key)
            yield Forget(seat.key)
            seat.key = None

    def _owed(self, seat: Seat) -> Entry | None:
        duty = seat.duty
        if seat.verdict is None or duty.revealed:
            return None
        if not duty.commitment:
            if duty.commit_closed:
                return None
            return CommitVote(
                duty.task_id, duty.round, self._ballots.commitment(duty.task_id, duty.round, seat.verdict)
            )
        if not duty.commit_closed or seat.ballot is None:
            return None
        return RevealVote(duty.task_id, duty.round, seat.ballot.verdict, seat.ballot.salt)

    def _end(self, seat_id: SeatId) -> Iterator[Effect]:
        seat = self._by_id.pop(seat_id)
        self._outbox.drop(*seat_id)
        yield from self._release(seat)
        if seat_id in self._verdicts:
            yield from self._end_verdict(seat_id)

    def _end_verdict(self, seat_id: SeatId) -> Iterator[Effect]:
        self._verdicts.pop(seat_id, None)
        yield Journal(VoteEnded(*seat_id))

    def _expecting(self, key: JobKey, *phases: Phase) -> Seat | None:
        """The seat whose current job is ``key``; ``None`` for an answer that nobody waits for."""
        seat = self._by_id.get((key.task_id, key.round))
        if seat is None or seat.key != key or seat.phase not in phases:
            return None
        return seat


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(f"verifier state is inconsistent: {what}")
