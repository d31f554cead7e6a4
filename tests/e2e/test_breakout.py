"""What a hostile program tries against its host, on every runner: each attempt is made, fails, and leaves no trace.

The program is tests/support/behave; it makes each attempt in a process of its own and reports how the kernel refused
it. Memory, processes and time are held in test_runners.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from client.bundle import BundleError, BundleLimits, pack
from prover_node.runner.base import Job, Outcome, Reason
from prover_node.runner.sandbox import SandboxRunner
from tests.support.behave_jobs import LIMITS, MIB, Backend, Image, make_job, outputs
from tests.support.doomed_node import NODE_ID, start_runner
from tests.support.ordinary_user import USER, as_ordinary_user

REFUSED = r"operation not permitted|permission denied|read-only file system|EOF"
ABSENT = r"no such file or directory|no such device or address|no such process|there is nothing"
NO_ADDRESS = r"cannot assign requested address|address family not supported by protocol"
UNREACHABLE = rf"network is unreachable|connection refused|{NO_ADDRESS}"

ATTEMPTS: dict[str, tuple[str, ...]] = {
    # A network of its own, with nothing in it.
    UNREACHABLE: (
        "DNS",
        "DNS by a server of one's own",
        "IPv4",
        "IPv4 without a connection",
        "IPv6",
        "the cloud's metadata",
        "the host by IPv6 loopback",
        "the host by loopback",
        "the host by vsock",
        "the host's abstract socket",
    ),
    REFUSED: (
        "a packet socket",
        "a raw socket",
        "another address for loopback",
        # Files that are there, but not to be changed.
        "a file of the host by its handle",
        "a new file in the assets",
        "a new file in the input",
        "a new file in the root",
        "another directory as the output",
        "another mode of the input",
        "other contents of an asset",
        "other contents of the input",
        "other contents of the program",
        "capabilities on a file",
        # Devices.
        "make a device in shared memory",
        "make a device in the output",
        "make a disk's device",
        "make the memory's device",
        # Privileges.
        "a better priority",
        "a higher limit",
        "capabilities",
        "more groups",
        "real-time priority",
        # Namespaces and mounts.
        "a mount namespace",
        "a network namespace",
        "a user namespace",
        "another root",
        "another user's map",
        "attributes of a mount",
        "bind the input",
        "change the root",
        "clone a tree of mounts",
        "mount a file system",
        "mount control groups",
        "mount control groups 2",
        "mount the processes",
        "move a mount",
        "open a file system",
        "the first namespace",
        "unmount the input",
        "unmount the output",
        "write to the input",
        "write to the root",
        # The kernel and the machine.
        "a kernel module",
        "a kernel module's file",
        "a key",
        "a program in the kernel",
        "a session of keys",
        "account for processes",
        "adjust the clock",
        "another domain",
        "another kernel",
        "another kernel's file",
        "another name of the host",
        "asynchronous calls",
        "page faults of the kernel",
        "performance events",
        "quotas",
        "restart the machine",
        "set the clock",
        "set the time of day",
        "swap to a file",
        "the kernel's log",
        # Other processes.
        "trace a process of the host",
        "write another's memory",
    ),
    ABSENT: (
        *(
            f"/dev/{name}"
            for name in (
                "cpu/0/msr",
                "dm-0",
                "dri/card0",
                "fuse",
                "hpet",
                "input/event0",
                "kmem",
                "kmsg",
                "kvm",
                "loop-control",
                "loop0",
                "mapper/control",
                "mem",
                "net/tun",
                "nvidia-uvm",
                "nvidia0",
                "nvidiactl",
                "nvme0n1",
                "port",
                "rtc0",
                "sda",
                "snapshot",
                "uinput",
                "userfaultfd",
                "vda",
                "vhost-net",
                "vhost-vsock",
                "vsock",
                "watchdog",
            )
        ),
        "a file of the host",
        "a file of the host above the input",
        "a file of the host by /proc/1/root",
        "a file of the host by /proc/self/root",
        "a file of the host by the input's directory",
        "a signal to a process of the host",
        "find a process of the host",
        "put a character into a terminal",
        "the container engine",
        "the folder of another job",
        "the folders of all jobs",
        "the system bus",
        "users of the host",
    ),
    # What of these there is depends on the host's kernel.
    f"{REFUSED}|{ABSENT}": (
        "a magic request",
        "binary formats",
        "drop the host's caches",
        "forwarding by sysctl",
        "interrupts",
        "memory of the kernel",
        "messages of the kernel",
        "modprobe's path",
        "never be killed for memory",
        "the host's name by sysctl",
        "the kernel's keys",
        "trace the container's first process",
        "where core dumps go",
        *(
            f"write /sys/{name}"
            for name in (
                "fs/cgroup/cgroup.procs",
                "fs/cgroup/memory/release_agent",
                "fs/cgroup/release_agent",
                "kernel/mm/transparent_hugepage/enabled",
                "kernel/uevent_helper",
                "power/state",
            )
        ),
    ),
    # In a user namespace nobody is root, so there is nobody to become.
    f"{REFUSED}|invalid argument": (
        "a file of root's in the output",
        "become root",
        "become root's group",
        "new privileges again",
    ),
    # The limit on user namespaces is reached.
    f"{REFUSED}|no space left on device": ("a user namespace for a child",),
    "invalid cross-device link": ("a hard link to the input", "a hard link to the program"),
    "no core of aborted": ("dump core",),
    "still user 65532": ("root by a setuid file",),
}
REFUSALS = {name: refusal for refusal, names in ATTEMPTS.items() for name in names}
USUAL_DEVICES = {f"/dev/{name}" for name in ("full", "null", "pts/ptmx", "random", "tty", "urandom", "zero")}


@dataclass
class Host:
    """Things of the host that a program must not reach: what it is told to aim at."""

    folder: Path
    victim: subprocess.Popen[bytes]
    listeners: list[socket.socket]
    name: str
    visitors: list[bytes]
    facts: dict[str, object]

    @property
    def secret(self) -> Path:
        return self.folder / "secret"

    def environment(self, other_job: Path) -> dict[str, str]:
        return {
            "HOST_SECRET": str(self.secret),
            "HOST_PID": str(self.victim.pid),
            "HOST_MARK": self.name,
            "HOST_PORT": str(self.listeners[0].getsockname()[1]),
            "HOST_SOCKET": self.name,
            "OTHER_JOB": str(other_job),
        }


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A file that everybody may read, a process, and servers on loopback and on an abstract socket."""
    folder = Path(tempfile.mkdtemp(prefix="mill-host-", dir="/var/tmp"))
    folder.chmod(0o755)
    name = f"mill-host-{secrets.token_hex(8)}"
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)", name])
    listeners = [socket.socket(), socket.socket(socket.AF_UNIX)]
    listeners[0].bind(("127.0.0.1", 0))
    listeners[1].bind(f"\0{name}")
    made = Host(folder, victim, listeners, name, [], facts())
    made.secret.write_text("nobody's business")
    made.secret.chmod(0o644)
    for listener in listeners:
        listener.listen()
        threading.Thread(target=_receive, args=(listener, made.visitors), daemon=True).start()
    yield made
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    victim.kill()
    victim.wait()
    shutil.rmtree(folder)


