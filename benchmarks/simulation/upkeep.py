"""What the network's own capacity tests cost its nodes: a network without any tasks, blocks of a second."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.simulation.build import Setup, build
from benchmarks.simulation.measure import Group, measure


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Per node and day."""

    nodes: int
    seconds: int
    group: Group
    random_tests: float
    idle_tests: float
    bytes_a_test: float


def run_upkeep(nodes: int, seconds: int, seed: int) -> Upkeep:
    world = build(Setup(nodes=nodes, seed=seed, peak_per_s=0, careless_percent=0))
    for _ in range(seconds):
        world.step(1_000)
    days = seconds / 86_400
    figures = world.figures
    return Upkeep(
        nodes=nodes,
        seconds=seconds,
        group=measure(world, world.nodes, days),
        random_tests=figures.tests.get("RANDOM", 0) / nodes / days,
        idle_tests=figures.tests.get("IDLE", 0) / nodes / days,
        bytes_a_test=sum(figures.test_bytes.values()) / max(1, figures.dropped_tests),
    )
