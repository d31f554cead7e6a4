"""The Go toolchain of a build: found on the machine, pinned to one version, cut off from the user's settings."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from client.program.errors import BuildError
from client.program.host_tools import find_tool

# Where modules come from and are kept is the machine's business and can't change their bytes: go.sum pins those.
_MACHINE_SETTINGS = ("GOCACHE", "GOMODCACHE", "GONOPROXY", "GONOSUMDB", "GOPRIVATE", "GOPROXY", "GOSUMDB")


def go_environment(version: str) -> dict[str, str]:
    """Environment variables under which `go` is exactly Go `version`.

    An installed Go of another version downloads that one from the module proxy. Raises BuildError if there is no Go.
    """
    go = find_tool("go")
    if go is None:
        raise BuildError(
            "this program is built with Go, which isn't installed: run `make setup`, or install Go 1.21 or later"
        )
    return _settings(go) | {
        "GOENV": "off",
        "GOTOOLCHAIN": f"go{version}",
        "PATH": os.pathsep.join([str(go.parent), "/usr/bin", "/bin"]),
    }


def _settings(go: Path) -> dict[str, str]:
    done = subprocess.run([go, "env", "-json", *_MACHINE_SETTINGS], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{go} can't be used for this build: {done.stderr.strip()}")
    settings: dict[str, str] = json.loads(done.stdout)
    return settings
