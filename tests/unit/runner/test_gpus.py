"""GPUs: who holds which, what becomes of one that disappears, and what of the driver a sandbox shows."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from prover_node.runner import cgroup, gpu_driver
from prover_node.runner.base import Limits
from prover_node.runner.gpu_driver import Driver, parse_ldconfig
from prover_node.runner.gpus import Gpu, GpuPool, GpuWatch, discover, lost_gpu

LIMITS = Limits(
    cpu_millis=1000, memory_bytes=1 << 26, gpus=1, time_limit_s=1, output_bytes=1, output_inodes=1, tmp_bytes=1
)
LDCONFIG = """312 libs found in cache `/etc/ld.so.cache'
	libnvidia-ptxjitcompiler.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libnvidia-ptxjitcompiler.so.1
	libnvidia-gpucomp.so.580.95.05 (libc6,x86-64) => /lib/x86_64-linux-gnu/libnvidia-gpucomp.so.580.95.05
	libcuda.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libcuda.so.1
	libcuda.so.1 (libc6,x86-64) => /opt/other/libcuda.so.1
	libcuda.so.1 (libc6) => /lib/i386-linux-gnu/libcuda.so.1
	libcuda.so (libc6,x86-64) => /lib/x86_64-linux-gnu/libcuda.so
	libcudart.so.13 (libc6,x86-64) => /lib/x86_64-linux-gnu/libcudart.so.13
	libc.so.6 (libc6,x86-64) => /lib/x86_64-linux-gnu/libc.so.6
"""


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """A folder with the names that NVIDIA's driver makes in /dev."""
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    return tmp_path


def numbers(gpus: tuple[Gpu, ...] | None) -> list[int] | None:
    return None if gpus is None else [gpu.number for gpu in gpus]


def test_gpus_are_handed_out_once(devices: Path) -> None:
    found = discover(devices)
    assert numbers(found) == [0, 2, 10]
    pool = GpuPool(found)
    first = pool.take(2)
    assert first is not None
    assert numbers(first) == [0, 2]
    assert pool.take(2) is None
    assert numbers(pool.take(1)) == [10]
    assert pool.take(0) == ()
    pool.give_back(first)
    assert numbers(pool.take(2)) == [0, 2]


def test_a_restarted_node_takes_the_gpus_that_its_containers_have(devices: Path) -> None:
    pool = GpuPool(discover(devices))
    assert numbers(pool.take_these(["2"])) == [2]
    assert pool.take_these(["2"]) is None
    assert pool.take_these(["7"]) is None
    assert pool.take_these([]) == ()
    assert numbers(pool.take(2)) == [0, 10]


def test_an_engine_is_told_the_uuid_where_the_driver_says_it() -> None:
    assert Gpu(3).engine_id == "3"
    assert Gpu(3, "GPU-8c2f").engine_id == "GPU-8c2f"


def test_a_gpu_that_has_disappeared_is_given_to_nobody(devices: Path) -> None:
    pool = GpuPool(discover(devices))
    taken = pool.take(1)
    assert taken is not None
    (devices / "nvidia0").unlink()
    (devices / "nvidia2").unlink()
    assert lost_gpu(taken) == f"{devices}/nvidia0 disappeared while the program ran"
    pool.give_back(taken)
    assert pool.total == 1
    assert pool.take(2) is None
    assert numbers(pool.take(1)) == [10]


async def test_a_watch_says_once_that_a_gpu_has_gone_and_counts_the_time_until_then(devices: Path) -> None:
    gpus = discover(devices)[:2]
    watch, told = GpuWatch(gpus), asyncio.Queue[str]()
    following = asyncio.create_task(watch.follow(told.put_nowait))
    await asyncio.sleep(0)
    (devices / "nvidia2").unlink()
    assert await told.get() == f"{devices}/nvidia2 disappeared while the program ran"
    await following
    assert told.empty()
    assert watch.busy_ms >= 1000


async def test_short_runs_count_too_and_without_gpus_nothing_does(devices: Path) -> None:
    for gpus, least in ((discover(devices), 1), ((), 0)):
        watch = GpuWatch(gpus)
        following = asyncio.create_task(watch.follow(pytest.fail))
        await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.wait([following])
        assert (watch.busy_ms > 0) == (least > 0)


def test_the_driver_is_what_the_linker_would_load_first() -> None:
    assert parse_ldconfig(LDCONFIG) == {
        "libcuda.so.1": Path("/lib/x86_64-linux-gnu/libcuda.so.1"),
        "libnvidia-gpucomp.so.580.95.05": Path("/lib/x86_64-linux-gnu/libnvidia-gpucomp.so.580.95.05"),
        "libnvidia-ptxjitcompiler.so.1": Path("/lib/x86_64-linux-gnu/libnvidia-ptxjitcompiler.so.1"),
    }


def test_without_a_driver_there_is_none(tmp_path: Path) -> None:
    ldconfig = tmp_path / "ldconfig"
    for said in ("", LDCONFIG.replace("libcuda.so.1 ", "libcuda.so.9 ")):
        ldconfig.write_text(f"#!/bin/sh\ncat <<'END'\n{said}END\n")
        ldconfig.chmod(0o755)
        assert Driver.find(str(ldconfig)) is None
    ldconfig.write_text(f"#!/bin/sh\ncat <<'END'\n{LDCONFIG}END\n")
    found = Driver.find(str(ldconfig))
    assert found is not None
    assert "libcuda.so.1" in found.libraries


def test_a_sandbox_is_shown_its_own_gpus_the_control_devices_and_the_libraries(devices: Path) -> None:
    driver = Driver({"libcuda.so.1": Path("/usr/lib/libcuda.so.1")})
    assert gpu_driver.arguments(discover(devices)[1:2], driver) == [
        *("--dev-bind", f"{devices}/nvidia2", "/dev/nvidia2"),
        *("--dev-bind", f"{devices}/nvidiactl", "/dev/nvidiactl"),
        *("--dev-bind", f"{devices}/nvidia-uvm", "/dev/nvidia-uvm"),
        *("--ro-bind", "/usr/lib/libcuda.so.1", "/dev/nvidia-driver/libcuda.so.1"),
    ]
    assert gpu_driver.arguments((), driver) == []


def test_a_program_finds_the_libraries_after_its_own() -> None:
    gpu = (Gpu(0),)
    assert gpu_driver.environment((), {"A": "b"}) == {"A": "b"}
    assert gpu_driver.environment(gpu, {"A": "b"}) == {"A": "b", "LD_LIBRARY_PATH": "/dev/nvidia-driver"}
    own = gpu_driver.environment(gpu, {"LD_LIBRARY_PATH": "/lib"})
    assert own == {"LD_LIBRARY_PATH": "/lib:/dev/nvidia-driver"}


async def test_a_device_group_holds_the_usual_devices_and_the_jobs_own(tmp_path: Path) -> None:
    hierarchy = cgroup.detect()
    root = Path("/sys/fs/cgroup/devices")
    if hierarchy is None or not os.access(root, os.W_OK):
        pytest.skip("this machine has no device groups that we may make")
    group = hierarchy.create("test-gpus", "job")
    try:
        device = tmp_path / "nvidia0"
        os.mknod(device, 0o20666, os.makedev(195, 0))
        group.limit(LIMITS, extra_pids=2, devices=[device, tmp_path])
        allowed = (root / "proofmill/test-gpus/job/devices.list").read_text().splitlines()
    finally:
        await cgroup.destroy(hierarchy, "test-gpus", "job")
        cgroup.forget(hierarchy, "test-gpus")
    assert "c 195:0 rw" in allowed
    assert "c 1:3 rw" in allowed
    assert not [rule for rule in allowed if rule.startswith(("a", "b"))]
