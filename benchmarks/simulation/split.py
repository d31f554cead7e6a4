"""What it buys to register one machine as several provers: draws and seats go by provers, not by cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.simulation.agents import Node
from benchmarks.simulation.build import Setup, build
from benchmarks.simulation.demand import Kind
from benchmarks.simulation.measure import Group, measure
from benchmarks.simulation.population import Size

MACHINE: Final = Size("64 cores", 64, 256, 0)
MACHINES: Final = 100
_OWNED: Final = 10
# All of it fits the smallest part.
_MIX: Final = (
    Kind("small", 60, 1, 2, 0, 60),
    Kind("medium", 40, 4, 16, 0, 120),
)
_RARE: Final = (("retest_random_blocks", 1_000_000), ("retest_idle_after_ms", 86_400_000))


class Splinter(Node):
    """An honest node that is a part of a machine."""

    name = "splinter"


@dataclass(frozen=True, slots=True)
class Split:
    """Ten machines of a hundred as so many provers each."""

    parts: int
    seed: int


@dataclass(frozen=True, slots=True)
class Parted:
    """Per machine and day."""

    split: Split
    own: Group
    others: Group

    @property
    def factor(self) -> float:
        """What a machine of the owner earns for one that isn't split."""
        return self.own.earned * self.split.parts / self.others.earned


def run_split(split: Split) -> Parted:
    part = Size("part", MACHINE.cores // split.parts, MACHINE.gib // split.parts, 0)
    world = build(
        Setup(
            nodes=MACHINES - _OWNED + _OWNED * split.parts,
            seed=split.seed,
            peak_per_s=1_000 / 86_400,
            sizes=(MACHINE,),
            strategy=Splinter,
            cheaters=_OWNED * split.parts,
            cheater_size=part,
            careless_percent=0,
            redundant_percent=0,
            mix=_MIX,
            params=_RARE,
        )
    )
    world.run(world.now + 86_400_000)
    own = [node for node in world.nodes if isinstance(node, Splinter)]
    others = [node for node in world.nodes if not isinstance(node, Splinter)]
    return Parted(split, measure(world, own, 1), measure(world, others, 1))
