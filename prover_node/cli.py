"""`mill prover`: set up, register, run and watch a prover node."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import httpx
from google.protobuf.message import Message
from proofmill.prover.v1.tx_pb2 import MsgRegisterProver
from proofmill.types.v1 import types_pb2

from chain.amount import UMILL, format_amount
from client.cli.options import (
    CPU,
    DEFAULT_NODE,
    FORMATS,
    MEMORY,
    Sender,
    Settings as ClientSettings,
    amount_type,
    passphrase_option,
)
from client.cli.output import columns, emit, pairs
from client.cli.session import Detail, asking, send_transaction
from client.errors import InvalidInput
from client.keys.private_key import PrivateKey
from client.messages import check_address
from client.plain import Plain, to_plain
from client.sdk import MillClient
from prover_node.home import DEFAULT_HOME, Home
from prover_node.settings import (
    ChainSettings,
    FetchSettings,
    HttpSettings,
    LogSettings,
    ResourceSettings,
    RunnerSettings,
    Settings,
)
from prover_node.start import run_node

home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_HOME.expanduser,
    envvar="MILL_PROVER_HOME",
    show_default=str(DEFAULT_HOME),
    metavar="DIR",
    help="The prover node's folder.  [env: MILL_PROVER_HOME]",
)
format_option = click.option(
    "-o",
    "--format",
    "output_format",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    envvar="MILL_FORMAT",
    help="How to print the result.",
)
one_node_option = click.option(
    "--node",
    metavar="URL",
    envvar="MILL_NODE",
    help="CometBFT RPC of the chain node to ask; by default the configuration's first.  [env: MILL_NODE]",
)


@click.group()
def group() -> None:
    """Set up, register, run and watch a prover node."""


@group.command()
@home_option
@click.option("--chain-id", required=True, metavar="ID", help="The chain that the prover works for.")
@click.option("--operator", required=True, metavar="ADDRESS", help="The cold key that registers and earns.")
@click.option(
    "--node",
    "nodes",
    multiple=True,
    default=(DEFAULT_NODE,),
    show_default=True,
    metavar="URL",
    help="CometBFT RPC of a chain node; give several for the case that one goes away.",
)
@click.option(
    "--listen", default="127.0.0.1:8700", show_default=True, metavar="HOST:PORT", help="Where to serve proofs."
)
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="URL",
    help="Base URL under which others reach --listen; by default http://HOST:PORT.",
)
@click.option("--cpu", "cpu_millis", type=CPU, help="Cores to prove with, such as 4 or 2500m; by default all.")
@click.option(
    "--memory", "memory_bytes", type=MEMORY, help="Memory to prove with, such as 4GiB; by default 3/4 of all."
)
@click.option("--gpus", type=click.IntRange(0), default=0, show_default=True, help="GPUs to prove with.")
@click.option(
    "--runner",
    type=click.Choice(("auto", "docker", "sandbox")),
    default="auto",
    show_default=True,
    help="How containers are run; auto takes Docker if it is reachable.",
)
@click.option("--allow-unenforced", is_flag=True, help="Work although the runner can't enforce every limit here.")
@click.option(
    "--allow-private-urls",
    is_flag=True,
    help="Fetch from private addresses too: only where the whole network is your own.",
)
@click.option("--log-format", type=click.Choice(("console", "json")), default="console", show_default=True)
@format_option
def init(
    home: Path,
    *,
    chain_id: str,
    operator: str,
    nodes: tuple[str, ...],
    listen: str,
    endpoints: tuple[str, ...],
    cpu_millis: int | None,
    memory_bytes: int | None,
    gpus: int,
    runner: str,
    allow_unenforced: bool,
    allow_private_urls: bool,
    log_format: str,
    output_format: str,
) -> None:
    """Make a prover node's folder: its configuration and a new node key.

    \b
    Example:
      mill prover init --chain-id mill-devnet --operator mill1… --endpoint https://prover.example.org
    """
    settings = Settings(
        chain=ChainSettings(id=chain_id, operator=check_address(operator), nodes=list(nodes)),
        http=HttpSettings(listen=listen, endpoints=list(endpoints) or [f"http://{listen}"]),
        resources=ResourceSettings(
            cpu_millis=cpu_millis or 1000 * (os.cpu_count() or 1),
            memory_bytes=memory_bytes or _most_of_memory(),
            gpus=gpus,
        ),
        runner=RunnerSettings(kind=runner, allow_unenforced=allow_unenforced),
        fetch=FetchSettings(allow_private_urls=allow_private_urls),
        log=LogSettings(format=log_format),
    )
    key = PrivateKey.generate()
    Home(home).create(settings, key)
    data = _summary(home, settings, key.address)

    def table() -> str:
        rows = [*_summary_rows(data), ("next", f"mill prover register --home {home} --from OPERATOR --bond 1000mill")]
        return pairs(rows)

    emit(output_format, data, table)


@group.command()
@home_option
@click.option("--bond", required=True, type=amount_type(UMILL), help="MILL that answers for the prover's work.")
@click.option("--region", default="", help="Where the node is, such as eu-west; free text.")
@click.option(
    "--from",
    "sender",
    envvar="MILL_FROM",
    metavar="NAME|ADDRESS",
    help="The operator's key; by default the one that the configuration names.  [env: MILL_FROM]",
)
@click.option(
    "--keys-home",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: Path.home() / ".mill",
    envvar="MILL_HOME",
    show_default="~/.mill",
    metavar="DIR",
    help="Folder of the operator's keys.  [env: MILL_HOME]",
)
@passphrase_option
@click.option("--dry-run", is_flag=True, help="Build, simulate and price the transaction, but send nothing.")
@one_node_option
@format_option
def register(
    home: Path,
    *,
    bond: int,
    region: str,
    sender: str | None,
    keys_home: Path,
    passphrase_file: Path | None,
    dry_run: bool,
    node: str | None,
    output_format: str,
) -> None:
    """Register the prover on chain: its node key, resources and endpoints, with a bond from the operator's account.

    \b
    Example:
      mill prover register --from operator --bond 1000mill
    """
    place = Home(home)
    settings, key = place.settings(), place.node_key()
    operator = settings.chain.operator

    async def build(client: MillClient) -> Message:
        if client.address != operator:
            raise InvalidInput(
                f"the configuration names the operator {operator}, but --from is {client.address}: "
                "use the operator's key"
            )
        await client.rpc.require_chain(settings.chain.id)
        resources = settings.resources
        return MsgRegisterProver(
            operator=operator,
            node=key.address,
            resources=types_pb2.Resources(
                cpu_millis=resources.cpu_millis, memory_bytes=resources.memory_bytes, gpus=resources.gpus
            ),
            endpoints=settings.http.endpoints,
            region=region,
            bond=bond,
        )

    send_transaction(
        ClientSettings(node or settings.chain.nodes[0], keys_home, output_format),
        Sender(sender or operator, passphrase_file, dry_run),
        build,
        lambda _: [
            Detail("operator", operator, "operator", operator),
            Detail("node", key.address, "node key", key.address),
            Detail("bond_umill", bond, "bond", format_amount(bond, UMILL)),
        ],
    )


@group.command()
@home_option
@click.option("--allow-unenforced", is_flag=True, help="Work although the runner can't enforce every limit here.")
@click.option("--log-file", type=click.Path(dir_okay=False, path_type=Path), help="Append the log to this file.")
def start(home: Path, *, allow_unenforced: bool, log_file: Path | None) -> None:
    """Run the prover node in the foreground.

    SIGTERM or Ctrl-C lets it finish what it owes; a second one ends it at once. Work that is lost is
    done again at the next start.
    """
    place = Home(home)
    settings = place.settings()
    if allow_unenforced:
        settings = replace(settings, runner=replace(settings.runner, allow_unenforced=True))
    run_node(place, settings, log_file)


@group.command()
@home_option
@one_node_option
@format_option
def status(home: Path, *, node: str | None, output_format: str) -> None:
    """Show what the chain says of the prover, and how its daemon is."""
    settings = Home(home).settings()

    async def work(client: MillClient) -> None:
        on_chain = to_plain(await client.prover_status(settings.chain.operator))
        daemon = await _health(settings)
        data: Plain = {"operator": settings.chain.operator, "chain": on_chain, "daemon": daemon}
        rows: list[tuple[str, object]] = [("operator", settings.chain.operator)]
        rows += [(name, value) for name, value in on_chain.items() if not isinstance(value, dict)]
        if daemon is None:
            rows.append(("daemon", f"doesn't answer at {settings.http.listen}"))
        else:
            rows += [("daemon", daemon["status"]), ("runner", daemon["runner"]), ("height", daemon["height"])]
        emit(output_format, data, lambda: pairs(rows))

    asking(_client_settings(settings, node, output_format), work)


@group.command()
@home_option
@one_node_option
@format_option
def duties(home: Path, *, node: str | None, output_format: str) -> None:
    """Show everything that the prover owes the chain now."""
    settings = Home(home).settings()

    async def work(client: MillClient) -> None:
        answer = await client.prover_duties(settings.chain.operator)
        owed: list[tuple[str, object, object, object]] = [
            ("prove", duty.task.id, "-", to_plain(duty.assignment)["status"]) for duty in answer.assignments
        ]
        owed += [("vote", duty.task.id, duty.round.round, to_plain(duty.round)["phase"]) for duty in answer.votes]
        data = to_plain(answer)
        header = ("duty", "task", "round", "status")
        nothing = f"nothing is owed at height {answer.height}"
        emit(output_format, data, lambda: columns(header, owed) if owed else nothing)

    asking(_client_settings(settings, node, output_format), work)


def _client_settings(settings: Settings, node: str | None, output_format: str) -> ClientSettings:
    return ClientSettings(node or settings.chain.nodes[0], Path.home() / ".mill", output_format)


async def _health(settings: Settings) -> dict[str, Any] | None:
    try:
        async with httpx.AsyncClient(timeout=3, trust_env=False) as http:
            answer = (await http.get(f"http://{settings.http.listen}/health")).json()
    except (httpx.HTTPError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def _summary(home: Path, settings: Settings, node: str) -> dict[str, Plain]:
    resources = settings.resources
    return {
        "home": str(home),
        "chain_id": settings.chain.id,
        "operator": settings.chain.operator,
        "node": node,
        "endpoints": settings.http.endpoints,
        "resources": {
            "cpu_millis": resources.cpu_millis,
            "memory_bytes": resources.memory_bytes,
            "gpus": resources.gpus,
        },
    }


def _summary_rows(data: dict[str, Plain]) -> list[tuple[str, object]]:
    return [(name, value) for name, value in data.items() if isinstance(value, str)]


def _most_of_memory() -> int:
    """Three quarters of this machine's memory, in whole MiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total // 4 * 3 >> 20 << 20
