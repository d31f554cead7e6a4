"""Whether the draw is fair: 10,000 provers, 200 tasks a block, blocks of a second; and what such blocks cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from proofmill.task.v1.event_pb2 import EventTaskOffered

from benchmarks.simulation.build import Setup, build
from benchmarks.simulation.demand import Kind
from benchmarks.simulation.population import UNIFORM, mixed_sizes
from benchmarks.simulation.stats import ChiSquare, chi_square
from chain.gas import BLOCK_MAX_GAS

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from benchmarks.simulation.population import Size

# Short ones, so that a run of half a minute sees whole lives.
SHORT: Final = (
    Kind("small", 40, 1, 2, 0, 5),
    Kind("medium", 30, 4, 16, 0, 5),
    Kind("large", 20, 16, 64, 0, 10),
    Kind("GPU", 10, 16, 64, 1, 10),
)


@dataclass(frozen=True, slots=True)
class Peak:
    """A run at the peak of the load."""

    name: str
    nodes: int
    tasks_per_s: int
    blocks: int
    mixed: bool
    committee_share_bp: int
    # Real transactions through `apply_block`.
    signed: bool = False
    seed: int = 1


@dataclass(slots=True)
class Fairness:
    """What a peak run showed. `kinds`: by kind of task, the draws among those that are large enough for it."""

    all_assignments: ChiSquare
    kinds: dict[str, ChiSquare]
    seats: ChiSquare
    # Of provers by size: (how many, assignments each).
    sizes: dict[str, tuple[int, float]]
    # How often somebody was drawn again in the very next block, and how often independent draws would have.
    repeats: int
    repeats_expected: float
    begin_ms: float
    txs_ms: float
    txs: float
    votes: float
    gas: float
    tasks: int
    # How many provers were assigned so many tasks.
    histogram: dict[int, int]
    bytes_a_task: dict[str, float] = field(default_factory=dict)

    @property
    def gas_share(self) -> float:
        """Of what a block may use."""
        return self.gas / BLOCK_MAX_GAS


def run_peak(peak: Peak) -> Fairness:
    sizes = tuple(mixed_sizes(peak.nodes)) if peak.mixed else (UNIFORM,) * peak.nodes
    world = build(
        Setup(
            nodes=peak.nodes,
            seed=peak.seed,
            peak_per_s=peak.tasks_per_s,
            sizes=sizes,
            careless_percent=0,
            redundant_percent=0,
            mix=SHORT,
            keys=peak.signed,
            signed=peak.signed,
            params=(("committee_share_bp", peak.committee_share_bp),),
        )
    )
    names = {(kind.cores * 1_000, kind.gpus): kind for kind in SHORT}
    counts = {kind.name: [0] * peak.nodes for kind in SHORT}
    last: set[int] = set()
    repeats, expected = 0, 0.0

    def listen(events: list[Message]) -> None:
        nonlocal last, repeats, expected
        drawn: list[int] = []
        for event in events:
            if isinstance(event, EventTaskOffered):
                job = world.jobs[event.task_id]
                index = world.by_operator[event.prover].index
                counts[names[job.resources.cpu_millis, job.resources.gpus].name][index] += 1
                drawn.append(index)
        repeats += sum(index in last for index in drawn)
        expected += len(drawn) * len(last) / peak.nodes
        last = set(drawn)

    world.listeners.append(listen)
    costs: list[tuple[float, float, int, int]] = []
    steady = peak.blocks * 2 // 3
    for number in range(peak.blocks):
        before = world.figures.txs
        world.step(1_000)
        if number >= steady:
            engine = world.engine
            costs.append((engine.begin_seconds, engine.txs_seconds, world.figures.txs - before, engine.gas))
    seats = [node.seats for node in world.nodes]
    figures, blocks = world.figures, len(costs)
    kinds = {}
    for kind in SHORT:
        able = [index for index, size in enumerate(sizes) if _fits(kind, size)]
        kinds[kind.name] = chi_square([counts[kind.name][index] for index in able])
    every = [sum(counts[kind.name][index] for kind in SHORT) for index in range(peak.nodes)]
    by_size: dict[str, list[int]] = {}
    for size, count in zip(sizes, every, strict=True):
        by_size.setdefault(size.name, []).append(count)
    return Fairness(
        all_assignments=chi_square(every),
        kinds=kinds,
        seats=chi_square(seats),
        sizes={name: (len(found), sum(found) / len(found)) for name, found in by_size.items()},
        repeats=repeats,
        repeats_expected=expected,
        begin_ms=sum(cost[0] for cost in costs) / blocks * 1e3,
        txs_ms=sum(cost[1] for cost in costs) / blocks * 1e3,
        txs=sum(cost[2] for cost in costs) / blocks,
        votes=2 * sum(seats) / peak.blocks,
        gas=sum(cost[3] for cost in costs) / blocks,
        tasks=figures.created,
        histogram=dict(sorted(Counter(every).items())),
        bytes_a_task={name: size / max(1, figures.dropped_tasks) for name, size in figures.task_bytes.items()},
    )


def _fits(kind: Kind, size: Size) -> bool:
    return kind.cores <= size.cores and kind.gib <= size.gib and kind.gpus <= size.gpus