def facts() -> dict[str, object]:
    """What a program that got out could have changed for good."""
    settings = ("kernel/core_pattern", "kernel/modprobe", "net/ipv4/ip_forward", "kernel/hostname", "kernel/domainname")
    paths = [Path("/proc/sys") / name for name in settings]
    found: dict[str, object] = {str(path): path.read_text() for path in paths if path.exists()}
    return found | {
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text(),
        "swap": Path("/proc/swaps").read_text(),
        "root": Path("/").stat().st_dev,
        "temporary": Path("/tmp").stat().st_dev,  # noqa: S108
        "clock": time.time() > 1_700_000_000,
    }


def _receive(listener: socket.socket, visitors: list[bytes]) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                visitors.append(connection.recv(100))


def run(runner: Backend, folder: Path, *jobs: Job) -> list[Outcome]:
    """Run the jobs, all at once, on a runner of their own."""

    async def work() -> list[Outcome]:
        started = await start_runner(runner.kind, runner.where, folder / "state")
        try:
            return list(await asyncio.gather(*(started.run(job) for job in jobs)))
        finally:
            await started.close()

    return asyncio.run(work())


@pytest.fixture(scope="module")
def answers(
    runner: Backend, host: Host, behave_image: Image, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """How each attempt ended, while another job runs."""
    folder = tmp_path_factory.mktemp("attempts")
    other = make_job(behave_image, folder / "other", "slow", "1")
    hostile = make_job(behave_image, folder / "hostile", "break-out")
    hostile = replace(hostile, env=host.environment(folder / "other"))
    outcomes = run(runner, folder, hostile, other)
    assert [outcome.exit_code for outcome in outcomes] == [0, 0], outcomes
    assert outputs(other) == ["proof"]
    assert outputs(hostile) == []
    return cast(dict[str, str], json.loads(outcomes[0].stdout))


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_it_is_tried_and_refused(answers: dict[str, str], name: str) -> None:
    assert re.search(rf"(?:^|: )(?:{REFUSALS[name]})$", answers[name]), answers[name]


def test_every_attempt_is_looked_at(answers: dict[str, str]) -> None:
    assert sorted(answers) == sorted(REFUSALS)


def test_the_host_is_as_it_was(answers: dict[str, str], host: Host) -> None:
    assert answers
    assert host.secret.read_text() == "nobody's business"
    assert host.victim.poll() is None
    assert host.visitors == []
    assert facts() == host.facts


def test_an_ordinary_users_sandbox_refuses_the_same(bwrap: Path, host: Host, behave_image: Image) -> None:
    folder = Path(tempfile.mkdtemp(prefix="mill-user-", dir="/var/tmp"))
    copy = Image(folder / "image.tar", behave_image.sha256)
    shutil.copyfile(behave_image.path, copy.path)
    if os.geteuid() == 0:
        for path in (folder, copy.path):
            os.chown(path, USER, USER)

    async def work() -> None:
        job = replace(make_job(copy, folder / "hostile", "break-out"), env=host.environment(folder / "other"))
        sandbox = await SandboxRunner.start(NODE_ID, folder / "state", bwrap=bwrap)
        outcome = await sandbox.run(job)
        await sandbox.close()
        (folder / "answers.json").write_bytes(outcome.stdout)

    as_ordinary_user(work)
    answers: dict[str, str] = json.loads((folder / "answers.json").read_text())
    shutil.rmtree(folder)
    unexpected = {name: said for name, said in answers.items() if not re.search(rf"(?:{REFUSALS[name]})$", said)}
    assert unexpected == {}
    assert (host.visitors, host.victim.poll()) == ([], None)


def test_a_program_has_three_open_files_and_three_places_to_write_to(
    runner: Backend, behave_image: Image, tmp_path: Path
) -> None:
    (outcome,) = run(runner, tmp_path, make_job(behave_image, tmp_path / "job", "surroundings"))
    seen: dict[str, Any] = json.loads(outcome.stdout)
    # Podman gives two more, in memory too.
    places = set(seen["writable"]) - {"/run", "/var/tmp"}  # noqa: S108 - the container's own
    assert places == {"/dev/shm", "/mnt/output", "/tmp"}  # noqa: S108
    assert [line.split(":")[0] for line in seen["open"]] == ["0 /dev/null", "1 pipe", "2 pipe"]
    assert set(seen["devices"]) <= USUAL_DEVICES


def test_all_that_can_be_filled_is_bounded(runner: Backend, behave_image: Image, tmp_path: Path) -> None:
    (outcome,) = run(runner, tmp_path, make_job(behave_image, tmp_path / "job", "fill-all"))
    assert json.loads(outcome.stdout) == {
        "/tmp": LIMITS.tmp_bytes,  # noqa: S108
        "/mnt/output": LIMITS.output_bytes,
        "/dev/shm": 64 * MIB,  # noqa: S108
    }


def test_files_in_memory_count_as_memory(runner: Backend, behave_image: Image, tmp_path: Path) -> None:
    (outcome,) = run(runner, tmp_path, make_job(behave_image, tmp_path / "job", "fill-all", memory_bytes=40 * MIB))
    assert outcome.reason is Reason.OUT_OF_MEMORY, outcome


def test_a_signal_to_everybody_reaches_nobody_else(
    runner: Backend, host: Host, behave_image: Image, tmp_path: Path
) -> None:
    jobs = [
        make_job(behave_image, tmp_path / "hostile", "kill-all"),
        make_job(behave_image, tmp_path / "other", "slow", "1"),
    ]
    hostile, other = run(runner, tmp_path, *jobs)
    assert hostile.stdout == b"no such process\n"
    assert (other.exit_code, outputs(jobs[1])) == (0, ["proof"])
    assert host.victim.poll() is None


def test_a_fork_bomb_and_a_memory_hog_leave_others_their_share(
    runner: Backend, behave_image: Image, tmp_path: Path
) -> None:
    bomb = make_job(behave_image, tmp_path / "bomb", "bomb", time_limit_s=2)
    hog = make_job(behave_image, tmp_path / "hog", "memory")
    other = make_job(behave_image, tmp_path / "other", "slow", "1")
    _, filled, done = run(runner, tmp_path, bomb, hog, other)
    assert filled.reason is Reason.OUT_OF_MEMORY
    assert (done.exit_code, outputs(other)) == (0, ["proof"])


def test_links_in_the_output_lead_nowhere(runner: Backend, host: Host, behave_image: Image, tmp_path: Path) -> None:
    job = make_job(behave_image, tmp_path / "job", "links-out")
    (outcome,) = run(runner, tmp_path, replace(job, env={"HOST_SECRET": str(host.secret)}))
    assert outcome.exit_code == 0
    assert job.output_dir is not None
    assert outputs(job) == ["absolute", "folder", "relative", "root"]
    assert all(path.is_symlink() for path in job.output_dir.iterdir())
    with pytest.raises(BundleError, match="symbolic link"):
        pack(job.output_dir, tmp_path / "proof.tar", BundleLimits(MIB, 64))
    assert host.secret.stat().st_mode & 0o777 == 0o644


def test_names_that_are_no_text_are_named_so_that_they_can_be_printed(
    runner: Backend, behave_image: Image, tmp_path: Path
) -> None:
    job = make_job(behave_image, tmp_path / "job", "odd-names")
    (outcome,) = run(runner, tmp_path, job)
    assert outcome.exit_code == 0
    assert len(outputs(job)) == 6
    assert job.output_dir is not None
    with pytest.raises(BundleError) as caught:
        pack(job.output_dir, tmp_path / "proof.tar", BundleLimits(MIB, 64))
    assert str(caught.value).isprintable()


def test_a_program_can_watch_the_clock_and_its_verdict_is_its_own(
    runner: Backend, behave_image: Image, tmp_path: Path
) -> None:
    """Reading it needs no system call; setting it is among the attempts above."""
    (tmp_path / "proof").mkdir()
    job = make_job(behave_image, tmp_path / "job", "clock")
    (outcome,) = run(runner, tmp_path, replace(job, output_dir=None, proof_dir=tmp_path / "proof"))
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, 0)


def test_a_flood_of_words_is_read_and_dropped(runner: Backend, behave_image: Image, tmp_path: Path) -> None:
    # A gibibyte; less with an engine, which takes a processor for itself to pass it on.
    mebibytes = 1024 if runner.kind == "sandbox" else 128
    (outcome,) = run(runner, tmp_path, make_job(behave_image, tmp_path / "job", "print-much", str(mebibytes)))
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, 0)
    assert len(outcome.stdout) == LIMITS.log_bytes
    assert outcome.stdout.endswith(f"\n[truncated: the program wrote {mebibytes * MIB} bytes]\n".encode())
