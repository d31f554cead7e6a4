"""What can be finished in time beside what was promised already: pure arithmetic, no clock.

Runs start in a fixed order, none before the one ahead of it. Such a schedule only gets earlier when runs end early or
files come early (an unordered one may get later: R. L. Graham, "Bounds on multiprocessing timing anomalies", SIAM J.
Appl. Math. 17, 1969). So an order in which everything is finished in time by its whole limits stays good whatever the
programs do, and is given up only for another that is as good.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prover_node.duties import Resources

NOTHING = Resources(0, 0, 0)

Order = tuple[int, ...]
"""Tasks that wait for their start, the first to start first."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A container run as the schedule sees it; times in ms of block time.

    ``ready_ms`` is when its files are here (any time in the past if they are), ``run_ms`` how long it runs at most,
    from now on if it is ``running``. It has to end ``margin_ms`` before its deadline. ``likely_ms`` is ``run_ms`` by
    experience, and the same where there is none. A ``hopeful`` run was accepted by experience alone.
    """

    task_id: int
    resources: Resources
    ready_ms: int
    run_ms: int
    deadline_ms: int
    running: bool = False
    margin_ms: int = 0
    likely_ms: int = 0
    hopeful: bool = False

    @property
    def due_ms(self) -> int:
        """When it has to have ended."""
        return self.deadline_ms - self.margin_ms

    def as_usual(self) -> PlannedRun:
        """The same, were it to take what it usually takes."""
        return replace(self, run_ms=self.likely_ms) if self.likely_ms else self


@dataclass(frozen=True, slots=True)
class Answer:
    """To an offer: the order in which all is finished in time, or in one sentence why there is none."""

    order: Order = ()
    obstacle: str = ""


def may_start(resources: Resources, capacity: Resources, held: Resources) -> bool:
    """Whether it fits beside what runs; what is larger than ``capacity`` (a test of a larger claim) runs alone."""
    return resources.shortage(capacity.less(held)) is None or held == NOTHING


def order_by_deadline(runs: Sequence[PlannedRun], capacity: Resources, now_ms: int) -> Order:
    """Earliest deadline first, except that what still waits for its files is overtaken by what needn't wait."""
    machine = _Machine(runs, capacity, now_ms)
    waiting = sorted(
        (run for run in runs if not run.running), key=lambda run: (run.deadline_ms, run.ready_ms, run.task_id)
    )
    order: list[int] = []
    while waiting:
        for run in [run for run in waiting if run.ready_ms <= machine.time_ms]:
            if not machine.has_room_for(run):
                break
            waiting.remove(run)
            order.append(run.task_id)
            machine.start(run)
        machine.advance([run.ready_ms for run in waiting if run.ready_ms > machine.time_ms])
    return tuple(order)


def plan_ends(runs: Sequence[PlannedRun], order: Order, capacity: Resources, now_ms: int) -> dict[int, int]:
    """When each run ends at the latest, by task, if those that wait start in ``order``."""
    machine = _Machine(runs, capacity, now_ms)
    waiting = {run.task_id: run for run in runs if not run.running}
    for task_id in order:
        run = waiting[task_id]
        while run.ready_ms > machine.time_ms or not machine.has_room_for(run):
            machine.advance([run.ready_ms] if run.ready_ms > machine.time_ms else [])
        machine.start(run)
    return machine.ends


def choose_order(runs: Sequence[PlannedRun], kept: Order, capacity: Resources, now_ms: int) -> Order:
    """By deadline, unless the order that was ``kept`` until now makes fewer late.

    Those accepted by experience alone are the first that may be late.
    """
    orders = (order_by_deadline(runs, capacity, now_ms), _completed(kept, runs))

    def harm(order: Order) -> tuple[int, int]:
        late = _late(runs, order, capacity, now_ms)
        hopeful = sum(run.hopeful for run in runs if run.task_id in late)
        return len(late) - hopeful, hopeful

    return min(orders, key=harm)


