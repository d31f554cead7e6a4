"""Two days of a network of 10,000 provers of mixed sizes under a day's load curve: utilisation, waiting, growth.

A block stands for five minutes here, and tasks take minutes to hours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from proofmill.prover.v1.state_pb2 import PROVER_STATUS_ACTIVE
from proofmill.task.v1.event_pb2 import EventTaskOffered

from benchmarks.simulation.build import Setup, build
from benchmarks.simulation.demand import Kind
from benchmarks.simulation.population import mixed_sizes
from chain import schema
from chain.params import DAY_MS, HOUR_MS
from tests.support.network import START_MS

if TYPE_CHECKING:
    from google.protobuf.message import Message

BLOCK_MS: Final = 300_000
LONG: Final = (
    Kind("small", 40, 1, 2, 0, 600),
    Kind("medium", 30, 8, 32, 0, 3_600),
    Kind("large", 15, 48, 192, 0, 6 * 3_600),
    Kind("GPU", 15, 16, 64, 1, 6 * 3_600),
)


@dataclass(frozen=True, slots=True)
class Days:
    """A long run."""

    nodes: int
    peak_per_block: int
    days: int
    seed: int = 1


@dataclass(slots=True)
class Hour:
    """What one hour was like; shares are of what provers claim."""

    tasks: int
    cores_used: float
    gpus_used: float
    # Tasks that wait at its end.
    waiting: int


@dataclass(slots=True)
class DayFigures:
    hours: list[Hour] = field(default_factory=list)
    # Blocks from run to first offer, by kind of task: how many tasks waited so long.
    waits: dict[str, dict[int, int]] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    tasks: int = 0
    bytes_a_task: float = 0
    # By size of prover: (how many, assignments a day each, share of its cores in use, umill a day each).
    sizes: dict[str, tuple[int, float, float, float]] = field(default_factory=dict)
    cores: dict[str, int] = field(default_factory=dict)


def run_days(days: Days) -> DayFigures:
    sizes = tuple(mixed_sizes(days.nodes))
    world = build(
        Setup(
            nodes=days.nodes,
            seed=days.seed,
            peak_per_s=days.peak_per_block * 1_000 / BLOCK_MS,
            trough=0.1,
            sizes=sizes,
            mix=LONG,
            redundant_percent=0,
            queue_timeout_s=6 * 3_600,
            tests=False,
            params=(("committee_share_bp", 0),),
        )
    )
    figures = DayFigures()
    names = {(kind.cores * 1_000, kind.gpus): kind.name for kind in LONG}
    figures.waits = {kind.name: {} for kind in LONG}
    first_offers: set[int] = set()

    def listen(events: list[Message]) -> None:
        for event in events:
            if isinstance(event, EventTaskOffered) and event.task_id not in first_offers:
                first_offers.add(event.task_id)
                job = world.jobs[event.task_id]
                waits = figures.waits[names[job.resources.cpu_millis, job.resources.gpus]]
                waited = job.offered_height - job.created_height
                waits[waited] = waits.get(waited, 0) + 1

    world.listeners.append(listen)
    total_cores = sum(size.cores for size in sizes) * 1_000
    total_gpus = sum(size.gpus for size in sizes)
    busy: dict[str, float] = {}
    looks = 0
    made = 0
    # Begin at the least load of a day.
    world.engine.time_ms = START_MS - START_MS % DAY_MS + DAY_MS
    end = world.now + days.days * DAY_MS
    while world.now < end:
        world.step(BLOCK_MS)
        if world.now % HOUR_MS:
            continue
        cores = gpus = 0
        looks += 1
        for node in world.nodes:
            prover = schema.PROVERS.require(world.engine.rows, node.operator.raw)
            cores += prover.used.cpu_millis
            gpus += prover.used.gpus
            name = node.size.name
            busy[name] = busy.get(name, 0) + prover.used.cpu_millis / prover.resources.cpu_millis
            assert prover.status == PROVER_STATUS_ACTIVE or not world.figures.fallbacks or node.name != "honest"
        waiting = sum(1 for _ in schema.PENDING.keys(world.engine.rows))
        figures.hours.append(
            Hour(world.figures.created - made, cores / total_cores, gpus / max(1, total_gpus), waiting)
        )
        made = world.figures.created
    by_size: dict[str, list[tuple[int, int]]] = {}
    for node in world.nodes:
        by_size.setdefault(node.size.name, []).append((node.assigned, sum(node.income.values())))
        figures.cores[node.size.name] = node.size.cores
    for name, found in by_size.items():
        count = len(found)
        figures.sizes[name] = (
            count,
            sum(assigned for assigned, _ in found) / count / days.days,
            busy[name] / count / looks,
            sum(umill for _, umill in found) / count / days.days,
        )
    figures.tasks = world.figures.created
    figures.ends = world.figures.ends
    figures.bytes_a_task = sum(world.figures.task_bytes.values()) / max(1, world.figures.dropped_tasks)
    return figures
