"""Clients that others wrote, installed at pinned versions into .tools/, once for each lock file."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
COSMJS: Final = ROOT / "tests" / "conformance" / "cosmjs"
COSMPY: Final = ROOT / "tests" / "conformance" / "cosmpy"

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), str(ROOT / ".tools" / "bin")])
_NPM_OFFLINE = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)\b"
)
_UV_OFFLINE = re.compile(r"error sending request|dns error|client error \(Connect\)|operation timed out")


class NotHere(Exception):
    """The client can't be had on this machine; the message says why."""


def find_node(name: str = "node") -> str:
    """Node.js or its npm: the machine's or the project's own. Raises NotHere."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise NotHere(f"{name} isn't installed; `scripts/tools.py ensure node` gets it")
    return found


def cosmjs_folder() -> Path:
    """A folder with package.json and node_modules, as its lock file says. Raises NotHere."""
    npm = find_node("npm")

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(COSMJS / name, folder / name)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        _run(command, folder, _NPM_OFFLINE, "the npm registry can't be reached")

    return _installed("cosmjs", COSMJS / "package-lock.json", install)


def cosmpy_python() -> Path:
    """The interpreter of an environment with CosmPy in it. Raises NotHere."""

    def install(folder: Path) -> None:
        uv = [sys.executable, "-m", "uv", "--quiet"]
        # Moved into its place when it is whole, which only a relocatable one survives.
        _run([*uv, "venv", "--relocatable", "--python", sys.executable, "env"], folder, _UV_OFFLINE, "")
        command = [*uv, "pip", "install", "--python", "env/bin/python", "--require-hashes"]
        command += ["-r", str(COSMPY / "requirements.txt")]
        _run(command, folder, _UV_OFFLINE, "PyPI can't be reached")

    return _installed("cosmpy", COSMPY / "requirements.txt", install) / "env" / "bin" / "python"


def _installed(name: str, lock: Path, install: Callable[[Path], None]) -> Path:
    """The folder of what a lock file names, prepared beside its place the first time."""
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    place = ROOT / ".tools" / f"{name}-{digest}"
    if place.is_dir():
        return place
    fresh = place.with_name(f"{place.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        install(fresh)
        fresh.rename(place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return place


def _run(command: Sequence[str], folder: Path, offline: re.Pattern[str], why: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": _PATH},  # npm looks for node there
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    said = done.stdout + done.stderr
    if why and offline.search(said):
        raise NotHere(why)
    raise AssertionError(f"`{' '.join(command)}` ended with {done.returncode}:\n{said}")
