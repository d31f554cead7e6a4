"""Each strategy against honest nodes, at several shares of the nodes and with several seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.simulation.agents import Node
from benchmarks.simulation.build import Setup, build
from benchmarks.simulation.measure import Group, average, measure
from benchmarks.simulation.stats import Mean, mean_of
from benchmarks.simulation.strategies import STRATEGIES, Pool, ProofCopycat

SHARES: Final = (1, 5, 10, 20, 40)
NODES: Final = 100
DAY_S: Final = 86_400
TASKS_A_DAY: Final = 500
INVALID_BP: Final = 100
BY_NAME: Final = {Node.name: Node} | {strategy.name: strategy for strategy in STRATEGIES}
# These are about tasks with several provers, so most of theirs are.
_REDUNDANT: Final = (ProofCopycat.name, Pool.name)


@dataclass(frozen=True, slots=True)
class Cell:
    """One run."""

    strategy: str
    percent: int
    seed: int
    invalid_bp: int = INVALID_BP
    hours: int = 24
    tasks_a_day: int = TASKS_A_DAY
    # Seats; 100 is what the protocol has with 10,000 provers.
    committee: int = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one run: cheaters (honest nodes too if there are none) beside honest nodes."""

    cheaters: Group
    honest: Group
    # Rounds of (valid, invalid) proofs whose verdict was (right, wrong, none).
    valid: tuple[int, int, int]
    invalid: tuple[int, int, int]
    bad_share: float
    undecided: int
    tasks: int
    rejected: int


def run_cell(cell: Cell) -> Outcome:
    strategy = BY_NAME[cell.strategy]
    nodes = NODES if cell.committee == 10 else 5 * cell.committee // 2
    rare = (("retest_random_blocks", 1_000_000), ("retest_idle_after_ms", 86_400_000))
    world = build(
        Setup(
            nodes=nodes,
            seed=cell.seed,
            peak_per_s=cell.tasks_a_day / DAY_S,
            strategy=strategy,
            cheaters=nodes * cell.percent // 100,
            invalid_bp=cell.invalid_bp,
            redundant_percent=50 if cell.strategy in _REDUNDANT else 10,
            params=() if cell.committee == 10 else (("committee_min", cell.committee), *rare),
        )
    )
    world.run(world.now + cell.hours * 3_600_000)
    days = cell.hours / 24
    honest = [node for node in world.nodes if node.name == Node.name]
    cheaters = [node for node in world.nodes if node.name == cell.strategy]
    figures = world.figures

    def verdicts(truth: str) -> tuple[int, int, int]:
        other = "INVALID" if truth == "VALID" else "VALID"
        right, wrong = figures.verdicts.get((truth, truth), 0), figures.verdicts.get((truth, other), 0)
        every = sum(count for (what, _), count in figures.verdicts.items() if what == truth)
        return right, wrong, every - right - wrong

    return Outcome(
        cheaters=measure(world, cheaters, days),
        honest=measure(world, honest, days),
        valid=verdicts("VALID"),
        invalid=verdicts("INVALID"),
        bad_share=figures.bad_proofs / max(1, figures.proofs),
        undecided=figures.ends.get("UNDECIDED", 0),
        tasks=figures.created,
        rejected=sum(figures.rejected.values()),
    )


@dataclass(frozen=True, slots=True)
class Result:
    """A strategy at one share over all seeds: the difference a node and day, in umill."""

    cheaters: Group
    honest: Group
    difference: Mean
    outcomes: tuple[Outcome, ...]


def combine(outcomes: list[Outcome]) -> Result:
    return Result(
        cheaters=average([one.cheaters for one in outcomes]),
        honest=average([one.honest for one in outcomes]),
        difference=mean_of([one.cheaters.net - one.honest.net for one in outcomes]),
        outcomes=tuple(outcomes),
    )
