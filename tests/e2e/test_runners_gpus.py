"""Jobs with GPUs: each sees its own and no other's, and a GPU that isn't there or goes away is this machine's fault.

Where there is no GPU, files stand in for the devices: what is shown to whom is the same. What needs a device says so.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import docker
import pytest

from prover_node.runner.base import Outcome, Reason
from prover_node.runner.docker import DockerRunner
from prover_node.runner.engine import Container, Engine as EngineClient
from prover_node.runner.gpu_driver import NO_DRIVER, Driver
from prover_node.runner.gpus import discover
from prover_node.runner.sandbox import SandboxRunner
from tests.support.behave_jobs import LIMITS, Backend, Image, make_job
from tests.support.doomed_node import NODE_ID
from tests.support.engine import Engine

NODE = f"{NODE_ID}-gpus"
REAL = Path("/dev/nvidia0").exists()


@pytest.fixture
def devices() -> Iterator[Path]:
    """A folder with the devices of a machine with two GPUs; for root they are devices indeed, of the null kind."""
    # Everybody can walk to /dev and to libraries.
    folder = Path(tempfile.mkdtemp(prefix="mill-devices-", dir="/var/tmp"))
    folder.chmod(0o755)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        if os.geteuid() == 0:
            os.mknod(folder / name, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            (folder / name).chmod(0o666)
        else:
            (folder / name).touch()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def sandbox(bwrap: Path, devices: Path, tmp_path: Path) -> AsyncIterator[SandboxRunner]:
    """A sandbox runner that has them, and a driver of one library."""
    library = devices / "libcuda.so.580"
    library.write_bytes(b"library")
    driver = Driver({"libcuda.so.1": library})
    made = await SandboxRunner.start(NODE, tmp_path / "state", bwrap=bwrap, gpus=discover(devices), driver=driver)
    yield made
    await made.close()


async def start(runner: SandboxRunner, image: Image, folder: Path, gpus: int) -> asyncio.Task[Outcome]:
    """A job that says what it has and goes on, once it runs."""
    begun = asyncio.Event()
    job = make_job(image, folder, "devices", "forever", gpus=gpus)
    running = asyncio.create_task(runner.run(job, on_start=begun.set))
    await begun.wait()
    return running


def seen(outcome: Outcome) -> list[str]:
    return cast(list[str], json.loads(outcome.stdout)["devices"] or [])


async def test_jobs_at_the_same_time_see_gpus_of_their_own(
    sandbox: SandboxRunner, behave_image: Image, tmp_path: Path
) -> None:
    first = make_job(behave_image, tmp_path / "first", "devices", gpus=1)
    others = make_job(behave_image, tmp_path / "others", "devices")
    running = await start(sandbox, behave_image, tmp_path / "second", 1)
    outcome, without = await asyncio.gather(sandbox.run(first), sandbox.run(others))
    too_many = await sandbox.run(make_job(behave_image, tmp_path / "third", "devices", gpus=2))
    await sandbox.cancel("second")
    stopped = await running
    assert seen(stopped) == ["/dev/nvidia-driver", "/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"]
    assert seen(outcome) == ["/dev/nvidia-driver", "/dev/nvidia-uvm", "/dev/nvidia1", "/dev/nvidiactl"]
    assert json.loads(outcome.stdout)["libraries"] == ["/dev/nvidia-driver/libcuda.so.1"]
    assert seen(without) == []
    assert (outcome.gpu_ms > 0, without.gpu_ms) == (True, 0)
    assert (too_many.reason, too_many.detail) == (
        Reason.RUNNER_ERROR,
        "2 GPUs are asked for, but of 2 too few are free",
    )


async def test_a_gpu_that_disappears_in_the_middle_is_this_machines_fault(
    sandbox: SandboxRunner, behave_image: Image, devices: Path, tmp_path: Path
) -> None:
    running = await start(sandbox, behave_image, tmp_path / "job", 1)
    (devices / "nvidia0").unlink()
    outcome = await running
    assert outcome.reason is Reason.RUNNER_ERROR
    assert outcome.detail == f"{devices}/nvidia0 disappeared while the program ran"
    # What is left goes on.
    again = await sandbox.run(make_job(behave_image, tmp_path / "again", "devices", gpus=1))
    assert "/dev/nvidia1" in seen(again)
    assert sandbox.gpus == 1


async def test_a_machine_without_a_driver_says_so_in_a_sentence(
    bwrap: Path, devices: Path, behave_image: Image, tmp_path: Path
) -> None:
    if Driver.find() is not None:
        pytest.skip("this machine has a driver")
    runner = await SandboxRunner.start(NODE, tmp_path / "state", bwrap=bwrap, gpus=discover(devices))
    outcome = await runner.run(make_job(behave_image, tmp_path / "job", "devices", gpus=1))
    await runner.close()
    assert (runner.gpus, runner.gpu_obstacle) == (0, NO_DRIVER)
    assert (outcome.reason, outcome.detail) == (Reason.RUNNER_ERROR, NO_DRIVER)


async def test_an_engine_is_asked_for_the_jobs_gpus_by_their_ids(
    docker_engine: Engine, behave_image: Image, tmp_path: Path
) -> None:
    runner = await DockerRunner.start(NODE, tmp_path / "state", url=docker_engine.url, gpus=())
    await runner.prepare(behave_image.path, behave_image.sha256)
    engine, client = EngineClient(docker_engine.url), docker.APIClient(docker_engine.url)
    container = Container(
        name=f"{NODE}-asked",
        image=f"proofmill-program-{NODE}:{behave_image.sha256}",
        argv=("/behave",),
        user="65532:65532",
        working_dir="/",
        environment={},
        labels={},
        mounts=(),
        limits=LIMITS,
        largest_file=None,
        gpus=("GPU-8c2f", "1"),
        cgroup_parent=None,
        seccomp=None,
    )
    engine.create(container)
    try:
        (request,) = client.inspect_container(container.name)["HostConfig"]["DeviceRequests"]
    finally:
        engine.remove(container.name)
        engine.remove_image(container.image)
        engine.close()
        client.close()
        await runner.close()
    assert (request["DeviceIDs"], request["Capabilities"]) == (["GPU-8c2f", "1"], [["gpu"]])


@pytest.mark.skipif(not REAL, reason="not run: no GPU")
async def test_a_job_with_a_real_gpu_has_its_device_and_the_driver(
    runner: Backend, behave_image: Image, tmp_path: Path
) -> None:
    made: DockerRunner | SandboxRunner
    if runner.kind == "docker":
        made = await DockerRunner.start(NODE, tmp_path / "state", url=runner.where)
    else:
        made = await SandboxRunner.start(NODE, tmp_path / "state", bwrap=Path(runner.where))
    job = make_job(behave_image, tmp_path / "job", "devices", gpus=1)
    outcome = await made.run(job)
    await made.close()
    assert made.gpu_obstacle == ""
    assert outcome.exit_code == 0, outcome
    numbered = [name for name in seen(outcome) if name.removeprefix("/dev/nvidia").isdigit()]
    assert len(numbered) == 1
    assert "/dev/nvidiactl" in seen(outcome)
