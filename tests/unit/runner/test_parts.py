"""The small parts that runners are made of."""

from __future__ import annotations

import errno
import json
import os
import platform
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from prover_node.runner import bwrap
from prover_node.runner.base import Job, Limits, RunnerError
from prover_node.runner.bwrap import Bubblewrap
from prover_node.runner.logs import LogBuffer
from prover_node.runner.output import OutputStage, OutputTooLarge, remove_home
from prover_node.runner.seccomp import engine_profile, seccomp_filter

LIMITS = Limits(
    cpu_millis=1, memory_bytes=1, gpus=0, time_limit_s=1, output_bytes=1 << 16, output_inodes=8, tmp_bytes=1
)


def test_a_short_log_is_kept_whole() -> None:
    log = LogBuffer(10)
    log.feed(b"01234")
    log.feed(b"56789")
    assert log.value() == b"0123456789"


@pytest.mark.parametrize("limit", [1, 20, 100])
def test_a_long_log_ends_with_a_note(limit: int) -> None:
    log = LogBuffer(limit)
    for _ in range(1000):
        log.feed(b"x" * 17)
    assert len(log.value()) == limit
    assert b"\n[truncated: the program wrote 17000 bytes]\n".endswith(log.value()[-40:].lstrip(b"x"))


def test_a_log_outlives_its_process_and_says_where_something_may_be_missing(tmp_path: Path) -> None:
    first = LogBuffer(200, tmp_path / "log")
    first.feed(b"early")
    again = LogBuffer(200, tmp_path / "log")
    again.feed(b"late" * 50)
    value = again.value()
    assert value.startswith(b"early\n[the node was started again: what the program wrote meanwhile is missing]\nlate")
    assert len(value) == len((tmp_path / "log").read_bytes()) == 200
    for log in (first, again):
        log.close()


def stage(tmp_path: Path, limits: Limits = LIMITS) -> tuple[OutputStage, Path]:
    (tmp_path / "copy").mkdir()
    (tmp_path / "home").mkdir()
    return OutputStage.make(tmp_path / "home", limits, own_file_system=False), tmp_path / "copy"


def test_outputs_are_copied_with_plain_modes(tmp_path: Path) -> None:
    output, copy = stage(tmp_path)
    (output.path / "d").mkdir()
    (output.path / "d/f").write_bytes(b"x")
    (output.path / "d/f").chmod(0)
    (output.path / "d").chmod(0o500)
    output.collect(copy)
    assert (copy / "d/f").read_bytes() == b"x"
    assert (copy / "d/f").stat().st_mode & 0o7777 == 0o644
    assert (copy / "d").stat().st_mode & 0o7777 == 0o755


def test_links_in_outputs_are_never_followed(tmp_path: Path) -> None:
    output, copy = stage(tmp_path)
    (output.path / "l").symlink_to("/etc/passwd")
    (output.path / "a").write_bytes(b"x")
    os.link(output.path / "a", output.path / "b")
    os.mkfifo(output.path / "p")
    output.collect(copy)
    assert (copy / "l").is_symlink()
    assert (copy / "a").samefile(copy / "b")
    assert (copy / "p").is_fifo()


def fill_by_size(path: Path) -> None:
    (path / "a").touch()
    os.truncate(path / "a", 1 << 40)


def fill_by_number(path: Path) -> None:
    for number in range(9):
        (path / str(number)).touch()


def fill_by_depth(path: Path) -> None:
    path.joinpath(*["d"] * 102).mkdir(parents=True)


@pytest.mark.parametrize(
    ("fill", "limits", "word"),
    [
        (fill_by_size, LIMITS, "bytes"),
        (fill_by_number, LIMITS, "files"),
        (fill_by_depth, replace(LIMITS, output_inodes=1000), "deep"),
    ],
)
def test_outputs_beyond_the_limits_are_not_copied(
    tmp_path: Path, fill: Callable[[Path], None], limits: Limits, word: str
) -> None:
    output, copy = stage(tmp_path, limits)
    fill(output.path)
    with pytest.raises(OutputTooLarge, match=word):
        output.collect(copy)
    assert not any(path.is_file() and path.stat().st_size for path in copy.rglob("*"))


def test_outputs_are_removed_however_deep_or_locked(tmp_path: Path) -> None:
    output, _ = stage(tmp_path)
    (output.path / "locked/inner").mkdir(parents=True)
    (output.path / "locked/inner/file").touch()
    (output.path / "link").symlink_to(tmp_path)
    (output.path / "locked/inner").chmod(0)
    (output.path / "locked").chmod(0)
    deep = os.open(output.path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=deep)
        deeper = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    remove_home(tmp_path / "home")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


