"""What an earlier process of this node left: containers that are gone on with, and all else that is removed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

import structlog

from prover_node.runner.base import Runner

_PREFIX = "inherited-"

log = structlog.get_logger("prover")


class Inheritance:
    """The survivors of an earlier process, and their working folders below ``work``, whose files they still read."""

    def __init__(self, runner: Runner, work: Path) -> None:
        self._runner = runner
        self._work = work
        self._folders: dict[str, Path] = {}

    async def enter(self) -> None:
        """Remove everything but the survivors and their folders; raises RunnerError, OSError."""
        orphans = await self._runner.cleanup_orphans()
        if orphans:
            log.warning("what an earlier process left was removed", jobs=orphans)
        survivors = self._runner.survivors()
        self._folders = await asyncio.to_thread(self._sort, survivors)
        if survivors:
            log.info("containers of an earlier process are still there", jobs=sorted(survivors.values()))

    async def settle(self, wanted: Collection[str]) -> None:
        """Remove the survivors that are for none of the ``wanted`` works."""
        unwanted = set(self._runner.survivors()) - set(wanted)
        if not unwanted:
            return
        log.info("containers of an earlier process that nobody waits for are removed", works=sorted(unwanted))
        await self._runner.discard_survivors(unwanted)
        for work in unwanted:
            await self.forget(work)

    async def forget(self, work: str) -> None:
        """Remove the working folder of a survivor that has been taken over and has ended; nothing else."""
        if work in self._runner.survivors():
            return
        folder = self._folders.pop(work, None)
        if folder is not None:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _sort(self, survivors: Mapping[str, str]) -> dict[str, Path]:
        """Put the survivors' folders aside, under names that no job of this process has, and remove the others."""
        self._work.mkdir(parents=True, exist_ok=True)
        aside = {work: self._work / f"{_PREFIX}{job_id}" for work, job_id in survivors.items()}
        for work, job_id in survivors.items():
            # After two restarts it lies aside already, and what has its name was made for the same job later.
            if not aside[work].exists() and (self._work / job_id).exists():
                (self._work / job_id).rename(aside[work])
        kept = set(aside.values())
        for folder in list(self._work.iterdir()):
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        return aside
