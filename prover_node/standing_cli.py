"""`mill prover status`, `duties` and `unjail`: how the prover stands, what it owes, and how it comes in again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from proofmill.prover.v1.tx_pb2 import MsgRequestTest
from rich.live import Live
from rich.text import Text

from client.cli.output import emit, pairs
from client.cli.session import Detail, asking, print_outcome, show_plan
from client.errors import NodeUnreachable
from client.plain import Plain, to_plain
from client.sdk import MillClient
from prover_node.cli_options import client_settings, dry_run_option, format_option, home_option, one_node_option
from prover_node.control import ask_daemon
from prover_node.home import Home
from prover_node.incidents import read_incidents
from prover_node.registration import registration_problems
from prover_node.settings import Settings
from prover_node.standing_view import (
    Phases,
    daemon_rows,
    duty_table,
    earned_text,
    incident_table,
    standing_rows,
    work_table,
)

_SHOWN = 10
_RENEWED_S = 2.0


@dataclass(frozen=True)
class _Snapshot:
    """How a prover stands, as data and as text."""

    data: Plain
    text: str


@click.command()
@home_option
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C, renewed in place; with -o json a line each time.")
@one_node_option
@format_option
def status(home: Path, *, watch: bool, node: str | None, output_format: str) -> None:
    """Show how the prover stands on chain and why, what its daemon works on, and what went wrong lately.

    \b
    Examples:
      mill prover status
      mill prover status --watch
    """
    place = Home(home)
    settings = place.settings()

    async def work(client: MillClient) -> None:
        if watch:
            await _watch(lambda: _look(client, place, settings), output_format)
            return
        seen = await _look(client, place, settings)
        emit(output_format, seen.data, lambda: seen.text)

    asking(client_settings(settings, node, output_format), work)


async def _look(client: MillClient, place: Home, settings: Settings) -> _Snapshot:
    operator, incidents = settings.chain.operator, read_incidents(place.incidents)
    daemon = await ask_daemon(place.root)
    standing = await client.prover_status(operator)
    prover = await client.prover(operator)
    problems = registration_problems(prover, settings, place.node_key().address)
    data: Plain = {
        "operator": operator,
        "chain": to_plain(standing),
        "prover": to_plain(prover),
        "problems": problems,
        "daemon": daemon,
        "incidents": [asdict(one) for one in incidents],
    }
    earned = earned_text(prover, daemon, int(time.time() * 1000))
    rows: list[tuple[str, object]] = [("operator", operator), *standing_rows(standing, prover), ("earned", earned)]
    if daemon is None:
        rows.append(("daemon", f"doesn't answer in {place.root}"))
    else:
        rows += daemon_rows(daemon)
    rows += [("problem", problem) for problem in problems]
    doing = work_table(daemon) if daemon is not None else ""
    return _Snapshot(data, pairs(rows) + doing + incident_table(incidents, _SHOWN))


async def _watch(look: Callable[[], Awaitable[_Snapshot]], output_format: str) -> None:
    """Show what ``look`` gives again and again, also while the chain doesn't answer."""
    live = Live(auto_refresh=False, screen=True) if output_format == "table" and sys.stdout.isatty() else None
    with live or contextlib.nullcontext():
        while True:
            try:
                seen = await look()
            except NodeUnreachable as error:
                seen = _Snapshot({"error": str(error)}, str(error))
            if live is not None:
                live.update(Text(seen.text), refresh=True)
            elif output_format == "json":
                click.echo(json.dumps(seen.data, ensure_ascii=False))
            else:
                emit(output_format, seen.data, lambda text=seen.text: f"{text}\n")  # type: ignore[misc]
            await asyncio.sleep(_RENEWED_S)


@click.command()
@home_option
@one_node_option
@format_option
def duties(home: Path, *, node: str | None, output_format: str) -> None:
    """Show everything that the prover owes the chain now, how far it is, and what it refused or missed lately."""
    place = Home(home)
    settings, incidents = place.settings(), read_incidents(place.incidents)

    async def work(client: MillClient) -> None:
        answer = await client.prover_duties(settings.chain.operator)
        daemon = await ask_daemon(place.root) or {"assignments": [], "votes": []}
        phases = Phases(
            {str(one["task_id"]): one["phase"] for one in daemon["assignments"]},
            {f"{one['task_id']}/{one['round']}": one["phase"] for one in daemon["votes"]},
        )
        data: Plain = {
            **to_plain(answer),
            "daemon": asdict(phases),
            "incidents": [asdict(one) for one in incidents],
        }
        emit(
            output_format,
            data,
            lambda: duty_table(answer, phases, incidents) + incident_table(incidents, _SHOWN),
        )

    asking(client_settings(settings, node, output_format), work)


@click.command()
@home_option
@dry_run_option
@one_node_option
@format_option
def unjail(home: Path, *, dry_run: bool, node: str | None, output_format: str) -> None:
    """Ask for the capacity test that ends a jail or a failed joining; signed by the node key in the prover's folder.

    The test begins with the next block: the daemon must be running. With auto_retest in its configuration the daemon
    asks by itself.
    """
    place = Home(home)
    settings, key = place.settings(), place.node_key()
    client_side = client_settings(settings, node, output_format)

    async def work() -> None:
        async with MillClient(client_side.node, signer=key) as client:
            await client.rpc.require_chain(settings.chain.id)
            message = MsgRequestTest(node=key.address)
            if dry_run:
                await show_plan(client_side, client, message)
                return
            outcome = await client.submit(message)
            print_outcome(client_side, outcome, [Detail("node", key.address, "node key", key.address)])

    asyncio.run(work())
