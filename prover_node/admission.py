"""What can be finished in time beside what was promised already (pure arithmetic on the worst case).

Runs are started earliest deadline first; none overtakes another whose files are here too. Each is reckoned with its
whole time limit, so what was admitted is finished whatever its program does.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from prover_node.duties import Resources

NOTHING = Resources(0, 0, 0)


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A container run as the schedule sees it; times in ms of block time.

    ``ready_ms`` is when its files are here (any time in the past if they are), ``run_ms`` how long it runs at most,
    from now on if it is ``running``. It has to end ``margin_ms`` before its deadline.
    """

    task_id: int
    resources: Resources
    ready_ms: int
    run_ms: int
    deadline_ms: int
    running: bool = False
    margin_ms: int = 0


def may_start(resources: Resources, capacity: Resources, held: Resources) -> bool:
    """Whether it fits beside what runs; what is larger than ``capacity`` (a test of a larger claim) runs alone."""
    return resources.shortage(capacity.less(held)) is None or held == NOTHING


def plan_ends(runs: Sequence[PlannedRun], capacity: Resources, now_ms: int) -> dict[int, int]:
    """When each run ends at the latest, by task."""
    ends: dict[int, int] = {}
    held = NOTHING
    active: list[tuple[int, int, Resources]] = []
    waiting = sorted((run for run in runs if not run.running), key=lambda run: (run.deadline_ms, run.task_id))
    for run in runs:
        if run.running:
            held += run.resources
            ends[run.task_id] = now_ms + run.run_ms
            heapq.heappush(active, (ends[run.task_id], run.task_id, run.resources))
    time_ms = now_ms
    while waiting:
        for run in [run for run in waiting if run.ready_ms <= time_ms]:
            if not may_start(run.resources, capacity, held):
                break
            waiting.remove(run)
            held += run.resources
            ends[run.task_id] = time_ms + run.run_ms
            heapq.heappush(active, (ends[run.task_id], run.task_id, run.resources))
        later = [run.ready_ms for run in waiting if run.ready_ms > time_ms]
        if active:
            later.append(active[0][0])
        if not later:
            break
        time_ms = max(min(later), time_ms)
        while active and active[0][0] <= time_ms:
            held = held.less(heapq.heappop(active)[2])
    return ends


def find_obstacle(offer: PlannedRun, promised: Sequence[PlannedRun], capacity: Resources, now_ms: int) -> str | None:
    """Why ``offer`` can't be finished in time beside what is ``promised``, naming the figure; ``None`` if it can."""
    shortage = offer.resources.shortage(capacity)
    if shortage is not None:
        return f"the task {shortage} on this node"
    left_ms = offer.deadline_ms - offer.margin_ms - now_ms
    fetch_ms = max(offer.ready_ms - now_ms, 0)
    if fetch_ms + offer.run_ms > left_ms:
        return (
            f"its files take {_seconds(fetch_ms)} to come here and its run up to {_seconds(offer.run_ms)}, "
            f"but {_seconds(left_ms)} are left"
        )
    before = plan_ends(promised, capacity, now_ms)
    after = plan_ends([*promised, offer], capacity, now_ms)
    if after[offer.task_id] > now_ms + left_ms:
        held = NOTHING
        for run in promised:
            held += run.resources
        shortage = offer.resources.shortage(capacity.less(held)) or "waits for tasks that are due earlier"
        start_ms = after[offer.task_id] - offer.run_ms - now_ms
        return (
            f"the task {shortage}, enough only in {_seconds(start_ms)}: with a run of up to "
            f"{_seconds(offer.run_ms)} that is more than the {_seconds(left_ms)} left"
        )
    for run in promised:
        if after[run.task_id] > run.deadline_ms >= before[run.task_id]:
            late_ms = after[run.task_id] - run.deadline_ms
            return f"the task would make task {run.task_id}, accepted before it, {_seconds(late_ms)} late"
    return None


def _seconds(ms: int) -> str:
    return f"{-(-ms // 1000)} s"
