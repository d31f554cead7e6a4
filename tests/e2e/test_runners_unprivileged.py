"""The runners of an ordinary user: what they still confine, and that they say what they can't."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from prover_node.runner.base import Job, Limits, Reason
from prover_node.runner.docker import DockerRunner
from prover_node.runner.sandbox import SandboxRunner
from tests.support.behave_program import build_behave
from tests.support.engine import Engine
from tests.support.image_archives import docker_archive, file, image_config, tar
from tests.support.ordinary_user import USER, as_ordinary_user

MIB = 1 << 20
LIMITS = Limits(
    cpu_millis=1000,
    memory_bytes=512 * MIB,
    gpus=0,
    time_limit_s=30,
    output_bytes=8 * MIB,
    output_inodes=64,
    tmp_bytes=4 * MIB,
)
OUTPUT_SENTENCE = "The output isn't a file system of its own"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that the ordinary user owns, with an image in it."""
    made = Path(tempfile.mkdtemp(prefix="mill-user-"))
    layer = tar([file("behave", build_behave(tmp_path_factory.mktemp("behave")), 0o755)])
    sha256 = docker_archive(made / "image.tar", [layer], image_config([layer], {"Entrypoint": ["/behave"]}))
    (made / "sha256").write_text(sha256)
    for name in ("input", "state"):
        (made / name).mkdir()
    if os.geteuid() == 0:
        for path in (made, *made.iterdir()):
            os.chown(path, USER, USER)
    yield made
    shutil.rmtree(made)


def prover_job(folder: Path, arguments: list[str], limits: Limits) -> Job:
    """A job of the folder's image; made by the ordinary user."""
    return Job(
        id="job",
        image=folder / "image.tar",
        image_sha256=(folder / "sha256").read_text(),
        command=("/behave", *arguments),
        input_dir=folder / "input",
        assets_dir=None,
        proof_dir=None,
        output_dir=Path(tempfile.mkdtemp(dir=folder)),
        limits=limits,
    )


@pytest.mark.parametrize(
    ("arguments", "limits", "reason", "code"),
    [
        (["ok"], {}, Reason.EXITED, 0),
        (["exit", "1"], {}, Reason.EXITED, 1),
        (["escape"], {}, Reason.EXITED, 0),
        (["fill"], {}, Reason.OUTPUT_LIMIT, 9),
        (["sparse"], {}, Reason.EXITED, 9),
        (["bomb"], {"time_limit_s": 1, "pids": 32}, None, None),
        (["sleep"], {"time_limit_s": 1}, Reason.TIME_LIMIT, None),
    ],
)
def test_an_ordinary_users_programs_are_confined_by_the_sandbox(
    folder: Path,
    bwrap: Path,
    arguments: list[str],
    limits: dict[str, int],
    reason: Reason | None,
    code: int | None,
) -> None:
    async def work() -> None:
        job = prover_job(folder, arguments, replace(LIMITS, **limits))
        runner = await SandboxRunner.start("test-user", folder / "state", bwrap=bwrap)
        sentences = " ".join(runner.unenforced())
        outcome = await runner.run(job)
        await runner.close()
        assert OUTPUT_SENTENCE in sentences
        if reason is not None:
            assert (outcome.reason, outcome.exit_code) == (reason, code), outcome
        if arguments == ["ok"]:
            assert job.output_dir is not None
            assert [path.name for path in job.output_dir.iterdir()] == ["proof"]
        if arguments == ["escape"]:
            assert outcome.stdout == b""
        assert not (folder / "state/sandboxes").exists()

    as_ordinary_user(work)


def test_memory_is_limited_even_without_control_groups(folder: Path, bwrap: Path) -> None:
    async def work() -> None:
        runner = await SandboxRunner.start("test-user", folder / "state", bwrap=bwrap)
        grouped = "The limit on memory" not in " ".join(runner.unenforced())
        outcome = await runner.run(prover_job(folder, ["memory"], replace(LIMITS, memory_bytes=64 * MIB)))
        await runner.close()
        expected = (Reason.OUT_OF_MEMORY, 137) if grouped else (Reason.EXITED, 2)
        assert (outcome.reason, outcome.exit_code) == expected, outcome

    as_ordinary_user(work)


def test_an_ordinary_users_sandbox_seen_from_inside(folder: Path, bwrap: Path) -> None:
    async def work() -> None:
        runner = await SandboxRunner.start("test-user", folder / "state", bwrap=bwrap)
        outcome = await runner.run(prover_job(folder, ["inspect"], LIMITS))
        await runner.close()
        seen = json.loads(outcome.stdout)
        assert (seen["uid"], seen["gid"]) == (65532, 65532)
        assert {int(value, 16) for key, value in seen.items() if key.startswith("Cap")} == {0}
        assert (seen["NoNewPrivs"], seen["Seccomp"], seen["interfaces"]) == ("1", "2", ["lo"])
        assert seen["tmp_bytes"] == LIMITS.tmp_bytes

    as_ordinary_user(work)


@pytest.fixture
def shared_engine(docker_engine: Engine) -> Engine:
    """An engine that the ordinary user may use, as members of the group docker may."""
    if os.geteuid() == 0:
        if not docker_engine.private:
            pytest.skip("who may use this machine's engine isn't ours to change")
        path = Path(docker_engine.url.removeprefix("unix://"))
        path.parent.chmod(0o711)
        os.chown(path, 0, USER)
    return docker_engine


@pytest.mark.parametrize(
    ("arguments", "reason", "code"),
    [
        (["ok"], Reason.EXITED, 0),
        (["odd-output"], Reason.EXITED, 0),
        (["escape"], Reason.EXITED, 0),
        (["fill"], Reason.OUTPUT_LIMIT, 9),
        (["many-files"], Reason.OUTPUT_LIMIT, 137),
        (["memory"], Reason.OUT_OF_MEMORY, 137),
    ],
)
def test_an_ordinary_users_programs_are_confined_by_an_engine(
    folder: Path, shared_engine: Engine, arguments: list[str], reason: Reason, code: int
) -> None:
    async def work() -> None:
        job = prover_job(folder, arguments, LIMITS)
        runner = await DockerRunner.start("test-user", folder / "state", url=shared_engine.url)
        sentences = runner.unenforced()
        outcome = await runner.run(job)
        await runner.close()
        assert len(sentences) == 1
        assert OUTPUT_SENTENCE in sentences[0]
        assert (outcome.reason, outcome.exit_code) == (reason, code), outcome
        if arguments == ["escape"]:
            assert outcome.stdout == b""
        assert list((folder / "state/containers").iterdir()) == []

    as_ordinary_user(work)
