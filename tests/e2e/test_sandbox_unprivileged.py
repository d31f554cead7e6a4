"""The sandbox runner for an ordinary user: what it still confines, and that it says what it can't."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import shutil
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from prover_node.runner.base import Job, Limits, Reason
from prover_node.runner.sandbox import SandboxRunner
from tests.support.behave_program import build_behave
from tests.support.image_archives import docker_archive, file, image_config, tar

USER = 54321
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


def as_ordinary_user(work: Callable[[], Awaitable[None]]) -> None:
    """Run ``work`` in a child that has given up root, if we have it.

    A child and not a new interpreter, because the user might not be able to reach ours.
    """
    if os.geteuid() != 0:
        asyncio.run(as_coroutine(work))
        return
    # Loaded at its first use, which would be too late where only root can read the interpreter's files.
    importlib.import_module("concurrent.futures.thread")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
            asyncio.run(as_coroutine(work))
            status = 0
        except BaseException:  # noqa: BLE001 - reported here, or nowhere
            traceback.print_exc()
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended) == 0


async def as_coroutine(work: Callable[[], Awaitable[None]]) -> None:
    await work()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that the ordinary user owns, with an image in it."""
    made = Path(tempfile.mkdtemp(prefix="mill-sandbox-"))
    binary = build_behave(tmp_path_factory.mktemp("behave"))
    layer = tar([file("behave", binary, 0o755)])
    docker_archive(made / "image.tar", [layer], image_config([layer], {"Entrypoint": ["/behave"]}))
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
        image_sha256="0" * 64,
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
        (["sparse"], {"time_limit_s": 5}, Reason.EXITED, 9),
        (["memory"], {"memory_bytes": 64 * MIB}, Reason.EXITED, 2),
        (["bomb"], {"time_limit_s": 1, "pids": 32}, None, None),
        (["sleep"], {"time_limit_s": 1}, Reason.TIME_LIMIT, None),
        (["missing-mode"], {}, Reason.EXITED, 9),
    ],
)
def test_an_ordinary_users_programs_are_confined(
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
        assert "The output isn't a file system of its own" in sentences
        assert "The limit on cpu isn't enforced" in sentences
        if reason is not None:
            assert (outcome.reason, outcome.exit_code) == (reason, code), outcome
        if arguments == ["ok"]:
            assert job.output_dir is not None
            assert [path.name for path in job.output_dir.iterdir()] == ["proof"]
        if arguments == ["escape"]:
            assert outcome.stdout == b""
        assert not (folder / "state/sandboxes").exists()

    as_ordinary_user(work)


def test_inspected_from_inside(folder: Path, bwrap: Path) -> None:
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
