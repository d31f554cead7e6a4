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


class Phase(enum.Enum):
    """Where the work on an assignment stands on this machine."""

    DECLINED = "declined"
    FETCHING = "fetching"
    READY = "ready"
    RUNNING = "running"
    PACKING = "packing"
    PROVED = "proved"
    FAILED = "failed"


PROMISED = frozenset({Phase.FETCHING, Phase.READY, Phase.RUNNING, Phase.PACKING})
BUSY = frozenset({Phase.RUNNING, Phase.PACKING})


@dataclass(slots=True)
class Assignment:
    """One assignment and the state of the work on it."""

    duty: ProveDuty
    phase: Phase
    deadline_ms: int = 0
    """Of an offer: what it would be if it were accepted now."""
    ready_ms: int = 0
    """When its files are expected to be here."""
    ends_ms: int = 0
    """When its container ends at the latest."""
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
    """A promised assignment as the schedule sees it at block time ``now_ms``."""
    duty = assignment.duty
    running = assignment.phase in BUSY
    return PlannedRun(
        task_id=duty.task_id,
        resources=duty.spec.resources,
        ready_ms=assignment.ready_ms if assignment.phase is Phase.FETCHING else now_ms,
        run_ms=max(assignment.ends_ms - now_ms, ENDING_MS) if running else 1000 * duty.spec.time_limit_s,
        deadline_ms=assignment.deadline_ms,
        running=running,
    )
