"""The container contract (protocol §4), by real runs of a program that misbehaves on request, on every runner alike."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import docker
import pytest

from client.bundle import BundleError, BundleLimits, pack
from prover_node.runner import bwrap as bwrap_module, cgroup
from prover_node.runner.base import CPU_WEIGHT, NICENESS, Job, Outcome, Reason, Runner, RunnerError
from prover_node.runner.docker import DockerRunner
from prover_node.runner.gpus import Gpu
from prover_node.runner.sandbox import SandboxRunner
from tests.support import behave_jobs
from tests.support.behave_jobs import MIB, Backend, Image
from tests.support.behave_program import build_behave
from tests.support.doomed_node import NODE_ID, start_and_kill, start_runner
from tests.support.engine import Engine
from tests.support.image_archives import directory, docker_archive, file, image_config, oci_layout, tar

LIMITS = replace(behave_jobs.LIMITS, time_limit_s=30)
Run = Callable[..., Awaitable[Outcome]]


@pytest.fixture(scope="session")
def behave(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The static program, compiled once."""
    return build_behave(tmp_path_factory.mktemp("behave"))


@pytest.fixture(scope="session")
def image(behave: bytes, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """An image of the program alone, from scratch: two layers, the upper one compressed."""
    layers = [tar([file("behave", behave, 0o755)]), tar([directory("etc"), file("etc/motd", b"hello")])]
    settings = {
        "Entrypoint": ["/behave"],
        "Cmd": ["ok"],
        "Env": ["FROM_IMAGE=yes", "MILL_TASK_ID=image"],
        "User": "root",
        "WorkingDir": "/work",
        "Volumes": {"/etc": {}, "/work": {}},
        "Healthcheck": {"Test": ["CMD", "/behave", "sleep"]},
    }
    path = tmp_path_factory.mktemp("image") / "image.tar"
    return Image(path, oci_layout(path, layers, image_config(layers, settings), compress=True))


@pytest.fixture(params=["docker", "sandbox"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each kind of runner in turn."""
    kind = cast(str, request.param)
    needed = {"docker": "docker_engine", "sandbox": "bwrap"}[kind]
    # Asked for by name, so that one missing backend doesn't skip the other; the summary counts by these names.
    request.node.fixturenames = [*request.node.fixturenames, needed]
    found = request.getfixturevalue(needed)
    return Backend(kind, found.url if isinstance(found, Engine) else str(found))


@pytest.fixture
async def runner(backend: Backend, tmp_path: Path) -> AsyncIterator[Runner]:
    """A runner, and after the test nothing that it has left."""
    made = await start_runner(backend.kind, backend.where, tmp_path / "state")
    yield made
    await made.close()
    again = await start_runner(backend.kind, backend.where, tmp_path / "state")
    assert await again.cleanup_orphans() == []
    await again.close()
    assert traces(tmp_path) == []


def traces(base: Path) -> list[str]:
    """Mounts, control groups and processes of ours that are left."""
    left = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(base) in line]
    left += [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"/run/proofmill/{NODE_ID}/" in line
    ]
    for pattern in (f"proofmill/{NODE_ID}/*", f"*/proofmill/{NODE_ID}/*"):
        left += [str(path) for path in Path("/sys/fs/cgroup").glob(pattern) if path.is_dir()]
    mark = f"FOLDER={base}\0".encode()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes():
                    left.append((process / "cmdline").read_bytes().decode())
    return left


@pytest.fixture
def job(image: Image, tmp_path: Path) -> Job:
    """A prover job that would succeed."""
    for name, content in (("input", b"input"), ("assets", b"key")):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(content)
        (tmp_path / name / name).chmod(0o644)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "output").mkdir()
    return Job(
        id="job-1",
        image=image.path,
        image_sha256=image.sha256,
        command=(),
        input_dir=tmp_path / "input",
        assets_dir=tmp_path / "assets",
        proof_dir=None,
        output_dir=tmp_path / "output",
        env={"MILL_TASK_ID": "t1", "FOLDER": str(tmp_path)},
        limits=LIMITS,
    )


def process_ids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def environment_of(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def weights_of_all_jobs() -> set[int]:
    """Of the group that holds those of all jobs, by whichever hierarchy there is."""
    groups = Path("/sys/fs/cgroup")
    files = [*groups.glob("*/proofmill/cpu.shares"), *groups.glob("proofmill/cpu.weight")]
    return {int(file.read_text()) for file in files}


def limits_memory(runner: Runner) -> bool:
    """Whether the runner has control groups."""
    return not any(sentence.startswith("The limit on memory") for sentence in runner.unenforced())


def accounts(backend: Backend, runner: Runner) -> bool:
    """Whether what a job used is known to its end; an engine that leaves groups to systemd is asked each second."""
    if backend.kind != "docker":
        return limits_memory(runner)
    client = docker.APIClient(backend.where)
    driver = client.info()["CgroupDriver"]
    client.close()
    return os.geteuid() == 0 and driver == "cgroupfs"


def doing(job: Job, *arguments: str, **limits: int) -> Job:
    return replace(job, command=("/behave", *arguments), limits=replace(job.limits, **limits))


def outputs(job: Job) -> list[str]:
    assert job.output_dir is not None
    return sorted(path.name for path in job.output_dir.iterdir())


async def test_a_prover_writes_its_output(backend: Backend, runner: Runner, job: Job) -> None:
    started: list[bool] = []
    outcome = await runner.run(job, on_start=lambda: started.append(True))
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, 0), outcome
    assert started == [True]
    assert job.output_dir is not None
    assert (job.output_dir / "proof").read_bytes() == b"proof of t1"
    assert (job.output_dir / "proof").stat().st_uid == os.geteuid()
    if accounts(backend, runner):
        assert outcome.cpu_ms > 0
        assert 0 < outcome.peak_memory_bytes < LIMITS.memory_bytes


async def test_nothing_of_the_contract_is_unenforced_for_root(runner: Runner) -> None:
    if os.geteuid() == 0:
        assert runner.unenforced() == ()


@pytest.mark.parametrize("code", [1, 2, 125, 137])
async def test_exit_codes_are_passed_on(runner: Runner, job: Job, code: int) -> None:
    outcome = await runner.run(doing(job, "exit", str(code)))
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, code)


async def test_a_program_may_write_nothing(runner: Runner, job: Job) -> None:
    outcome = await runner.run(doing(job, "nothing"))
    assert (outcome.reason, outcome.exit_code, outputs(job)) == (Reason.EXITED, 0, [])


async def test_what_the_program_sees(runner: Runner, job: Job) -> None:
    outcome = await runner.run(doing(job, "inspect"))
    assert outcome.exit_code == 0, outcome
    seen = json.loads(outcome.stdout)
    assert (seen["uid"], seen["gid"], seen["groups"] or [65532]) == (65532, 65532, [65532])
    assert {int(value, 16) for key, value in seen.items() if key.startswith("Cap")} == {0}
    assert seen["NoNewPrivs"] == "1"
    assert seen["Seccomp"] == "2"
    assert seen["interfaces"] == ["lo"]
    assert seen["cwd"] == "/work"
    assert seen["hostname"] == "proofmill"
    assert seen["files"] == {"/mnt/input/input": "input", "/mnt/assets/assets": "key"}
    assert seen["tmp_bytes"] == LIMITS.tmp_bytes
    environment = dict(entry.split("=", 1) for entry in seen["env"])
    assert environment.keys() - {"HOSTNAME", "PWD", "TERM", "container"} == {
        "FROM_IMAGE",
        "MILL_TASK_ID",
        "FOLDER",
        "PATH",
        "HOME",
    }
    assert environment["MILL_TASK_ID"] == "t1"


async def test_a_full_output_is_an_output_limit(runner: Runner, job: Job) -> None:
    outcome = await runner.run(doing(job, "fill"))
    assert outcome.reason is Reason.OUTPUT_LIMIT
    assert outputs(job) == []


async def test_too_many_files_are_an_output_limit(runner: Runner, job: Job) -> None:
    outcome = await runner.run(doing(job, "many-files"))
    assert outcome.reason is Reason.OUTPUT_LIMIT


async def test_a_sparse_giant_is_an_output_limit(runner: Runner, job: Job) -> None:
    outcome = await runner.run(doing(job, "sparse"))
    # Where the output isn't a file system of its own, the limit on file sizes doesn't let the program make it.
    assert outcome.reason is Reason.OUTPUT_LIMIT or (runner.unenforced() and outcome.exit_code == 9)


async def test_odd_output_is_kept_for_packing_to_refuse(runner: Runner, job: Job, tmp_path: Path) -> None:
    outcome = await runner.run(doing(job, "odd-output"))
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, 0), outcome
    assert outputs(job) == ["fifo", "file", "link", "locked", "twin"]
    assert job.output_dir is not None
    assert (job.output_dir / "locked/inner/deep").read_bytes() == b"y"
    with pytest.raises(BundleError, match=r"link|fifo"):
        pack(job.output_dir, tmp_path / "proof.tar", BundleLimits(MIB, 64))


async def test_filling_memory_is_out_of_memory(backend: Backend, runner: Runner, job: Job) -> None:
    if not limits_memory(runner):
        pytest.skip("without control groups, the kernel refuses memory instead of killing")
    outcome = await runner.run(doing(job, "memory"))
    assert (outcome.reason, outcome.exit_code) == (Reason.OUT_OF_MEMORY, 137), outcome
    if accounts(backend, runner):
        assert outcome.peak_memory_bytes >= LIMITS.memory_bytes - MIB


async def test_sleeping_past_the_time_limit(runner: Runner, job: Job) -> None:
    outcome = await runner.run(doing(job, "sleep", time_limit_s=1))
    assert (outcome.reason, outcome.exit_code) == (Reason.TIME_LIMIT, None)
    assert outcome.wall_ms >= 1000


async def test_what_the_chain_wants_no_more_is_stopped_although_it_had_time_left(runner: Runner, job: Job) -> None:
    outcome = await runner.run(replace(doing(job, "sleep"), left_s=1.0))
    assert (outcome.reason, outcome.exit_code) == (Reason.DEADLINE, None)
    outcome = await runner.run(replace(doing(job, "sleep"), left_s=-5.0))
    assert outcome.reason is Reason.DEADLINE


async def test_closing_its_streams_does_not_hide_a_program(runner: Runner, job: Job) -> None:
    outcome = await runner.run(doing(job, "mute", time_limit_s=1))
    assert outcome.reason is Reason.TIME_LIMIT


async def test_a_fork_bomb_is_held_and_killed(runner: Runner, job: Job) -> None:
    outcome = await runner.run(doing(job, "bomb", time_limit_s=1))
    # At the limit on processes the Go runtime may also give up by itself.
    assert outcome.reason is Reason.TIME_LIMIT or outcome.exit_code == 2, outcome


async def test_a_crowd_with_little_cpu_is_killed_in_time(runner: Runner, job: Job) -> None:
    # Dying takes cpu time too: under the job's own limit this crowd would need minutes of it.
    async with asyncio.timeout(45):
        await runner.run(doing(job, "bomb", time_limit_s=3, cpu_millis=100, pids=500, memory_bytes=512 * MIB))


async def test_processes_are_counted_and_none_survives_the_program(runner: Runner, job: Job) -> None:
    outcome = await runner.run(doing(job, "children", memory_bytes=512 * MIB))
    assert outcome.reason is Reason.EXITED
    if outcome.exit_code == 0:
        assert 0 < int(outcome.stdout) < LIMITS.pids


async def test_a_talkative_program_is_cut_and_never_blocked(runner: Runner, job: Job) -> None:
    outcome = await runner.run(doing(job, "print"))
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, 0)
    for log in (outcome.stdout, outcome.stderr):
        assert len(log) == LIMITS.log_bytes
        assert log.endswith(b"\n[truncated: the program wrote 10485760 bytes]\n")


async def test_cpu_is_limited(runner: Runner, job: Job) -> None:
    outcome = await runner.run(doing(job, "burn", cpu_millis=200))
    assert outcome.exit_code == 0
    # One period of 100 ms may be used up at either end.
    assert outcome.cpu_ms <= outcome.wall_ms * 0.2 + 200


async def test_containers_weigh_less_than_the_daemon_where_cpu_is_contended(
    backend: Backend, runner: Runner, job: Job, tmp_path: Path
) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(runner.run(doing(job, "sleep"), on_start=started.set))
    await started.wait()
    mark = f"FOLDER={tmp_path}\0".encode()
    inside: list[int] = []
    async with asyncio.timeout(30):
        while not inside:
            await asyncio.sleep(0.01)  # the sandbox is there before its program
            inside = [pid for pid in process_ids() if mark in environment_of(pid)]
    if backend.kind == "sandbox":
        assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in inside} == {NICENESS}
    else:
        client = docker.APIClient(backend.where)
        (container,) = client.containers(filters={"label": ["proofmill.job=job-1", f"proofmill.node={NODE_ID}"]})
        assert client.inspect_container(container["Id"])["HostConfig"]["CpuShares"] == 1024 * CPU_WEIGHT // 100
        client.close()
    assert weights_of_all_jobs() <= {1024 * CPU_WEIGHT // 100, CPU_WEIGHT}
    await runner.cancel(job.id)
    assert (await running).reason is Reason.CANCELLED


async def test_an_image_can_be_made_ready_beforehand(runner: Runner, job: Job, tmp_path: Path) -> None:
    await runner.prepare(job.image, job.image_sha256)
    assert (await runner.run(job)).exit_code == 0
    junk = tmp_path / "junk.tar"
    junk.write_bytes(b"no image")
    with pytest.raises(RunnerError):
        await runner.prepare(junk, "9" * 64)


async def test_cancel_kills_a_running_job(runner: Runner, job: Job) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(runner.run(doing(job, "sleep"), on_start=started.set))
    await started.wait()
    await runner.cancel(job.id)
    await runner.cancel("unknown")
    assert (await running).reason is Reason.CANCELLED


async def test_what_a_running_job_uses_can_be_seen(runner: Runner, backend: Backend, job: Job) -> None:
    assert runner.uses() == {}
    known = accounts(backend, runner)
    running = asyncio.create_task(runner.run(doing(job, "burn")))

    def seen() -> bool:
        use = runner.uses().get(job.id)
        return use is not None and (not known or (use.cpu_ms > 0 and use.memory_bytes > 0))

    async with asyncio.timeout(30):
        while not seen():  # noqa: ASYNC110 - it is measured, not told
            await asyncio.sleep(0.01)
    assert runner.uses()[job.id].gpus == ()
    await runner.cancel(job.id)
    await running
    assert runner.uses() == {}


async def test_cancel_reaches_a_job_that_has_not_begun(runner: Runner, job: Job) -> None:
    running = asyncio.create_task(runner.run(doing(job, "sleep")))
    await asyncio.sleep(0)
    await runner.cancel(job.id)
    assert (await running).reason is Reason.CANCELLED


async def test_cancelling_the_awaiting_task_kills_the_job(runner: Runner, job: Job, tmp_path: Path) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(runner.run(doing(job, "sleep"), on_start=started.set))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert traces(tmp_path) == []


async def test_close_kills_what_runs(runner: Runner, job: Job) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(runner.run(doing(job, "sleep"), on_start=started.set))
    await started.wait()
    await runner.close()
    assert (await running).reason is Reason.CANCELLED


async def test_several_jobs_of_one_image_at_once(runner: Runner, job: Job, tmp_path: Path) -> None:
    jobs = []
    for number in range(4):
        (tmp_path / f"output-{number}").mkdir()
        jobs.append(replace(job, id=f"many-{number}", output_dir=tmp_path / f"output-{number}"))
    ended = await asyncio.gather(*[runner.run(each) for each in jobs])
    assert [outcome.exit_code for outcome in ended] == [0] * 4
    assert [outputs(each) for each in jobs] == [["proof"]] * 4


@pytest.mark.parametrize(("proof", "code"), [(b"input", 0), (b"other", 1), (None, 9)])
async def test_verdicts(runner: Runner, job: Job, tmp_path: Path, proof: bytes | None, code: int) -> None:
    (tmp_path / "proof").mkdir()
    if proof is not None:
        (tmp_path / "proof/proof").write_bytes(proof)
    (tmp_path / "input/public").write_bytes(b"input")
    verifier = replace(doing(job, "verify"), output_dir=None, assets_dir=None, proof_dir=tmp_path / "proof")
    outcome = await runner.run(verifier)
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, code)


@pytest.mark.parametrize("command", ["/missing", "missing", "/etc/motd", "/etc"])
async def test_a_command_that_cannot_be_executed(runner: Runner, job: Job, command: str) -> None:
    outcome = await runner.run(replace(job, command=(command,)))
    assert (outcome.reason, outcome.exit_code) == (Reason.IMAGE_UNUSABLE, None), outcome


async def test_unusable_images(runner: Runner, job: Job, tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    layer = tar([file("a")])
    settings = {"Cmd": ["/a"]}
    archives: list[Callable[[], str]] = [
        lambda: docker_archive(path, [layer], image_config([layer], settings, architecture="s390x")),
        lambda: docker_archive(path, [layer], image_config([tar([file("b")])], settings)),
        lambda: docker_archive(path, [layer], image_config([layer], {})),
        lambda: docker_archive(path, [tar([file("../a")])], image_config([tar([file("../a")])], settings)),
        lambda: docker_archive(path, [b"junk" * 300], image_config([b"junk" * 300], settings)),
        lambda: str(path.write_bytes(b"not a tar")).rjust(64, "0"),
    ]
    for number, make in enumerate(archives):
        outcome = await runner.run(replace(job, id=f"bad-{number}", image=path, image_sha256=make()))
        assert outcome.reason is Reason.IMAGE_UNUSABLE, (number, outcome)
        assert outcome.detail


async def test_what_a_killed_node_left_is_found_and_removed(
    backend: Backend, runner: Runner, job: Job, tmp_path: Path
) -> None:
    where = (backend.kind, backend.where, tmp_path)
    await start_and_kill(*where, job.image, job.image_sha256, "", 600, "sleep")
    assert await runner.cleanup_orphans() == ["doomed"]
    assert traces(tmp_path) == []


async def test_gpus_that_are_not_there_are_a_clear_error(runner: Runner, job: Job) -> None:
    if runner.gpus:
        pytest.skip("this machine has GPUs")
    outcome = await runner.run(doing(job, "ok", gpus=1))
    assert outcome.reason is Reason.RUNNER_ERROR
    assert "GPU" in outcome.detail


async def test_an_engine_without_gpu_support_is_named(docker_engine: Engine, job: Job, tmp_path: Path) -> None:
    (tmp_path / "nvidia0").touch()
    gpu = Gpu(0, devices=tmp_path)
    runner = await DockerRunner.start(NODE_ID, tmp_path / "state", url=docker_engine.url, gpus=(gpu,))
    outcome = await runner.run(doing(job, "ok", gpus=1))
    await runner.close()
    if not runner.gpu_obstacle:
        pytest.skip("this engine can give GPUs")
    assert (runner.gpus, outcome.reason) == (0, Reason.RUNNER_ERROR)
    assert outcome.detail == runner.gpu_obstacle
    assert "install the NVIDIA container toolkit" in outcome.detail


async def test_a_tag_cannot_put_another_image_in_the_place(docker_engine: Engine, job: Job, tmp_path: Path) -> None:
    runner = await DockerRunner.start(NODE_ID, tmp_path / "state", url=docker_engine.url)
    assert (await runner.run(replace(job, command=()))).exit_code == 0
    client = docker.APIClient(docker_engine.url)
    client.tag("proofmill-probe", f"proofmill-program-{NODE_ID}", job.image_sha256, force=True)
    client.close()
    (tmp_path / "second").mkdir()
    again = replace(job, id="second", output_dir=tmp_path / "second")
    assert (await runner.run(again)).exit_code == 0
    await runner.close()


async def test_an_engine_with_groups_of_its_own_is_asked_what_a_job_uses(
    docker_engine: Engine, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "detect", lambda: None)
    runner = await DockerRunner.start(NODE_ID, tmp_path / "state", url=docker_engine.url)
    outcome = await runner.run(doing(job, "sleep", time_limit_s=4))
    await runner.close()
    assert outcome.reason is Reason.TIME_LIMIT
    assert outcome.peak_memory_bytes > 0


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:1", "unix:///nowhere/docker.sock"])
async def test_no_engine_is_a_clear_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(RunnerError, match=url):
        await DockerRunner.start(NODE_ID, tmp_path, url=url)


async def test_no_bubblewrap_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bwrap_module, "PROJECT_TOOLS", tmp_path)
    with pytest.raises(RunnerError, match="install it"):
        await SandboxRunner.start(NODE_ID, tmp_path)
