"""Which GPUs a machine has, which job holds which, and how long they computed for it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prover_node.runner import nvml

_DEVICE = re.compile(r"nvidia(\d+)")
_DEVICES = Path("/dev")
_SAMPLE_S = 1.0


@dataclass(frozen=True, order=True)
class Gpu:
    """One GPU: the number in its device's name, and its UUID where the driver says it."""

    number: int
    uuid: str = ""
    devices: Path = _DEVICES

    @property
    def engine_id(self) -> str:
        """How container engines name it."""
        return self.uuid or str(self.number)

    @property
    def device(self) -> Path:
        """Its device file."""
        return self.devices / f"nvidia{self.number}"


def discover(devices: Path = _DEVICES) -> tuple[Gpu, ...]:
    """This machine's NVIDIA GPUs."""
    found = (_DEVICE.fullmatch(path.name) for path in devices.glob("nvidia*"))
    numbers = sorted(int(match[1]) for match in found if match)
    known = nvml.devices() if numbers and devices == _DEVICES else {}
    return tuple(Gpu(number, known[number].uuid if number in known else "", devices) for number in numbers)


class Giver(Protocol):
    """A runner, as far as it gives GPUs."""

    @property
    def gpus(self) -> int:
        """How many there are in all."""
        ...

    @property
    def gpu_obstacle(self) -> str:
        """Why those of this machine can't be given."""
        ...


def too_few_gpus(asked: int, giver: Giver) -> str:
    """The sentence for a job that can't have its GPUs."""
    if giver.gpu_obstacle:
        return giver.gpu_obstacle
    return f"{asked} GPUs are asked for, but of {giver.gpus} too few are free"


def lost_gpu(gpus: Iterable[Gpu]) -> str:
    """The sentence for a job that has ended without one of its GPUs; empty if all are there."""
    return next((f"{gpu.device} disappeared while the program ran" for gpu in gpus if not gpu.device.exists()), "")


class GpuPool:
    """Hands each job GPUs of its own: an engine left to choose gives every job the first."""

    def __init__(self, gpus: Iterable[Gpu]) -> None:
        self._free = sorted(gpus)
        self.total = len(self._free)

    def take(self, count: int) -> tuple[Gpu, ...] | None:
        """``count`` free GPUs, or ``None`` if there are fewer."""
        self.give_back(())
        if count > len(self._free):
            return None
        taken, self._free = self._free[:count], self._free[count:]
        return tuple(taken)

    def take_these(self, engine_ids: Iterable[str]) -> tuple[Gpu, ...] | None:
        """The GPUs with these ids, or ``None`` if one isn't free or isn't there."""
        wanted = set(engine_ids)
        taken = tuple(gpu for gpu in self._free if gpu.engine_id in wanted)
        if len(taken) < len(wanted):
            return None
        self._free = [gpu for gpu in self._free if gpu not in taken]
        return taken

    def give_back(self, gpus: Iterable[Gpu]) -> None:
        """Make GPUs that were taken free again, but those that have disappeared."""
        free = [*self._free, *gpus]
        self._free = sorted(gpu for gpu in free if gpu.device.exists())
        self.total -= len(free) - len(self._free)


class GpuWatch:
    """Follows the GPUs of one job: how long they compute, and that they stay there."""

    def __init__(self, gpus: tuple[Gpu, ...]) -> None:
        self._gpus = gpus
        self._busy_s = 0.0

    @property
    def busy_ms(self) -> int:
        """How long they computed until now, summed over them; where nobody measures that, how long they were held."""
        return int(self._busy_s * 1000)

    async def follow(self, lost: Callable[[str], None]) -> None:
        """Until cancelled; ``lost`` is told once, in a sentence, if a GPU disappears."""
        if not self._gpus:
            return
        seen = time.monotonic()
        try:
            while True:
                await asyncio.sleep(_SAMPLE_S)
                gone = await asyncio.to_thread(self._sample, time.monotonic() - seen)
                seen = time.monotonic()
                if gone is not None:
                    lost(f"{gone.device} disappeared while the program ran")
                    return
        finally:
            # The rest of a second too: most verifiers run no longer.
            self._sample(time.monotonic() - seen)

    def _sample(self, elapsed_s: float) -> Gpu | None:
        """Account for the time since the last sample; a GPU that isn't there any more."""
        gone = None
        for gpu in self._gpus:
            if not gpu.device.exists():
                gone = gpu
                continue
            try:
                self._busy_s += elapsed_s * (nvml.utilisation(gpu.uuid) if gpu.uuid else 1)
            except nvml.GpuLost:
                gone = gpu
        return gone
