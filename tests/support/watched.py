"""A chain in memory whose tasks are told as a client would tell them, after every block."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chain import schema
from client.life import task_life
from tests.support.life import task_of
from tests.support.network import Network

if TYPE_CHECKING:
    from proofmill.genesis.v1.genesis_pb2 import Genesis

    from client.life_step import Step


@dataclass
class Watched(Network):
    """A network that is looked at after each block: what was told of a task must stay, and only grow at its end."""

    told: dict[int, tuple[Step, ...]] = field(default_factory=dict)

    @classmethod
    def watch(cls, genesis: Genesis) -> Watched:
        network = cls.start(genesis)
        assert isinstance(network, Watched)
        return network

    def next_block(self, **changes: Any) -> Any:
        results = super().next_block(**changes)
        for task_id in list(schema.TASKS.keys(self.values)):
            before = self.told.get(task_id, ())
            if before and before[-1].name == "ended":
                continue
            life = task_life(task_of(self, task_id))
            assert life[: len(before)] == before
            self.told[task_id] = life
        return results

    def names(self, task_id: int = 1) -> list[str]:
        return [step.name for step in self.told[task_id]]

    def text(self, name: str, task_id: int = 1) -> str:
        """Of the only step of that name."""
        (found,) = self.texts(name, task_id)
        return found

    def texts(self, name: str, task_id: int = 1) -> list[str]:
        return [step.text for step in self.told[task_id] if step.name == name]
