"""Which GPUs a machine has, and which job holds which: an engine left to choose gives every job the first."""

from __future__ import annotations

import re
from pathlib import Path

_DEVICE = re.compile(r"nvidia(\d+)")


def discover(devices: Path = Path("/dev")) -> tuple[str, ...]:
    """The indices of this machine's NVIDIA GPUs, as container engines name them."""
    found = (_DEVICE.fullmatch(path.name) for path in devices.glob("nvidia*"))
    return tuple(sorted((match[1] for match in found if match), key=int))


class GpuPool:
    """Hands each job GPUs of its own."""

    def __init__(self, ids: tuple[str, ...]) -> None:
        self.total = len(ids)
        self._free = list(ids)

    def take(self, count: int) -> tuple[str, ...] | None:
        """``count`` free GPUs, or ``None`` if there are fewer."""
        if count > len(self._free):
            return None
        taken, self._free = self._free[:count], self._free[count:]
        return tuple(taken)

    def give_back(self, ids: tuple[str, ...]) -> None:
        """Make GPUs that were taken free again."""
        self._free = sorted([*self._free, *ids])
