"""Other Python versions on this machine, each with what the state machine needs to run."""

from __future__ import annotations

import shutil
import subprocess
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("bech32", "coincurve", "googleapis-common-protos", "protobuf")
# Where version managers keep their interpreters.
PLACES = (".pyenv/versions/{version}.*/bin/python3", ".local/share/uv/python/cpython-{version}.*/bin/python3")


class NoPythonError(Exception):
    """This version can't be had here, for the reason given."""


def prepared_python(version: str) -> Path:
    """The interpreter of a virtual environment of `version` ("3.12"), made on first use; NoPythonError without one."""
    home = ROOT / ".tools" / "pythons" / version
    wanted = "\n".join(f"{name}=={metadata.version(name)}" for name in NEEDED)
    done = home / "installed.txt"
    if not done.is_file() or done.read_text() != wanted:
        shutil.rmtree(home, ignore_errors=True)
        _run([_find(version), "-m", "venv", str(home)])
        _run([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted.split("\n")])
        done.write_text(wanted)
    return home / "bin" / "python"


def _find(version: str) -> str:
    names = [shutil.which(f"python{version}"), *(str(path) for place in PLACES for path in _in_home(place, version))]
    for name in names:
        # Version managers put commands on PATH that work only where the version was chosen.
        if name is not None and subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode == 0:
            return name
    raise NoPythonError(f"Python {version} is not on this machine")


def _in_home(place: str, version: str) -> list[Path]:
    return sorted(Path.home().glob(place.format(version=version)))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise NoPythonError(f"{' '.join(command[:4])} failed: {''.join(last)}")
