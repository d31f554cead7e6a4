"""The tools that a manifest may ask for, and the environment in which its steps find them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from client.program.cache import cache_folder
from client.program.cuda_toolchain import CUDA_VERSIONS, cuda_environment
from client.program.go_toolchain import go_environment
from client.program.host_tools import node_environment, python_environment
from client.program.rust_toolchain import rust_environment

_EXACT = r"[0-9]+\.[0-9]+\.[0-9]+"

TOOL_VERSIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "go": (_EXACT, "an exact Go version such as 1.26.8"),
        "rust": (_EXACT, "an exact Rust version such as 1.95.0"),
        "node": (r"[0-9]+", "the least major version of Node.js, such as 20"),
        "cuda": (
            "|".join(map(re.escape, CUDA_VERSIONS)),
            f"a CUDA toolkit that is known here: {', '.join(CUDA_VERSIONS)}",
        ),
        "python": (r"3\.[0-9]+", "the least version of Python, such as 3.11"),
    }
)
"""Each tool, with the pattern of its version and what that says in words."""

_ENVIRONMENTS: Mapping[str, Callable[[str], dict[str, str]]] = MappingProxyType(
    {
        "go": go_environment,
        "rust": rust_environment,
        "node": node_environment,
        "cuda": lambda version: cuda_environment(version, cache_folder("toolchains")),
        "python": python_environment,
    }
)


def environment_of(tools: Mapping[str, str]) -> dict[str, str]:
    """The variables under which build steps find `tools` (name to version), PATH among them.

    Raises BuildError, which says what to install, if a tool isn't there in that version.
    """
    merged: dict[str, str] = {}
    path: list[str] = []
    for name, version in tools.items():
        variables = _ENVIRONMENTS[name](version)
        path += variables.pop("PATH").split(os.pathsep)
        merged |= variables
    return merged | {"PATH": os.pathsep.join(dict.fromkeys([*path, "/usr/bin", "/bin"]))}
