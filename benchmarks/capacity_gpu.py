"""The capacity program's GPU share on this machine's GPUs: how fast, and how far from what the devices can do.

    python -m benchmarks capacity_gpu

One step of a leaf is a multiply-add, an `or` and a rotation, of 32 bits each; the kernel's loop is compiled to exactly
these three instructions. Two limits follow from a device's multiprocessors and the clock that it really had: of
multiply-adds alone, and of instructions of any kind, four warps of which start in each cycle.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import print_machine, print_table, say
from client.program.go_toolchain import go_environment
from client.program.manifest import load_manifest
from tests.support.capacity_gpu import CHUNK_LEAVES, SOURCES, GpuImage, build_gpu_image, driver_folder, has_gpu

LEAVES, ROUNDS = 1 << 25, 100_000  # gpuLeaves and gpuRounds of programs/capacity/work/work.go
STEPS_IN_ROUND = 8
INSTRUCTIONS_IN_STEP = 3
LANES_ISSUED = 128
# 32-bit integer multiply-adds a cycle and multiprocessor, from the CUDA C++ Programming Guide's table of arithmetic
# throughput; newer devices than these aren't in it or not known here.
MULTIPLY_ADDS = dict.fromkeys(((7, 5), (8, 0), (8, 6), (8, 7), (8, 9), (9, 0)), 64)
SIZES = (64, 256, 1024, 4096, LEAVES // CHUNK_LEAVES)
SAMPLE_MS = 100

ASK_DEVICE = """
import json, sys
import pycuda.driver as cuda
cuda.init()
device = cuda.Device(0)
print(json.dumps([device.name(), device.compute_capability(), device.multiprocessor_count, device.total_memory()]))
"""


@dataclass(frozen=True)
class Device:
    name: str
    capability: tuple[int, int]
    multiprocessors: int
    memory_bytes: int


@dataclass(frozen=True)
class Load:
    """What nvidia-smi saw while the kernel ran, medians."""

    utilisation_percent: float
    clock_mhz: float
    watts: float


def ask_device(image: GpuImage, driver: Path) -> Device:
    done = subprocess.run(
        [*image.python(driver), "-c", ASK_DEVICE], env=image.environment, capture_output=True, text=True, check=True
    )
    name, (major, minor), multiprocessors, memory = json.loads(done.stdout)
    return Device(name, (major, minor), multiprocessors, memory)


def driver_version() -> str:
    query = ["nvidia-smi", "--id=0", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()


def processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else "a processor without a name"


def run_worker(image: GpuImage, driver: Path, chunks: int) -> float:
    """Seconds that one GPU needs for so many chunks, as the worker itself measures them."""
    done = subprocess.run(
        [*image.worker(driver), "1", str(chunks * CHUNK_LEAVES), str(ROUNDS), "07" * 32],
        env=image.environment, stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    said = done.stderr.decode()
    found = re.search(r" leaves in ([0-9.]+) s", said)
    if done.returncode != 0 or not found:
        raise SystemExit(f"the worker failed: {said.strip()}")
    return float(found[1])


def sampled(image: GpuImage, driver: Path, chunks: int) -> tuple[float, Load]:
    """The same, and what the device looked like in the middle of it."""
    query = [
        "nvidia-smi",
        "--id=0",
        "--query-gpu=utilization.gpu,clocks.sm,power.draw",
        "--format=csv,noheader,nounits",
    ]
    with subprocess.Popen([*query, f"--loop-ms={SAMPLE_MS}"], stdout=subprocess.PIPE, text=True) as watching:
        time.sleep(0.5)
        seconds = run_worker(image, driver, chunks)
        watching.terminate()
        lines, _ = watching.communicate()
    samples = [[float(field) for field in row] for row in csv.reader(lines.splitlines())]
    # Before and after the kernel the device idles.
    busy = [row for row in samples if row[0] > 50] or samples
    utilisation, clock, watts = (statistics.median(column) for column in zip(*busy, strict=True))
    return seconds, Load(utilisation, clock, watts)


def core_steps_per_second() -> float:
    """Of one of this machine's cores, by the program's own Go code."""
    environment = go_environment(load_manifest(SOURCES).recipe.tools["go"])
    done = subprocess.run(
        [shutil.which("go", path=environment["PATH"]) or "go", "test", "./work", "-run=^$", "-bench=GPULeaf"],
        cwd=SOURCES, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"BenchmarkGPULeaf\S*\s+\d+\s+([0-9.]+) ns/op", done.stdout)
    if not found:
        raise SystemExit(f"no time of a leaf in: {done.stdout}")
    return ROUNDS * STEPS_IN_ROUND / (float(found[1]) / 1e9)


def main() -> None:
    if not has_gpu():
        say("capacity_gpu: not run: no GPU")
        return
    with tempfile.TemporaryDirectory(prefix="mill-capacity-gpu-") as folder:
        image, driver = build_gpu_image(Path(folder)), driver_folder()
        device = ask_device(image, driver)
        print_machine()
        core = core_steps_per_second()
        rows = []
        for chunks in SIZES:
            steps = chunks * CHUNK_LEAVES * ROUNDS * STEPS_IN_ROUND
            seconds, load = sampled(image, driver, chunks)
            cycles = device.multiprocessors * load.clock_mhz * 1e6
            multiply_adds = MULTIPLY_ADDS.get(device.capability)
            rows.append(
                (
                    f"{chunks * CHUNK_LEAVES:,}",
                    f"{seconds:.2f}",
                    f"{steps / seconds / 1e12:.2f}",
                    f"{steps / seconds / (cycles * multiply_adds):.0%}" if multiply_adds else "unknown",
                    f"{steps / seconds / (cycles * LANES_ISSUED / INSTRUCTIONS_IN_STEP):.0%}",
                    f"{load.utilisation_percent:.0f} %",
                    f"{load.clock_mhz:.0f}",
                    f"{load.watts:.0f}",
                    f"{steps / seconds / core:,.0f}",
                )
            )
    major, minor = device.capability
    title = (
        f"the GPU share on {device.name}, compute capability {major}.{minor}, {device.multiprocessors} "
        f"multiprocessors, {device.memory_bytes >> 20} MiB, driver {driver_version()}\n"
        f"the whole share is the last row; cores: how many of {processor()} do as much, with the program's Go code"
    )
    header = (
        "leaves",
        "s",
        "10^12 steps/s",
        "of multiply-adds",
        "of all instructions",
        "utilisation",
        "MHz",
        "W",
        "cores",
    )
    print_table(title, header, rows)


if __name__ == "__main__":
    main()
