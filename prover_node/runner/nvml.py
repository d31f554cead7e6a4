"""What NVIDIA's driver says of this machine's GPUs: the only file that imports its bindings.

Source: NVML API reference (nvmlDeviceGetUtilizationRates, nvmlDeviceGetMinorNumber, nvmlDeviceGetUUID).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pynvml


class GpuLost(Exception):
    """The driver has lost a GPU; only a reset or a reboot brings it back."""


@dataclass(frozen=True)
class Device:
    """``minor`` is the number in /dev/nvidia<minor>; ``uuid`` names the GPU wherever it is plugged in."""

    minor: int
    uuid: str
    name: str


def devices() -> dict[int, Device]:
    """The GPUs of a machine with a driver, by their minor numbers; empty without one."""
    if not _initialised():
        return {}
    found: dict[int, Device] = {}
    try:
        for index in range(int(pynvml.nvmlDeviceGetCount())):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            minor = int(pynvml.nvmlDeviceGetMinorNumber(handle))
            found[minor] = Device(minor, str(pynvml.nvmlDeviceGetUUID(handle)), str(pynvml.nvmlDeviceGetName(handle)))
    except pynvml.NVMLError:
        return found
    return found


def utilisation(uuid: str) -> float:
    """Which share of the last moment (up to a second) the GPU computed; 0 if it doesn't answer.

    Raises :class:`GpuLost` if it has fallen off the bus.
    """
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_GPU_IS_LOST:
            raise GpuLost(uuid) from error
        return 0.0


@functools.cache
def _initialised() -> bool:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True
