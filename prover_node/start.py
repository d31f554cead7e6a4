"""Brings a prover node up: locks its home, opens a runner, runs the daemon."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import NamedTuple

import structlog

from client.errors import ClientError
from prover_node.daemon import Daemon
from prover_node.home import Home
from prover_node.logs import configure_logs
from prover_node.runner.base import Runner, RunnerError
from prover_node.runner.docker import DockerRunner
from prover_node.runner.image_store import IMAGE_BYTES
from prover_node.runner.sandbox import SandboxRunner
from prover_node.settings import Settings

log = structlog.get_logger("prover")


class NoRunner(ClientError):
    """No runner of the wanted kind works on this machine."""


class OpenRunner(NamedTuple):
    """A runner, and for people why it is this one; empty if it was asked for by name."""

    runner: Runner
    why: str


async def open_runner(kind: str, node_id: str, state: Path, *, image_bytes: int = IMAGE_BYTES) -> OpenRunner:
    """The runner of this ``kind``; ``auto`` is Docker where an engine is reachable, else the sandbox.

    ``node_id`` tells this node's containers from others' on the machine, ``state`` is the runner's own folder, and
    ``image_bytes`` bounds what unpacked images take.
    """
    why_no_docker = ""
    if kind in ("auto", "docker"):
        try:
            return OpenRunner(await DockerRunner.start(node_id, state, image_bytes=image_bytes), "")
        except RunnerError as error:
            if kind == "docker":
                raise NoRunner(f"the docker runner can't be used: {error}") from error
            why_no_docker = str(error)
    try:
        runner = await SandboxRunner.start(node_id, state, image_bytes=image_bytes)
    except RunnerError as error:
        also = f"; nor can the docker runner: {why_no_docker}" if why_no_docker else ""
        raise NoRunner(f"the sandbox runner can't be used: {error}{also}") from error
    why = f"containers run in the sandbox, because {why_no_docker}" if why_no_docker else ""
    return OpenRunner(runner, why)


def run_node(home: Home, settings: Settings, log_file: Path | None) -> None:
    """Run the node in ``home`` until it is told to stop; raises ClientError when it can't work."""
    configure_logs(settings.log.format, log_file)
    with home.lock():
        asyncio.run(_run(home, settings))


async def _run(home: Home, settings: Settings) -> None:
    home.runner.mkdir(parents=True, exist_ok=True)
    chosen = settings.runner
    runner, why = await open_runner(chosen.kind, _node_id(home), home.runner, image_bytes=chosen.image_bytes)
    if why:
        log.info(why)
    await Daemon(home, settings, runner).run()


def _node_id(home: Home) -> str:
    """What tells this home's containers from those of all others on the machine.

    Neither a key, for keys change while containers go on, nor the operator's address, which may serve two chains.
    """
    path = home.runner / "id"
    if not path.exists():
        path.write_text(secrets.token_hex(8))
    return path.read_text()