def test_an_output_without_a_file_system_of_its_own_is_measured(tmp_path: Path) -> None:
    output, _ = stage(tmp_path)
    (output.path / "a").write_bytes(bytes(1 << 15))
    assert not output.exceeded()
    (output.path / "d").mkdir()
    (output.path / "d/a").write_bytes(bytes(1 << 16))
    assert output.exceeded()


def run_filter(program: bytes, number: int, architecture: int, argument: int = 0) -> int:
    """What the kernel would answer: an interpreter of the few BPF instructions that filters use."""
    data = struct.pack("=IIQQ", number, architecture, 0, argument)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = position = 0
    while True:
        code, yes, no, value = instructions[position]
        position += 1
        if code == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif code in (0x15, 0x35):
            position += yes if (accumulator == value if code == 0x15 else accumulator >= value) else no
        else:
            assert code == 0x06
            return int(value)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are x86-64's system call numbers")
def test_the_filter_refuses_what_it_should_and_nothing_else() -> None:
    program = seccomp_filter()
    assert program is not None
    machine, allow, refuse = 0xC000003E, 0x7FFF0000, 0x00050000
    for number in (0, 1, 56, 57, 59, 231, 435):  # read, write, clone, fork, execve, exit_group, clone3
        assert run_filter(program, number, machine) == allow
    # ptrace, mount, unshare, setns, bpf, io_uring_setup, mount_setattr
    for number in (101, 165, 272, 308, 321, 425, 442):
        assert run_filter(program, number, machine) == refuse | errno.EPERM
    for family, answer in (
        (1, allow),
        (2, allow),
        (38, refuse | errno.EAFNOSUPPORT),
        (40, refuse | errno.EAFNOSUPPORT),
    ):
        assert run_filter(program, 41, machine, family) == answer
    assert run_filter(program, 0x40000000, machine) == refuse | errno.EPERM
    assert run_filter(program, 0, 0x40000003) == 0x80000000


def test_engines_get_the_same_filter_and_one_against_namespaces() -> None:
    text = engine_profile()
    assert text is not None
    profile = json.loads(text)
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    rules = profile["syscalls"]
    assert {"mount", "ptrace", "io_uring_setup", "unshare"} <= set(rules[0]["names"])
    assert [rule["args"][0]["value"] for rule in rules if rule["names"] == ["socket"]] == [38, 40]
    flags = {rule["args"][0]["value"] for rule in rules if rule["names"] == ["clone"]}
    assert {0x10000000, 0x20000} <= flags  # CLONE_NEWUSER, CLONE_NEWNS


@pytest.mark.parametrize("change", [{"cpu_millis": 0}, {"gpus": -1}, {"time_limit_s": -1}, {"output_inodes": 0}])
def test_impossible_limits(change: dict[str, int]) -> None:
    fields = {name: getattr(LIMITS, name) for name in Limits.__dataclass_fields__}
    with pytest.raises(ValueError, match="limit"):
        Limits(**(fields | change))


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": "../x"},
        {"image_sha256": "x"},
        {"env": {"A=B": ""}},
        {"env": {"A": "\0"}},
        {"command": ("\0",)},
    ],
)
def test_impossible_jobs(change: dict[str, object]) -> None:
    fields: dict[str, object] = {
        "id": "1",
        "image": Path(),
        "image_sha256": "0" * 64,
        "command": (),
        "input_dir": Path(),
        "assets_dir": None,
        "proof_dir": None,
        "output_dir": None,
        "limits": LIMITS,
    }
    Job(**fields)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"must be|unusable|NUL"):
        Job(**(fields | change))  # type: ignore[arg-type]


def test_the_projects_own_bubblewrap_serves_where_path_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`make setup` puts it there, and `mill` is then called without the Makefile's PATH."""
    machine, project = tmp_path / "machine", tmp_path / "project"
    monkeypatch.setenv("PATH", str(machine))
    monkeypatch.setattr(bwrap, "PROJECT_TOOLS", project)
    with pytest.raises(RunnerError, match="needs bubblewrap"):
        Bubblewrap.find(None)
    for folder in (project, machine):  # the machine's goes first
        folder.mkdir()
        program = folder / "bwrap"
        program.write_text("#!/bin/sh\necho ' --size  --perms  --clearenv  --json-status-fd  --args '\n")
        program.chmod(0o755)
        assert Bubblewrap.find(None) == Bubblewrap(str(program), can_disable_userns=False)
    with pytest.raises(RunnerError, match="needs bubblewrap"):
        Bubblewrap.find(tmp_path / "named" / "bwrap")
