"""What `cuda_environment` refuses. The compiler itself is fetched and used in tests/e2e/test_capacity_gpu.py."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from client.program.cuda_toolchain import CUDA_VERSIONS, cuda_environment
from client.program.errors import BuildError

VERSION = CUDA_VERSIONS[0]


def make_compiler(folder: Path, name: str, version: str) -> None:
    folder.mkdir(exist_ok=True)
    compiler = folder / name
    compiler.write_text(f"#!/bin/sh\necho {version}\n")
    compiler.chmod(0o755)


def test_a_version_without_pins_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"^CUDA 11\.8 is not among the versions that a build can use: 13\.0\.2$"):
        cuda_environment("11.8", tmp_path)


def test_another_processor_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    with pytest.raises(BuildError, match="this machine is Linux on riscv64: build on another machine"):
        cuda_environment(VERSION, tmp_path)


def test_a_machine_without_a_cpp_compiler_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BuildError, match=r"at most version 15, and it isn't installed: install g\+\+-12$"):
        cuda_environment(VERSION, tmp_path / "place")

    assert not (tmp_path / "place").exists()


def test_a_cpp_compiler_that_nvcc_does_not_know_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_compiler(tmp_path / "bin", "g++", "16.1.0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    with pytest.raises(BuildError, match=r"only g\+\+ 16\.1\.0 is installed"):
        cuda_environment(VERSION, tmp_path / "place")


def test_without_a_network_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_compiler(tmp_path / "bin", "g++", "16.1.0")
    make_compiler(tmp_path / "bin", "g++-13", "13.3.0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name, value in {"INDEX_URL": "http://127.0.0.1:9/simple", "RETRIES": "0", "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)

    with pytest.raises(
        BuildError, match=r"^CUDA 13\.0\.2 can't be fetched from PyPI, which takes a network and pip: ERROR"
    ):
        cuda_environment(VERSION, tmp_path / "place")

    assert [path.name for path in (tmp_path / "place").iterdir()] == ["cuda.lock"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_compiler(tmp_path / "bin", "g++", "12")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    place = tmp_path / "a file"
    place.touch()

    with pytest.raises(BuildError, match=r"^CUDA 13\.0\.2 can't be put into .*a file/below: "):
        cuda_environment(VERSION, place / "below")
