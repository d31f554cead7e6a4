"""One assignment, and how far the work on it is on this machine."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from prover_node.admission import PlannedRun
from prover_node.duties import FailureReason, JobKey, ProofRecord, ProveDuty

DETAIL_BYTES_MAX = 256
"""Protocol: the longest reason of a decline and detail of a failure report, in bytes of UTF-8."""

ENDING_MS = 1000
"""What ending a container takes, as plans reckon with it."""

# What plans reckon with besides, each at most a share of what the deadline allows for transfers: for an acceptance to
# land, for starting a container when time is known to a block only, for packing a proof and getting it into a block.
_ACCEPTING_MS = 2000
_STARTING_MS = 1000
_PUBLISHING_MS = 3000


class Phase(enum.Enum):
    """Where the work on an assignment stands on this machine."""

    UNDECIDED = "undecided"
    """An offer that isn't answered yet, because what runs now may end soon."""
    DECLINED = "declined"
    FETCHING = "fetching"
    READY = "ready"
    RUNNING = "running"
    PACKING = "packing"
    PROVED = "proved"
    FAILED = "failed"


PROMISED = frozenset({Phase.FETCHING, Phase.READY, Phase.RUNNING, Phase.PACKING})
PLANNED = PROMISED - {Phase.PACKING}
UNANSWERED = frozenset({Phase.UNDECIDED, Phase.DECLINED})


@dataclass(slots=True)
class Assignment:
    """One assignment and the state of the work on it."""

    duty: ProveDuty
    phase: Phase
    deadline_ms: int = 0
    """Of an offer: what it would be if it were accepted now."""
    ready_ms: int = 0
    """When its files are expected to be here."""
    likely_ms: int = 0
    """How long such runs take by experience; 0 if there is none."""
    hopeful: bool = False
    """Accepted by experience alone."""
    started_ms: int = 0
    """When its container started."""
    key: JobKey | None = None
    attempts: int = 0
    decline_reason: str = ""
    proof: ProofRecord | None = None
    failure: tuple[FailureReason, str] | None = None
    foreign: bool = False
    """The commitment on chain is to another proof than the one here."""


def clip_detail(detail: str) -> str:
    """``detail`` on one plain line and within the protocol's length."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(detail.split()))
    return line.encode()[:DETAIL_BYTES_MAX].decode(errors="ignore")


def planned_run(assignment: Assignment, now_ms: int) -> PlannedRun:
    """A promised or offered assignment as the schedule sees it at block time ``now_ms``.

    An acceptance lands later than now, and the deadline counts from then on.
    """
    duty = assignment.duty
    starting_ms = min(_STARTING_MS, duty.transfer_ms // 8)
    limit_ms = 1000 * duty.spec.time_limit_s
    run_ms, usual_ms = limit_ms + starting_ms, min(assignment.likely_ms or limit_ms, limit_ms) + starting_ms
    running = assignment.phase is Phase.RUNNING
    if running:
        run_ms = max(assignment.started_ms + run_ms - now_ms, ENDING_MS)
        # Whoever takes longer than usual may take all its time.
        usual_ms = max(assignment.started_ms + usual_ms - now_ms, 0) or run_ms
    ready_ms, deadline_ms = now_ms, assignment.deadline_ms
    if assignment.phase is not Phase.READY:
        ready_ms = max(assignment.ready_ms, now_ms + 1)
    if not duty.accepted:
        ready_ms = max(ready_ms, now_ms + min(_ACCEPTING_MS, duty.transfer_ms // 4))
        deadline_ms = max(deadline_ms, now_ms + limit_ms + duty.transfer_ms)
    return PlannedRun(
        task_id=duty.task_id,
        resources=duty.spec.resources,
        ready_ms=ready_ms,
        run_ms=run_ms,
        deadline_ms=deadline_ms,
        running=running,
        margin_ms=min(_PUBLISHING_MS, duty.transfer_ms // 2),
        likely_ms=min(usual_ms, run_ms),
        hopeful=assignment.hopeful,
    )
