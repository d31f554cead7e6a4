"""All decisions of the prover daemon: events in, a list of effects out; no I/O and no clock.

The chain's report of duties is the truth: whatever it lists is worked on until the chain itself shows
that it is done, and whatever it no longer lists is dropped. Everything else (a transaction's fate, what
the journal remembers) only saves work. The interpreter must perform effects in order and feed every answer back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prover_node.assignment import Assignment, Phase as ProvePhase
from prover_node.assignments import Assignments
from prover_node.ballots import Ballots
from prover_node.duties import Resources, Role
from prover_node.effects import Effect
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
from prover_node.journal_entries import ProofMade, VerdictReached, WorkFailed
from prover_node.outbox import Outbox
from prover_node.proof_commitments import ProofCommitments
from prover_node.retests import Retests
from prover_node.seats import Phase as VotePhase, Seat, Seats


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """``capacity`` bounds what is proved at once; ``parallel_verifiers`` run beside it.

    With ``auto_retest`` a prover that is out asks for the capacity test that brings it in again. With
    ``trust_learned`` offers are accepted that only fit if their programs take no longer than usual.
    """

    capacity: Resources
    parallel_verifiers: int
    auto_retest: bool = False
    trust_learned: bool = False


class Machine:
    """The daemon's decisions. ``handle`` is the only way in."""

    def __init__(self, config: MachineConfig, ballots: Ballots, commitments: ProofCommitments) -> None:
        self._attempts = 0
        self._ballots, self._commitments = ballots, commitments
        self._outbox = Outbox()
        self._assignments = Assignments(
            config.capacity, commitments, self._outbox, self._next_attempt, trust_learned=config.trust_learned
        )
        self._seats = Seats(ballots, config.parallel_verifiers, self._outbox, self._next_attempt)
        self._retests = Retests(automatic=config.auto_retest, outbox=self._outbox)
        self._height = 0
        self._time_ms = 0

    def handle(self, event: Event) -> list[Effect]:
        """Take ``event`` into account and return what is to be done now, in order."""
        effects = list(self._effects(event))
        if self._height:
            effects += self._assignments.owed_now(self._height)
            effects += self._seats.owed_now(self._height)
            effects += self._retests.owed_now(self._height, self._time_ms)
        return effects

    @property
    def height(self) -> int:
        """Of the newest report; 0 before the first."""
        return self._height

    @property
    def time_ms(self) -> int:
        """Block time of the newest report; 0 before the first."""
        return self._time_ms

    @property
    def held(self) -> Resources:
        """By prover containers that run, or are being stopped."""
        return self._assignments.held

    @property
    def unfinished(self) -> int:
        """Duties that still need work or a message."""
        return self._assignments.unfinished + self._seats.unfinished

    def prove_phases(self) -> dict[int, ProvePhase]:
        """Phase of each assignment, by task."""
        return self._assignments.phases()

    def assignments(self) -> list[Assignment]:
        """How far each assignment is: copies, by task."""
        return self._assignments.listed()

    def seats(self) -> list[Seat]:
        """How far each seat is: copies, by task and round."""
        return self._seats.listed()

    def vote_phases(self) -> dict[tuple[int, int], VotePhase]:
        """Phase of each seat, by task and round."""
        return self._seats.phases()

    def works_under_way(self) -> set[str]:
        """What containers run for, or are going to (see ``JobKey.work``)."""
        return self._assignments.works_under_way() | self._seats.works_under_way()

    def validate_state(self) -> None:
        """Raise AssertionError unless the state is consistent."""
        self._assignments.validate_state()
        self._seats.validate_state()

    def _effects(self, event: Event) -> Iterator[Effect]:  # noqa: C901, PLR0912 - one arm an event, nothing else
        proving, voting = self._assignments, self._seats
        match event:
            case DutiesReported():
                # Another node of ours to ask may lag behind; an old list must not cancel work.
                if event.height >= self._height:
                    self._height, self._time_ms = event.height, event.time_ms
                    yield from voting.report(event.votes, event.height, event.time_ms)
                    yield from proving.report(event)
            case StandingReported(standing):
                self._retests.report(standing)
                proving.declines_left = standing.declines_left
            case Restarted():
                proving.surviving |= event.surviving
                for entry in event.entries:
                    if isinstance(entry, VerdictReached):
                        voting.remember(entry)
                    elif isinstance(entry, ProofMade | WorkFailed):
                        proving.remember(entry)
            case Fetched(key):
                yield from voting.fetched(key) if key.role is Role.VERIFY else proving.fetched(key)
            case FetchFailed(key, kind, detail):
                duty = voting if key.role is Role.VERIFY else proving
                yield from duty.fetch_failed(key, kind, detail)
            case ProofUnusable(key, detail):
                yield from voting.proof_unusable(key, detail)
            case RunFinished(key, outcome):
                yield from (voting if key.role is Role.VERIFY else proving).run_finished(key, outcome)
            case ProofStored(key, proof):
                yield from proving.proof_stored(key, proof)
            case PackFailed(key, detail):
                yield from proving.pack_failed(key, detail)
            case JobBroken(key, detail):
                yield from (voting if key.role is Role.VERIFY else proving).broken(key, detail)
            case Stopped(key):
                yield from proving.stopped(key)
            case TxFailed(entries):
                for ref in entries:
                    self._outbox.not_sent(ref, self._height)
            case NodeKeyRotated(secret):
                self._ballots.use(secret)
                self._commitments.use(secret)
            case Draining():
                proving.draining = self._retests.draining = True

    def _next_attempt(self) -> int:
        self._attempts += 1
        return self._attempts
