"""Ready-made files for an image: Debian packages and wheels, each pinned by its sha256, through apt and pip."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from client.program.description import file_sha256
from client.program.errors import BuildError
from client.program.recipe import DebianPackage, Wheel

_LOG_LINES_IN_ERROR = 10


class Downloads:
    """Packages as they were downloaded, kept in `directory` by their hashes, so that each is fetched once."""

    def __init__(self, directory: Path, scratch: Path, env: Mapping[str, str]) -> None:
        self._directory = directory
        self._scratch = scratch
        self._env = env

    def debian(self, packages: Sequence[DebianPackage], target: Path) -> None:
        """Unpack `packages` together into `target`. Raises BuildError."""
        missing = [package for package in packages if not self._kept(package.sha256).is_file()]
        if missing:
            self._fetch_debian(missing)
        target.mkdir()
        for package in packages:
            self._run(["dpkg-deb", "--extract", str(self._checked(package.sha256)), str(target)], package.name)

    def wheels(self, wheels: Sequence[Wheel], target: Path) -> None:
        """Unpack `wheels` together into `target`. Raises BuildError."""
        for wheel in wheels:
            if not self._kept(wheel.sha256).is_file():
                self._fetch_wheel(wheel)
        target.mkdir()
        for wheel in wheels:
            with zipfile.ZipFile(self._checked(wheel.sha256)) as archive:
                archive.extractall(target)
                for entry in archive.infolist():
                    if entry.external_attr >> 16 & 0o100:
                        (target / entry.filename).chmod(0o755)

    def _fetch_debian(self, packages: Sequence[DebianPackage]) -> None:
        # apt's own lists and cache stay out of it: this works for ordinary users and on images without lists.
        state = self._scratch / "apt"
        for folder in ("lists/partial", "cache/archives/partial", "debs"):
            (state / folder).mkdir(parents=True)
        options = ("-o", f"Dir::State::lists={state / 'lists'}", "-o", f"Dir::Cache={state / 'cache'}")
        apt = ["apt-get", *options, "-o", "APT::Sandbox::User=root", "-q"]
        names = [f"{package.name}={package.version}" for package in packages]
        hint = "this program is built with Debian 12's packages; a newer one may have replaced one of them"
        self._run([*apt, "update"], hint)
        self._run([*apt, "download", *names], f"{', '.join(names)} ({hint})", cwd=state / "debs")
        for file in (state / "debs").iterdir():
            self._keep(file)
        for package in packages:
            self._checked(package.sha256, package.name)
        shutil.rmtree(state)

    def _fetch_wheel(self, wheel: Wheel) -> None:
        name, version, *_, python, abi, platforms = wheel.file.removesuffix(".whl").split("-")
        requirement, found = self._scratch / "requirement.txt", self._scratch / "wheel"
        requirement.write_text(f"{name}=={version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        implementation, digits = python.split(".")[-1][:2], python.split(".")[-1][2:]
        self._run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
                *(word for platform in platforms.split(".") for word in ("--platform", platform)),
                *("--implementation", implementation, "--python-version", digits if len(digits) > 1 else "3.11"),
                *("--abi", abi, "--require-hashes", "--dest", str(found), "-r", str(requirement)),
            ],
            wheel.file,
        )
        for file in found.iterdir():
            self._keep(file)
        shutil.rmtree(found)

    def _keep(self, file: Path) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        place = self._kept(file_sha256(file))
        unfinished = place.with_name(f".{place.name}.{hashlib.sha256(str(file).encode()).hexdigest()[:16]}")
        shutil.copyfile(file, unfinished)
        unfinished.replace(place)

    def _kept(self, sha256: str) -> Path:
        return self._directory / sha256

    def _checked(self, sha256: str, name: str = "") -> Path:
        path = self._kept(sha256)
        if not path.is_file() or file_sha256(path) != sha256:
            path.unlink(missing_ok=True)
            raise BuildError(f"the package {name or sha256} that was fetched is not the one whose sha256 is {sha256}")
        return path

    def _run(self, command: Sequence[str], what: str, cwd: Path | None = None) -> None:
        try:
            done = subprocess.run(
                command, cwd=cwd, env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
            )  # fmt: skip
        except OSError as error:
            raise BuildError(f"{what} can't be fetched: {command[0]}: {error.strerror}; it needs Debian 12") from error
        if done.returncode != 0:
            last = "\n".join(done.stdout.splitlines()[-_LOG_LINES_IN_ERROR:])
            raise BuildError(f"{what} can't be fetched; {command[0]} said:\n{last}")
