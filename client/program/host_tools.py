"""Tools of a build that the machine has and of which nothing gets into an image, so any recent version will do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from client.program.errors import BuildError

PROJECT_TOOLS = Path(__file__).resolve().parents[2] / ".tools"


def find_tool(name: str) -> Path | None:
    """The executable `name` that `make setup` installed, or else the machine's."""
    found = shutil.which(name, path=os.pathsep.join([str(PROJECT_TOOLS / "bin"), os.environ.get("PATH", os.defpath)]))
    return Path(found) if found else None


def node_environment(version: str) -> dict[str, str]:
    """Environment variables under which `node` and `npm` are of major version `version` or later. Raises BuildError."""
    node, npm = find_tool("node"), find_tool("npm")
    if node is None or npm is None:
        raise BuildError(f"this program is built with Node.js {version} and npm, which aren't installed: install them")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    major = re.match(r"v(\d+)\.", said)
    if major is None or int(major[1]) < int(version):
        raise BuildError(f"this program is built with Node.js {version} or later, and {node} is {said.strip()}")
    settings = {name: value for name, value in os.environ.items() if name.lower().startswith("npm_config_")}
    path = dict.fromkeys([str(node.parent), str(npm.parent), "/usr/bin", "/bin"])
    return settings | {"PATH": os.pathsep.join(path)}


def python_environment(version: str) -> dict[str, str]:
    """Environment variables under which `python3` is the Python, with pip, that runs this. Raises BuildError."""
    wanted = tuple(int(part) for part in version.split("."))
    if sys.version_info < wanted:
        raise BuildError(f"this program is built with Python {version} or later; run mill with such a one")
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return settings | {"PATH": path}
