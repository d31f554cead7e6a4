"""What containers and GPUs are doing now: measured every few seconds, for people and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from prover_node.runner import nvml
from prover_node.runner.base import Use
from prover_node.runner.gpus import Gpu

_SAMPLE_S = 2.0


@dataclass(frozen=True, slots=True)
class ContainerUse:
    """Thousandths of a core and bytes of memory in use, and the numbers of the GPUs that it has."""

    cpu_millis: int
    memory_bytes: int
    gpus: tuple[int, ...]


class Measuring(Protocol):
    """A runner, as far as it says what its jobs use."""

    def uses(self) -> Mapping[str, Use]:
        """By job id."""
        ...


class UseSamples:
    """The newest measurements, by job id and by a GPU's number."""

    def __init__(self, runner: Measuring, gpus: tuple[Gpu, ...]) -> None:
        self._runner = runner
        self._gpus = gpus
        self._before: Mapping[str, Use] = {}
        self._before_s = 0.0
        self.containers: dict[str, ContainerUse] = {}
        self.gpu_utilisation: dict[int, float] = {}
        """0 to 1."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look(time.monotonic())
            self.gpu_utilisation = await asyncio.to_thread(self._ask_gpus)
            await asyncio.sleep(_SAMPLE_S)

    def look(self, now_s: float) -> None:
        """Measure at this moment of a clock that only goes forward."""
        uses, elapsed_s = self._runner.uses(), now_s - self._before_s
        self.containers = {
            job_id: ContainerUse(self._cpu_millis(job_id, use, elapsed_s), use.memory_bytes, use.gpus)
            for job_id, use in uses.items()
        }
        self._before, self._before_s = uses, now_s

    def _cpu_millis(self, job_id: str, use: Use, elapsed_s: float) -> int:
        before = self._before.get(job_id)
        if before is None or elapsed_s <= 0:
            return 0
        return max(int((use.cpu_ms - before.cpu_ms) / elapsed_s), 0)

    def _ask_gpus(self) -> dict[int, float]:
        found: dict[int, float] = {}
        for gpu in self._gpus:
            with contextlib.suppress(nvml.GpuLost):
                if gpu.uuid:
                    found[gpu.number] = nvml.utilisation(gpu.uuid)
        return found
