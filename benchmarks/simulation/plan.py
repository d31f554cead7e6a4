"""Which runs make the report: all of them, or the quick ones of the tests."""

from __future__ import annotations

import gc
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from benchmarks.report import say
from benchmarks.simulation.agents import Node
from benchmarks.simulation.attacks import Damage, plan_attacks, run_attack
from benchmarks.simulation.calibrate import Calibration, calibrate
from benchmarks.simulation.day import DayFigures, Days, run_days
from benchmarks.simulation.fairness import Fairness, Peak, run_peak
from benchmarks.simulation.proposer import WITHHOLD, Bias, Capture, Gain, run_bias, run_capture
from benchmarks.simulation.split import Parted, Split, run_split
from benchmarks.simulation.strategies import STRATEGIES, Contrarian, CopycatVoter, LazyVerifier
from benchmarks.simulation.sweep import SHARES, Cell, Outcome, run_cell
from benchmarks.simulation.upkeep import Upkeep, run_upkeep

if TYPE_CHECKING:
    from collections.abc import Callable

INVALID_SHARES: Final = (10, 100, 500)


@dataclass(slots=True)
class Results:
    """What all runs came to, in the order of the plan."""

    calibration: Calibration | None = None
    peaks: dict[Peak, Fairness] = field(default_factory=dict)
    day: DayFigures | None = None
    cells: dict[Cell, Outcome] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)
    gains: list[Gain] = field(default_factory=list)
    captures: list[Capture] = field(default_factory=list)
    upkeeps: list[Upkeep] = field(default_factory=list)
    parted: list[Parted] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, how large."""

    seeds: tuple[int, ...]
    calibrate_s: int
    peaks: tuple[Peak, ...]
    days: Days
    cells: tuple[Cell, ...]
    attack_percents: tuple[int, ...]
    attack_hours: float
    biases: tuple[Bias, ...]
    # Nodes, percent of them, seats, hashes, trials.
    captures: tuple[tuple[int, int, int, int, int], ...]
    # Nodes and seconds.
    upkeeps: tuple[tuple[int, int], ...]
    splits: tuple[Split, ...]


def full_plan() -> Plan:
    seeds = (1, 2, 3)
    cells = [Cell(Node.name, 20, seed) for seed in seeds]
    cells += [Cell(strategy.name, percent, seed) for strategy in STRATEGIES for percent in SHARES for seed in seeds]
    cells += [
        Cell(LazyVerifier.name, percent, seed, invalid_bp)
        for invalid_bp in INVALID_SHARES
        if invalid_bp != 100
        for percent in (5, 20, 40)
        for seed in seeds
    ]
    cells += [
        Cell(LazyVerifier.name, percent, seed, 500, tasks_a_day=200, committee=100)
        for percent in (5, 20, 40)
        for seed in seeds
    ]
    return Plan(
        seeds=seeds,
        calibrate_s=1_800,
        peaks=(
            Peak("equal provers", 10_000, 200, 60, mixed=False, committee_share_bp=0),
            Peak("mixed provers", 10_000, 200, 60, mixed=True, committee_share_bp=0),
            Peak("mixed provers, committees of 100", 10_000, 200, 20, mixed=True, committee_share_bp=100),
            Peak("the same, signed, with the tree", 10_000, 200, 15, mixed=True, committee_share_bp=100, signed=True),
        ),
        days=Days(10_000, 200, 2),
        cells=tuple(cells),
        attack_percents=(1, 10, 40),
        attack_hours=0.5,
        biases=tuple(
            Bias(nodes, 33, hashes, seed)
            for nodes, hashes in ((10, WITHHOLD), (10, 2), (10, 16), (10, 64), (33, WITHHOLD), (33, 16))
            for seed in seeds
        ),
        captures=tuple(
            (nodes, percent, size, hashes, trials)
            for nodes, percent, size in ((100, 20, 10), (100, 33, 10), (10_000, 33, 100))
            for hashes, trials in ((1, 2_000), (16, 500), (256, 60))
            if size == 10 or hashes <= 16
        ),
        upkeeps=((100, 6 * 3_600), (10_000, 120)),
        splits=tuple(Split(parts, seed) for parts in (1, 2, 4, 16) for seed in seeds),
    )


def quick_plan() -> Plan:
    """Less than a minute: the shape of the full one, too small for its figures."""
    strategies: tuple[type[Node], ...] = (Node, LazyVerifier, Contrarian, CopycatVoter, *STRATEGIES[-1:])
    return Plan(
        seeds=(1, 2),
        calibrate_s=120,
        peaks=(Peak("equal provers", 400, 40, 30, mixed=False, committee_share_bp=0),),
        days=Days(200, 4, 1),
        cells=tuple(Cell(strategy.name, 10, seed, 500, hours=3) for strategy in strategies for seed in (1, 2)),
        attack_percents=(10,),
        attack_hours=0.1,
        biases=tuple(Bias(10, 50, hashes, seed, blocks=100) for hashes in (WITHHOLD, 16) for seed in (1, 2)),
        captures=((100, 33, 10, 1, 200), (100, 33, 10, 16, 100)),
        upkeeps=((100, 600),),
        splits=(Split(4, 1),),
    )


def run_plan(plan: Plan, workers: int) -> Results:
    """Everything, on so many cores; the longest runs first."""
    results = Results()
    jobs: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [(run_days, (plan.days,))]
    jobs += [(run_peak, (peak,)) for peak in reversed(plan.peaks)]
    jobs += [(run_upkeep, (nodes, seconds, 1)) for nodes, seconds in plan.upkeeps]
    jobs += [(run_bias, (bias,)) for bias in plan.biases]
    jobs += [(run_capture, capture) for capture in plan.captures]
    jobs += [(run_attack, (one,)) for one in plan_attacks(plan.attack_percents, plan.seeds, plan.attack_hours)]
    jobs += [(run_split, (split,)) for split in plan.splits]
    jobs += [(calibrate, (plan.calibrate_s,))]
    jobs += [(run_cell, (cell,)) for cell in plan.cells]
    if workers == 1:
        for number, (function, arguments) in enumerate(jobs):
            say(f"run {number + 1} of {len(jobs)}: {function.__name__}")
            _file(results, arguments, function(*arguments))
        return results
    spent: dict[str, float] = {}
    with ProcessPoolExecutor(workers, initializer=_prepare) as pool:
        futures = [pool.submit(_timed, function, arguments) for function, arguments in jobs]
        for number, (future, (function, arguments)) in enumerate(zip(futures, jobs, strict=True)):
            result, seconds = future.result()
            _file(results, arguments, result)
            spent[function.__name__] = spent.get(function.__name__, 0) + seconds
            if number % 20 == 0:
                say(f"run {number + 1} of {len(jobs)} is done: {function.__name__}")
    results.peaks = {peak: results.peaks[peak] for peak in plan.peaks}
    say("CPU seconds: " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in spent.items()))
    return results


def _timed(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, float]:
    start = time.process_time()
    return function(*arguments), time.process_time() - start


def _prepare() -> None:
    """Cycles are rare here, and looking for them costs a tenth of the time."""
    gc.set_threshold(200_000, 50, 50)


def _file(results: Results, arguments: tuple[Any, ...], result: object) -> None:
    if isinstance(result, Calibration):
        results.calibration = result
    elif isinstance(result, Fairness):
        results.peaks[arguments[0]] = result
    elif isinstance(result, DayFigures):
        results.day = result
    elif isinstance(result, Outcome):
        results.cells[arguments[0]] = result
    elif isinstance(result, Damage):
        results.damages.append(result)
    elif isinstance(result, Gain):
        results.gains.append(result)
    elif isinstance(result, Capture):
        results.captures.append(result)
    elif isinstance(result, Upkeep):
        results.upkeeps.append(result)
    elif isinstance(result, Parted):
        results.parted.append(result)
