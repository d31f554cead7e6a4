"""The gpu variant of the capacity program, built and unpacked, so that its worker runs on this machine as it is."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from client.program.build import build
from client.program.description import BuiltProgram
from prover_node.runner.gpu_driver import NO_DRIVER, Driver

SOURCES = Path(__file__).resolve().parents[2] / "programs" / "capacity"
CHUNK_LEAVES = 2048


@dataclass(frozen=True)
class GpuImage:
    """The built program in `directory`, and its prover's image unpacked at `root`."""

    directory: Path
    program: BuiltProgram
    root: Path

    def python(self, driver: Path) -> list[str]:
        """The image's Python, with what the image lacks, the driver, from the folder `driver`; needs `environment`."""
        return [
            *(str(self.root / "lib64/ld-linux-x86-64.so.2"), "--library-path"),
            f"{self.root / 'usr/lib/x86_64-linux-gnu'}:{driver}",
            *(str(self.root / "usr/bin/python3.11"), "-S", "-B"),
        ]

    def worker(self, driver: Path) -> list[str]:
        """The GPU worker's command, without its arguments."""
        return [*self.python(driver), str(self.root / "gpu/worker.py")]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONHOME": str(self.root / "usr")}


def build_gpu_image(directory: Path) -> GpuImage:
    """Build programs/capacity/gpu.yaml into `directory`, or take it from the cache."""
    program = build(SOURCES / "gpu.yaml", directory).program
    root = directory / "root"
    with tarfile.open(directory / program.prover.file) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest
        layer = archive.extractfile(json.load(manifest)[0]["Layers"][0])
        assert layer
        with tarfile.open(fileobj=layer) as files:
            files.extractall(root, filter="data")
    return GpuImage(directory, program, root)


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU that its driver knows."""
    return Path("/dev/nvidia0").exists()


def driver_folder() -> Path:
    """Where the machine's libcuda.so.1 is."""
    driver = Driver.find()
    if driver is None:
        raise FileNotFoundError(NO_DRIVER)
    return driver.libraries["libcuda.so.1"].parent
