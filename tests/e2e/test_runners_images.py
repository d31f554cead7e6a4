"""Images on a node's disk: loaded once, kept while there is room, and never more than the operator allows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from prover_node.runner.base import Reason, RunnerError
from prover_node.runner.docker import DockerRunner
from prover_node.runner.engine import Engine as EngineClient
from prover_node.runner.sandbox import SandboxRunner
from tests.support.behave_jobs import MIB, Backend, Image, make_job, outputs
from tests.support.doomed_node import NODE_ID
from tests.support.image_archives import docker_archive, file, huge_archive, image_config, tar

NODE = f"{NODE_ID}-images"
BUDGET = 10 * MIB
NAMES = "abcd"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """Four images of 4 MiB each: two of them fit into the budget, three don't."""
    folder = tmp_path_factory.mktemp("images")
    made = {}
    for name in NAMES:
        layer = tar([file(name, os.urandom(4 * MIB))])
        path = folder / f"{name}.tar"
        made[name] = Image(path, docker_archive(path, [layer], image_config([layer], {"Cmd": ["/none"]})))
    return made


@pytest.fixture
async def small(runner: Backend, tmp_path: Path) -> AsyncIterator[DockerRunner | SandboxRunner]:
    """A runner with the budget."""
    made = await start(runner, tmp_path)
    yield made
    await made.close()
    if runner.kind == "docker":
        engine = EngineClient(runner.where)
        for sha256 in engine.tagged_images(f"proofmill-program-{NODE}"):
            engine.remove_image(f"proofmill-program-{NODE}:{sha256}")
        engine.close()


async def start(runner: Backend, folder: Path) -> DockerRunner | SandboxRunner:
    if runner.kind == "docker":
        return await DockerRunner.start(NODE, folder / "state", url=runner.where, image_bytes=BUDGET)
    return await SandboxRunner.start(NODE, folder / "state", bwrap=Path(runner.where), image_bytes=BUDGET)


def there(runner: Backend, folder: Path, images: dict[str, Image]) -> str:
    """Which of the images are on disk."""
    if runner.kind == "docker":
        engine = EngineClient(runner.where)
        hashes = set(engine.tagged_images(f"proofmill-program-{NODE}"))
        engine.close()
    else:
        hashes = {path.name for path in (folder / "state/images").iterdir() if path.is_dir()}
    return "".join(name for name in NAMES if images[name].sha256 in hashes)


async def test_those_not_used_for_longest_make_room(
    runner: Backend, small: DockerRunner | SandboxRunner, images: dict[str, Image], tmp_path: Path
) -> None:
    for name in "aba":
        await small.prepare(images[name].path, images[name].sha256)
    assert there(runner, tmp_path, images) == "ab"
    await small.prepare(images["c"].path, images["c"].sha256)
    assert there(runner, tmp_path, images) == "ac"


async def test_what_is_loaded_needs_its_archive_no_more_and_what_has_gone_is_loaded_again(
    runner: Backend, small: DockerRunner | SandboxRunner, images: dict[str, Image], tmp_path: Path
) -> None:
    for name in "abc":
        await small.prepare(images[name].path, images[name].sha256)
    assert there(runner, tmp_path, images) == "bc"
    await small.prepare(tmp_path / "nowhere", images["c"].sha256)
    await small.prepare(images["a"].path, images["a"].sha256)
    assert there(runner, tmp_path, images) == "ac"


async def test_those_that_are_to_be_kept_stay(
    runner: Backend, small: DockerRunner | SandboxRunner, images: dict[str, Image], tmp_path: Path
) -> None:
    small.keep_images({images["a"].sha256})
    for name in NAMES:
        await small.prepare(images[name].path, images[name].sha256)
    assert there(runner, tmp_path, images) == "ad"


async def test_an_image_in_use_stays(
    runner: Backend, small: DockerRunner | SandboxRunner, images: dict[str, Image], behave_image: Image, tmp_path: Path
) -> None:
    """The running program's image is the oldest and the first that would go."""

    job = make_job(behave_image, tmp_path / "job", "sleep")
    begun = asyncio.Event()
    running = asyncio.create_task(small.run(job, on_start=begun.set))
    await begun.wait()
    for name in "abc":
        await small.prepare(images[name].path, images[name].sha256)
    await small.cancel(job.id)
    assert (await running).reason is Reason.CANCELLED
    again = make_job(behave_image, tmp_path / "again", "ok")
    assert (await small.run(replace(again, image=tmp_path / "nowhere"))).exit_code == 0
    assert outputs(again) == ["proof"]
    assert there(runner, tmp_path, images) == "c"


async def test_ten_gibibytes_are_refused_before_they_are_read(
    small: DockerRunner | SandboxRunner, images: dict[str, Image], tmp_path: Path
) -> None:
    sha256 = huge_archive(tmp_path / "huge.tar", 10 << 30, {"Cmd": ["/none"]})
    with pytest.raises(RunnerError, match=r"raise runner\.image_bytes"):
        await small.prepare(tmp_path / "huge.tar", sha256)
    job = replace(make_job(images["a"], tmp_path / "job"), image=tmp_path / "huge.tar", image_sha256=sha256)
    outcome = await small.run(job)
    # The chain allows images of this size: it is the operator's budget that doesn't.
    assert outcome.reason is Reason.RUNNER_ERROR
    assert f"more than the {BUDGET} bytes allowed: raise runner.image_bytes" in outcome.detail