def judge(offer: PlannedRun, promised: Sequence[PlannedRun], kept: Order, capacity: Resources, now_ms: int) -> Answer:
    """Whether ``offer`` can be finished in time beside what is ``promised``, and makes nothing of that late.

    Whole time limits are what counts; only a hopeful run's own deadline is judged by what runs usually take. What is
    late anyway holds up no offer.
    """
    shortage = offer.resources.shortage(capacity)
    if shortage is not None:
        return Answer(obstacle=f"the task {shortage} on this node")
    own = offer.as_usual() if offer.hopeful else offer
    left_ms = offer.due_ms - now_ms
    fetch_ms = max(offer.ready_ms - now_ms, 0)
    if fetch_ms + own.run_ms > left_ms:
        return Answer(
            obstacle=f"its files take {_seconds(fetch_ms)} to come here and its run up to {_seconds(own.run_ms)}, "
            f"but {_seconds(left_ms)} are left"
        )
    before = choose_order(promised, kept, capacity, now_ms)
    late_anyway = _late(promised, before, capacity, now_ms)
    runs = [*promised, offer]
    by_deadline = order_by_deadline(runs, capacity, now_ms)
    for order in (by_deadline, (*before, offer.task_id)):
        if _late(runs, order, capacity, now_ms) <= late_anyway:
            return Answer(order)
    late = _late(runs, by_deadline, capacity, now_ms) - late_anyway
    usual = plan_ends([run.as_usual() for run in runs], by_deadline, capacity, now_ms)
    whole = plan_ends(runs, by_deadline, capacity, now_ms)
    if offer.task_id not in late:
        run = next(run for run in promised if run.task_id in late)
        late_ms = (usual if run.hopeful else whole)[run.task_id] - run.due_ms
        return Answer(obstacle=f"the task would make task {run.task_id}, accepted before it, {_seconds(late_ms)} late")
    held = NOTHING
    for run in promised:
        held += run.resources
    shortage = offer.resources.shortage(capacity.less(held)) or "waits for tasks that are due earlier"
    start_ms = (usual if offer.hopeful else whole)[offer.task_id] - own.run_ms - now_ms
    return Answer(
        obstacle=f"the task {shortage}, enough only in {_seconds(start_ms)}: with a run of up to "
        f"{_seconds(own.run_ms)} that is more than the {_seconds(left_ms)} left"
    )


def _late(runs: Sequence[PlannedRun], order: Order, capacity: Resources, now_ms: int) -> frozenset[int]:
    """Tasks that miss their deadline: by whole limits, the hopeful ones by what runs usually take."""
    whole = plan_ends(runs, order, capacity, now_ms)
    late = {run.task_id for run in runs if not run.hopeful and whole[run.task_id] > run.due_ms}
    if any(run.hopeful for run in runs):
        usual = plan_ends([run.as_usual() for run in runs], order, capacity, now_ms)
        late |= {run.task_id for run in runs if run.hopeful and usual[run.task_id] > run.due_ms}
    return frozenset(late)


def _completed(order: Order, runs: Sequence[PlannedRun]) -> Order:
    """``order`` without what has started or gone since, and with what is new at its end."""
    waiting = {run.task_id: run for run in runs if not run.running}
    known = tuple(task_id for task_id in order if task_id in waiting)
    new = sorted((run for run in waiting.values() if run.task_id not in known), key=lambda run: run.deadline_ms)
    return (*known, *(run.task_id for run in new))


class _Machine:
    """Free resources as time passes."""

    def __init__(self, runs: Sequence[PlannedRun], capacity: Resources, now_ms: int) -> None:
        self.time_ms = now_ms
        self.ends: dict[int, int] = {}
        self._capacity = capacity
        self._held = NOTHING
        self._active: list[tuple[int, int, Resources]] = []
        for run in runs:
            if run.running:
                self.start(run)

    def has_room_for(self, run: PlannedRun) -> bool:
        """Whether it may start now."""
        return may_start(run.resources, self._capacity, self._held)

    def start(self, run: PlannedRun) -> None:
        """Now."""
        self._held += run.resources
        self.ends[run.task_id] = self.time_ms + run.run_ms
        heapq.heappush(self._active, (self.ends[run.task_id], run.task_id, run.resources))

    def advance(self, others: Sequence[int]) -> None:
        """To the next end of a run, or the first of ``others`` if that is earlier."""
        times = [*others, *(end for end, _, _ in self._active[:1])]
        if times:
            self.time_ms = max(min(times), self.time_ms)
        while self._active and self._active[0][0] <= self.time_ms:
            self._held = self._held.less(heapq.heappop(self._active)[2])


def _seconds(ms: int) -> str:
    return f"{-(-ms // 1000)} s"
