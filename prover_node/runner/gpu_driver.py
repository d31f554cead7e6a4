"""What of NVIDIA's driver a sandboxed program needs beside its GPUs: control devices and libraries of this machine.

A driver's libraries have to be the kernel module's version, so no image can bring them. Which ones a compute job
needs is the list of the NVIDIA container toolkit's ``compute`` and ``utility`` capabilities.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from prover_node.runner.gpus import Gpu

LIBRARY_FOLDER = "/dev/nvidia-driver"
"""Where the program finds the libraries; below /dev because that is ours, so an image needs no mount point for them."""

NO_DRIVER = (
    "this machine has NVIDIA GPUs but no driver library libcuda.so.1: install the NVIDIA driver's libraries "
    "(on Debian: apt-get install libcuda1) in the version of its kernel module, and run ldconfig"
)

_NEEDED = "libcuda.so.1"
_LIBRARIES = (
    _NEEDED,
    "libcudadebugger.so.1",
    "libnvidia-gpucomp.so",
    "libnvidia-ml.so.1",
    "libnvidia-nvvm.so.4",
    "libnvidia-ptxjitcompiler.so.1",
)
_CONTROL_DEVICES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")


@dataclass(frozen=True)
class Driver:
    """The driver libraries of this machine, by the names under which programs load them."""

    libraries: dict[str, Path]

    @classmethod
    def find(cls, ldconfig: str = "ldconfig") -> Driver | None:
        """What the machine's dynamic linker knows; ``None`` if ``libcuda.so.1`` isn't there."""
        program = shutil.which(ldconfig) or shutil.which(ldconfig, path="/sbin:/usr/sbin")
        if program is None:
            return None
        listed = subprocess.run([program, "-p"], capture_output=True, text=True, check=False, timeout=10).stdout
        libraries = parse_ldconfig(listed)
        return cls(libraries) if _NEEDED in libraries else None


def parse_ldconfig(listed: str) -> dict[str, Path]:
    """The driver libraries in the output of ``ldconfig -p``, 64-bit ones only, the linker's first choice of each."""
    found: dict[str, Path] = {}
    for line in listed.splitlines():
        left, _, path = line.strip().partition(" => ")
        name, _, kind = left.partition(" ")
        wanted = any(name == library or name.startswith(f"{library}.") for library in _LIBRARIES)
        if wanted and ("x86-64" in kind or "AArch64" in kind):
            found.setdefault(name, Path(path))
    return found


def device_files(gpus: tuple[Gpu, ...]) -> list[Path]:
    """The devices that a job with these GPUs may use: theirs, and those that steer the driver. None without GPUs."""
    if not gpus:
        return []
    controls = [gpus[0].devices / name for name in _CONTROL_DEVICES]
    return [gpu.device for gpu in gpus] + [path for path in controls if path.exists()]


def arguments(gpus: tuple[Gpu, ...], driver: Driver | None) -> list[str]:
    """Bubblewrap's options that show these GPUs and the driver's libraries, and nothing else of either."""
    options: list[str] = []
    for path in device_files(gpus):
        options += ["--dev-bind", str(path), f"/dev/{path.name}"]
    if gpus and driver is not None:
        for name, path in driver.libraries.items():
            options += ["--ro-bind", str(path.resolve()), f"{LIBRARY_FOLDER}/{name}"]
    return options


def environment(gpus: tuple[Gpu, ...], given: dict[str, str]) -> dict[str, str]:
    """The environment in which a program finds the libraries; the image's own come first."""
    if not gpus:
        return given
    path = [part for part in (given.get("LD_LIBRARY_PATH", ""), LIBRARY_FOLDER) if part]
    return {**given, "LD_LIBRARY_PATH": ":".join(path)}
