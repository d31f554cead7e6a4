"""`mill prover status`, `duties` and `unjail`: how the prover stands, what it owes, and how it comes in again."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import httpx
from proofmill.prover.v1.tx_pb2 import MsgRequestTest

from client.cli.output import emit, pairs
from client.cli.session import Detail, asking, print_outcome, show_plan
from client.plain import Plain, to_plain
from client.sdk import MillClient
from prover_node.cli_options import client_settings, dry_run_option, format_option, home_option, one_node_option
from prover_node.home import Home
from prover_node.incidents import read_incidents
from prover_node.registration import registration_problems
from prover_node.settings import Settings
from prover_node.standing_view import Phases, duty_table, incident_table, standing_rows

_SHOWN = 10


@click.command()
@home_option
@one_node_option
@format_option
def status(home: Path, *, node: str | None, output_format: str) -> None:
    """Show how the prover stands on chain and why, how its daemon is, and what went wrong lately."""
    place = Home(home)
    settings, incidents = place.settings(), read_incidents(place.incidents)

    async def work(client: MillClient) -> None:
        operator = settings.chain.operator
        standing = await client.prover_status(operator)
        prover = await client.prover(operator)
        daemon = await _health(settings)
        problems = registration_problems(prover, settings, place.node_key().address)
        data: Plain = {
            "operator": operator,
            "chain": to_plain(standing),
            "prover": to_plain(prover),
            "problems": problems,
            "daemon": daemon,
            "incidents": [asdict(one) for one in incidents],
        }

        def table() -> str:
            rows: list[tuple[str, object]] = [("operator", operator), *standing_rows(standing, prover)]
            if daemon is None:
                rows.append(("daemon", f"doesn't answer at {settings.http.listen}"))
            else:
                rows += [("daemon", daemon["status"]), ("runner", daemon["runner"]), ("height", daemon["height"])]
            rows += [("problem", problem) for problem in problems]
            return pairs(rows) + incident_table(incidents, _SHOWN)

        emit(output_format, data, table)

    asking(client_settings(settings, node, output_format), work)


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
        daemon = await _health(settings) or {}
        phases = Phases(daemon.get("assignments", {}), daemon.get("votes", {}))
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


async def _health(settings: Settings) -> dict[str, Any] | None:
    try:
        async with httpx.AsyncClient(timeout=3, trust_env=False) as http:
            answer = (await http.get(f"http://{settings.http.listen}/health")).json()
    except (httpx.HTTPError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
