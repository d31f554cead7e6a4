"""The command line of bubblewrap, the tool that makes the sandbox runner's namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prover_node.runner.base import (
    ASSETS_MOUNT,
    CONTAINER_UID,
    INPUT_MOUNT,
    OUTPUT_MOUNT,
    PROOF_MOUNT,
    SHARED_MEMORY_BYTES,
    RunnerError,
)

INSTALL_HINT = "install it (on Debian and Ubuntu: apt-get install bubblewrap)"
OWN_PROCESSES = 2
"""Bubblewrap's own processes beside the program: the one we start, and the sandbox's init."""

PROJECT_TOOLS = Path(__file__).resolve().parents[2] / ".tools" / "bin"
"""Where `make setup` puts a bubblewrap on a machine that has none."""


@dataclass(frozen=True)
class Directories:
    """Where on this machine the parts of one sandbox's file system are."""

    rootfs: Path
    input: Path
    assets: Path | None
    proof: Path | None
    output: Path | None


@dataclass(frozen=True)
class Bubblewrap:
    """An installed bubblewrap."""

    path: str
    can_disable_userns: bool

    @classmethod
    def find(cls, executable: Path | None) -> Bubblewrap:
        """``executable``, or the ``bwrap`` on PATH, or this project's; :class:`RunnerError` if none will do."""
        found = (
            shutil.which(executable) if executable else shutil.which("bwrap") or shutil.which(PROJECT_TOOLS / "bwrap")
        )
        if found is None:
            raise RunnerError(f"the sandbox runner needs bubblewrap's bwrap on PATH: {INSTALL_HINT}")
        path = str(found)
        text = subprocess.run([path, "--help"], capture_output=True, text=True, check=False, timeout=10).stdout
        missing = [
            name
            for name in ("--size", "--perms", "--clearenv", "--json-status-fd", "--args")
            if f" {name} " not in text
        ]
        if missing:
            raise RunnerError(f"{path} is too old for the sandbox runner (it lacks {missing[0]}): use 0.5 or newer")
        return cls(path, "--disable-userns" in text)

    def options(self, rootfs: Path, tmp_bytes: int, devices: Sequence[str] = ()) -> list[str]:
        """All options but those for the job's own mounts and environment; ``devices`` are options that add to /dev."""
        identity = str(CONTAINER_UID)
        arguments = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
        if self.can_disable_userns:
            arguments.append("--disable-userns")
        arguments += ["--hostname", "proofmill", "--cap-drop", "ALL", "--uid", identity, "--gid", identity]
        arguments += ["--ro-bind", str(rootfs), "/", "--proc", "/proc", "--dev", "/dev", *devices]
        arguments += ["--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
        arguments += ["--perms", "1777", "--size", str(tmp_bytes), "--tmpfs", "/tmp", "--clearenv"]  # noqa: S108
        return arguments

    def job_options(
        self,
        directories: Directories,
        *,
        tmp_bytes: int,
        environment: Mapping[str, str],
        working_dir: str,
        status_fd: int,
        seccomp_fd: int | None,
        devices: Sequence[str] = (),
    ) -> list[str]:
        """The options for one job.

        ``status_fd`` gets bubblewrap's JSON status lines; ``seccomp_fd`` holds the filter, if any;
        ``devices`` are options that add to /dev.
        """
        arguments = self.options(directories.rootfs, tmp_bytes, devices)
        arguments += ["--ro-bind", str(directories.input), INPUT_MOUNT]
        if directories.assets is not None:
            arguments += ["--ro-bind", str(directories.assets), ASSETS_MOUNT]
        if directories.proof is not None:
            arguments += ["--ro-bind", str(directories.proof), PROOF_MOUNT]
        if directories.output is not None:
            arguments += ["--bind", str(directories.output), OUTPUT_MOUNT]
        for name, value in environment.items():
            arguments += ["--setenv", name, value]
        arguments += ["--chdir", working_dir, "--json-status-fd", str(status_fd)]
        if seccomp_fd is not None:
            arguments += ["--seccomp", str(seccomp_fd)]
        return arguments

    def command(self, options_fd: int, argv: Sequence[str]) -> list[str]:
        """The command line; the options come by a file, or the program could read them, and our paths, in /proc."""
        return [self.path, "--args", str(options_fd), "--", *argv]


def options_file(options: Sequence[str]) -> int:
    """A descriptor from which bubblewrap reads these options."""
    descriptor = os.memfd_create("options", os.MFD_CLOEXEC)
    os.write(descriptor, b"".join(os.fsencode(option) + b"\0" for option in options))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
