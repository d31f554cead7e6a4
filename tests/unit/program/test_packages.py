from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from client.program.description import file_sha256
from client.program.errors import BuildError
from client.program.packages import Downloads
from client.program.recipe import DebianPackage, Wheel


@pytest.fixture
def downloads(tmp_path: Path) -> Downloads:
    (tmp_path / "kept").mkdir()
    return Downloads(tmp_path / "kept", tmp_path, {"PATH": "/usr/bin:/bin"})


def keep(tmp_path: Path, file: Path) -> str:
    """Put `file` where a download of it would be, and return its hash."""
    sha256 = file_sha256(file)
    shutil.copyfile(file, tmp_path / "kept" / sha256)
    return sha256


def test_a_wheel_is_unpacked_with_its_executables(downloads: Downloads, tmp_path: Path) -> None:
    name = "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("thing/data", "data")
        tool = zipfile.ZipInfo("thing/tool")
        tool.external_attr = 0o100755 << 16
        archive.writestr(tool, "tool")
    downloads.wheels([Wheel(name, keep(tmp_path, tmp_path / name))], tmp_path / "pypi")

    assert (tmp_path / "pypi/thing/data").read_text() == "data"
    assert (tmp_path / "pypi/thing/tool").stat().st_mode & 0o111
    assert not (tmp_path / "pypi/thing/data").stat().st_mode & 0o111


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="not a Debian system")
def test_debian_packages_are_unpacked_together(downloads: Downloads, tmp_path: Path) -> None:
    packages = []
    for name in ("one", "two"):
        tree = tmp_path / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(
            f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: us\nDescription: {name}\n"
        )
        (tree / "usr").mkdir()
        (tree / "usr" / name).write_text(name)
        subprocess.run(["dpkg-deb", "--build", tree, tmp_path / f"{name}.deb"], check=True, capture_output=True)
        packages.append(DebianPackage(name, "1", keep(tmp_path, tmp_path / f"{name}.deb")))
    downloads.debian(packages, tmp_path / "debian")

    assert sorted(path.name for path in (tmp_path / "debian/usr").iterdir()) == ["one", "two"]


def test_a_package_that_was_damaged_is_refused_and_forgotten(downloads: Downloads, tmp_path: Path) -> None:
    kept = tmp_path / "kept" / ("a" * 64)
    kept.write_text("something else")

    with pytest.raises(BuildError, match="is not the one whose sha256 is aaaa"):
        downloads.wheels([Wheel("thing-1.0-py3-none-any.whl", "a" * 64)], tmp_path / "pypi")
    assert not kept.exists()
