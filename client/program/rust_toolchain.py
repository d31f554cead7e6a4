"""The Rust toolchain of a build: found on the machine, pinned to one version, cut off from the user's settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from client.program.errors import BuildError
from client.program.host_tools import PROJECT_TOOLS, find_tool


def rust_environment(version: str) -> dict[str, str]:
    """Environment variables under which `cargo` and `rustc` are exactly Rust `version`.

    rustup fetches that version if it isn't there. Where crates come from and are kept is the machine's business
    (CARGO_HOME) and can't change their bytes: Cargo.lock pins those. Raises BuildError if there is no such Rust.
    """
    cargo = find_tool("cargo")
    if cargo is None:
        raise BuildError(
            f"this program is built with Rust {version}, which isn't installed: run `make programs`, or install rustup"
        )
    if cargo.is_relative_to(PROJECT_TOOLS):
        homes = {"CARGO_HOME": PROJECT_TOOLS / "rust" / "cargo", "RUSTUP_HOME": PROJECT_TOOLS / "rust" / "rustup"}
    else:
        homes = {"CARGO_HOME": Path.home() / ".cargo", "RUSTUP_HOME": Path.home() / ".rustup"}
    settings = {name: os.environ.get(name, str(home)) for name, home in homes.items()}
    settings["RUSTUP_TOOLCHAIN"] = version
    path = os.pathsep.join([str(cargo.parent), "/usr/bin", "/bin"])
    rustc = shutil.which("rustc", path=path)
    said = _output([rustc, "--version"], os.environ | settings | {"PATH": path}) if rustc else "no rustc beside it"
    if not said.startswith(f"rustc {version} "):
        raise BuildError(
            f"this program is built with Rust {version}, because another compiler makes other bytes, but {cargo} "
            f"has {said.strip() or 'none'}: run `rustup toolchain install {version} --profile minimal`"
        )
    return settings | {"PATH": path}


def _output(command: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    return done.stdout
