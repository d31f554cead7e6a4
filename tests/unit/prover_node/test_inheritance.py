"""What a restarted node keeps of its predecessor's working folders, and when it lets go of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from prover_node.inheritance import Inheritance
from prover_node.runner.base import Runner


@dataclass
class Engine:
    """An engine's containers: one survived for task 7, and another for task 8."""

    left: dict[str, str] = field(default_factory=lambda: {"prove-7": "prove-7-1", "prove-8": "prove-8-2"})

    async def cleanup_orphans(self) -> list[str]:
        return ["prove-9-3"]

    def survivors(self) -> dict[str, str]:
        return dict(self.left)

    async def discard_survivors(self, works: Collection[str]) -> None:
        for work in works:
            del self.left[work]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name in ("prove-7-1", "prove-8-2", "prove-9-3"):
        (tmp_path / name / "input").mkdir(parents=True)
    return tmp_path


def names(work: Path) -> list[str]:
    return sorted(path.name for path in work.iterdir())


async def enter(engine: Engine, work: Path) -> Inheritance:
    inheritance = Inheritance(cast(Runner, engine), work)
    await inheritance.enter()
    return inheritance


async def test_folders_that_containers_read_are_put_aside_and_all_others_removed(work: Path) -> None:
    await enter(Engine(), work)
    assert names(work) == ["inherited-prove-7-1", "inherited-prove-8-2"]
    assert (work / "inherited-prove-7-1/input").is_dir()


async def test_a_second_restart_keeps_them_and_not_what_the_first_made_in_their_names(work: Path) -> None:
    await enter(Engine(), work)
    (work / "prove-7-1/other").mkdir(parents=True)
    await enter(Engine(), work)
    assert names(work) == ["inherited-prove-7-1", "inherited-prove-8-2"]
    assert (work / "inherited-prove-7-1/input").is_dir()


async def test_what_nobody_waits_for_goes_with_its_folder(work: Path) -> None:
    engine = Engine()
    inheritance = await enter(engine, work)
    await inheritance.settle({"prove-7", "prove-10"})
    assert engine.left == {"prove-7": "prove-7-1"}
    assert names(work) == ["inherited-prove-7-1"]


async def test_a_folder_goes_once_its_container_was_taken_over_and_has_ended(work: Path) -> None:
    engine = Engine()
    inheritance = await enter(engine, work)
    await inheritance.forget("prove-7")
    assert "inherited-prove-7-1" in names(work)
    del engine.left["prove-7"]
    await inheritance.forget("prove-7")
    assert names(work) == ["inherited-prove-8-2"]
