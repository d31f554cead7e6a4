"""Tells the operator what happens: in the log, in the metrics, and where it went wrong in the record of incidents."""

from __future__ import annotations

from collections import deque

import structlog
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_FAILED,
    ASSIGNMENT_STATUS_PROVED,
    AssignmentStatus,
)

from client.errors import ClientError
from prover_node.chain_link import ChainLink
from prover_node.duties import Standing, Verdict
from prover_node.effects import DeclineTask, Inquire, Warn
from prover_node.incidents import Incidents, changes
from prover_node.journal_entries import JournalEntry, ProofMade, VerdictReached, WorkFailed
from prover_node.messages import Rejection
from prover_node.metrics import Metrics

_DECLINES_REMEMBERED = 1000

# Proofs and failures are known before the chain has them.
_KNOWN = (ASSIGNMENT_STATUS_PROVED, ASSIGNMENT_STATUS_FAILED)

log = structlog.get_logger("prover")


class Chronicle:
    """What there is to tell about one prover."""

    def __init__(self, incidents: Incidents, metrics: Metrics, link: ChainLink) -> None:
        self._incidents = incidents
        self._metrics = metrics
        self._link = link
        self._declined: deque[int] = deque(maxlen=_DECLINES_REMEMBERED)
        self.standing_now: Standing | None = None
        """The chain's last word on this prover."""

    def result(self, entry: JournalEntry) -> None:
        """A result was written to the journal."""
        match entry:
            case ProofMade(task_id, proof):
                self._metrics.proofs.inc()
                log.info("a proof was made", task=task_id, sha256=proof.sha256, size=proof.size)
            case WorkFailed(task_id, reason, detail):
                self._metrics.failures.labels(reason.name.lower()).inc()
                log.warning("a task failed", task=task_id, reason=reason.name.lower(), detail=detail)
                text = f"{reason.name.lower().replace('_', ' ')}: {detail}"
                self._incidents.add("failed", text, task_id=task_id)
            case VerdictReached(task_id, round_, verdict, detail):
                self._metrics.verdicts.labels(verdict.name.lower()).inc()
                log.info("a verdict was reached", task=task_id, round=round_, verdict=verdict.name, detail=detail)
                if verdict is Verdict.INCONCLUSIVE:
                    self._incidents.add("abstained", detail, task_id=task_id, round_=round_)

    def decline(self, effect: DeclineTask) -> None:
        """An offer is declined."""
        if effect.task_id in self._declined:
            return  # sent again
        self._declined.append(effect.task_id)
        self._metrics.tasks.labels("declined").inc()
        log.info("an offer is declined", task=effect.task_id, reason=effect.reason)
        self._incidents.add("declined", effect.reason, task_id=effect.task_id)

    def warning(self, effect: Warn) -> None:
        """The machine has something to say."""
        log.warning(effect.message, task=effect.task_id)
        self._incidents.add("warning", effect.message, task_id=effect.task_id)

    def rejection(self, rejection: Rejection) -> None:
        """The chain didn't take an entry."""
        ref = rejection.ref
        reason = f"{rejection.log} ({rejection.codespace} {rejection.code})"
        log.warning(
            "the chain refused an entry",
            entry=ref.kind.value,
            task=ref.task_id,
            round=ref.round or None,
            reason=reason,
        )
        self._incidents.add("refused", f"{ref.kind.value}: {reason}", task_id=ref.task_id, round_=ref.round)

    def standing(self, standing: Standing) -> None:
        """What the chain thinks of this prover now."""
        for kind, detail in changes(self.standing_now, standing):
            log.warning("the chain holds something against this prover", what=kind, detail=detail)
            self._incidents.add(kind, detail)
        self.standing_now = standing

    async def inquire(self, effect: Inquire) -> None:
        """Have the chain's own words on how an assignment ended, unless as this node expected."""
        try:
            assignment = await self._link.assignment(effect.task_id)
        except ClientError as error:
            log.info("how an assignment ended isn't known", task=effect.task_id, reason=str(error))
            return
        if assignment is None:
            return
        status = AssignmentStatus.Name(assignment.status).removeprefix("ASSIGNMENT_STATUS_").lower().replace("_", " ")
        self._metrics.tasks.labels(status).inc()
        if assignment.status in _KNOWN:
            return
        detail = f"{assignment.reason or 'the chain gives no reason'}; it was {effect.phase} here"
        log.warning("an assignment ended", task=effect.task_id, status=status, detail=detail)
        self._incidents.add(status, detail, task_id=effect.task_id)
