"""The one place that runs CometBFT: finding it, its one-shot commands, and the node process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from client.errors import ClientError
from validator_node.home import NodeHome
from validator_node.processes import read_record, write_record

RELEASE_LINE = "v0.40."
# The v0.40.0 sources still name themselves so; a build that carries no module version can't be told apart any better.
SELF_DECLARED = ("0.39.", "0.40.")
PROJECT_BINARY = Path(__file__).resolve().parent.parent / ".tools" / "bin" / "cometbft"

STOP_SECONDS = 10.0
_MODULE_MARK = b"mod\tgithub.com/cometbft/cometbft\t"


class CometError(ClientError):
    """CometBFT is missing, of the wrong version, or failed; the message says which and what to do."""


@dataclass(frozen=True)
class Comet:
    """A CometBFT program of the right version."""

    program: Path
    version: str

    def init(self, home: Path) -> None:
        """Write keys and default configuration below `home`; existing keys stay."""
        self._run("init", "--home", str(home))

    def node_id(self, home: Path) -> str:
        """The id by which peers know the node of this home."""
        return self._run("show-node-id", "--home", str(home)).strip()

    def _run(self, *arguments: str) -> str:
        return _output(self.program, *arguments)

    async def start(self, home: NodeHome, abci_address: str) -> asyncio.subprocess.Process:
        """Start the node; its output is appended to logs/cometbft.log. Ends with SIGTERM, by stop_node()."""
        home.logs.mkdir(parents=True, exist_ok=True)
        home.data.mkdir(parents=True, exist_ok=True)
        with (home.logs / "cometbft.log").open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                str(self.program),
                "start",
                "--home",
                str(home.root),
                "--proxy_app",
                abci_address,
                "--abci",
                "socket",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A terminal's Ctrl-C goes to the supervisor alone, which then stops CometBFT in order.
                start_new_session=True,
            )
        write_record(home.comet_record, process.pid)
        return process


async def stop_node(process: asyncio.subprocess.Process, home: NodeHome) -> None:
    """End a node that Comet.start() returned, by force if it doesn't comply."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    home.comet_record.unlink(missing_ok=True)


def stop_orphan(home: NodeHome) -> bool:
    """End a CometBFT that a killed supervisor left behind for this home, and say whether there was one."""
    record = read_record(home.comet_record)
    if record is None or not record.alive():
        home.comet_record.unlink(missing_ok=True)
        return False
    record.stop(STOP_SECONDS)
    home.comet_record.unlink(missing_ok=True)
    return True


def find_comet() -> Comet:
    """The program that $COMETBFT names, else this project's own, else the one on PATH. Raises CometError."""
    named = os.environ.get("COMETBFT")
    if named:
        program = shutil.which(named)
        if program is None:
            raise CometError(f"$COMETBFT names {named}, which isn't a program that can be run")
        return _checked(Path(program))
    if PROJECT_BINARY.is_file():
        return _checked(PROJECT_BINARY)
    on_path = shutil.which("cometbft")
    if on_path is None:
        raise CometError(
            "no cometbft found: run `make setup`, or name the program in the environment variable COMETBFT"
        )
    return _checked(Path(on_path))


def _checked(program: Path) -> Comet:
    try:
        protocols = json.loads(_output(program, "version", "--verbose"))
        version, abci = str(protocols["cometbft"]), str(protocols["abci"])
    except (ValueError, KeyError, TypeError) as error:
        raise CometError(f"{program} doesn't answer `version --verbose` as CometBFT does: {error}") from error
    module = _module_version(program)
    right = module.startswith(RELEASE_LINE) if module else version.startswith(SELF_DECLARED)
    if not right or not abci.startswith("2."):
        raise CometError(
            f"{program} is CometBFT {module or version} (ABCI {abci}), but the {RELEASE_LINE}x line is needed; "
            "run `make setup` or name another program in COMETBFT"
        )
    return Comet(program, module or version)


def _module_version(program: Path) -> str:
    """The version that Go recorded in the program, "" if it was built from a checkout."""
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(_MODULE_MARK)
        if start < 0:
            return ""
        rest = content[start + len(_MODULE_MARK) : start + len(_MODULE_MARK) + 64]
    version = rest.split(b"\n")[0].split(b"\t")[0].decode(errors="replace")
    return version if version.startswith("v") else ""


def _output(program: Path, *arguments: str) -> str:
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CometError(f"can't run {program} {arguments[0]}: {error}") from error
    if done.returncode:
        complaint = (done.stderr or done.stdout).strip().splitlines()
        raise CometError(f"{program} {arguments[0]} failed: {complaint[-1] if complaint else 'no output'}")
    return done.stdout
