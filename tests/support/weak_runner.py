"""A runner with which no daemon starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prover_node.runner.base import Job, Outcome
from tests.support.empty_runner import EmptyRunner


@dataclass
class WeakRunner(EmptyRunner):
    """A runner on a machine that can't enforce a limit; it is never asked to run anything."""

    name: str = "sandbox"
    gpus: int = 0
    gpu_obstacle: str = ""
    closed: bool = False

    def unenforced(self) -> tuple[str, ...]:
        return ("Limits on cpu aren't enforced.",)

    async def run(self, job: Job, *, on_start: Callable[[], None] | None = None) -> Outcome:
        raise AssertionError(f"{job.id} was run")

    async def prepare(self, image: Path, image_sha256: str) -> None:
        raise AssertionError(f"{image_sha256} was prepared")

    async def cancel(self, job_id: str) -> None:
        """Nothing runs."""

    async def close(self) -> None:
        self.closed = True
