"""Until when the chain wants the result of each job: what takes longer is of no use to anybody."""

from __future__ import annotations

import math
import time

from prover_node.duties import JobKey, Role
from prover_node.events import DutiesReported


class Deadlines:
    """The deadlines of the newest report, by what a job is for."""

    def __init__(self) -> None:
        self._ends_s: dict[str, float] = {}

    def report(self, event: DutiesReported) -> None:
        """Take over the chain's word; its deadlines are block times, so they are counted from the block's own."""
        now_s = time.monotonic()
        ends_ms = {JobKey(Role.PROVE, duty.task_id, 0, 0).work: duty.deadline_ms for duty in event.assignments}
        for vote in event.votes:
            ends_ms[JobKey(Role.VERIFY, vote.task_id, vote.round, 0).work] = vote.commit_deadline_ms
        self._ends_s = {work: now_s + (end_ms - event.time_ms) / 1000 for work, end_ms in ends_ms.items() if end_ms}

    def left_s(self, key: JobKey) -> float:
        """How long from now on the chain wants the job's result; infinite where it has named no end."""
        return self._ends_s.get(key.work, math.inf) - time.monotonic()
