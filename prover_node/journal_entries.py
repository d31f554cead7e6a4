"""What a restarted daemon must still know although the chain can't tell it.

Only results are written down: a run that was under way when the process died is simply lost and done
again, and what was already sent is seen in the chain's own state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from prover_node.duties import FailureReason, ProofRecord, Verdict


@dataclass(frozen=True, slots=True)
class ProofMade:
    """The bundle is in the store; it only has to be submitted."""

    task_id: int
    proof: ProofRecord


@dataclass(frozen=True, slots=True)
class WorkFailed:
    """The task can't be proved; the failure only has to be reported."""

    task_id: int
    reason: FailureReason
    detail: str


@dataclass(frozen=True, slots=True)
class VerdictReached:
    """Written before the commit is sent: this node never votes otherwise in that round."""

    task_id: int
    round: int
    verdict: Verdict
    detail: str


@dataclass(frozen=True, slots=True)
class AssignmentEnded:
    """The chain no longer wants anything of this assignment."""

    task_id: int


@dataclass(frozen=True, slots=True)
class VoteEnded:
    """The chain no longer wants anything of this seat."""

    task_id: int
    round: int


JournalEntry: TypeAlias = ProofMade | WorkFailed | VerdictReached | AssignmentEnded | VoteEnded
