"""`mill prover`: set up, register, run and watch a prover node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
from google.protobuf.message import Message
from proofmill.prover.v1.tx_pb2 import MsgRegisterProver
from proofmill.types.v1 import types_pb2

from chain.amount import UMILL, format_amount
from client.cli.options import CPU, DEFAULT_NODE, MEMORY, amount_type
from client.cli.output import emit, pairs
from client.cli.session import Detail
from client.keys.private_key import PrivateKey
from client.messages import check_address
from client.plain import Plain
from client.sdk import MillClient
from prover_node.benchmark_cli import benchmark
from prover_node.cli_options import (
    Operator,
    auto_retest_option,
    format_option,
    home_option,
    operator_options,
    runner_option,
)
from prover_node.detection import detected_cpu_millis, detected_memory_bytes
from prover_node.home import Home
from prover_node.list_cli import list_
from prover_node.operator_cli import leave, top_up, update
from prover_node.rotation_cli import rotate_key
from prover_node.settings import (
    ChainSettings,
    FetchSettings,
    HttpSettings,
    LogSettings,
    ResourceSettings,
    RunnerSettings,
    Settings,
)
from prover_node.standing_cli import duties, status, unjail
from prover_node.start import run_node


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
@click.option(
    "--metrics-listen",
    default="",
    metavar="HOST:PORT",
    help="Where to serve /metrics, and only there; by default at --listen, for everybody.",
)
@click.option("--cpu", "cpu_millis", type=CPU, help="Cores to prove with, such as 4 or 2500m; by default all.")
@click.option(
    "--memory", "memory_bytes", type=MEMORY, help="Memory to prove with, such as 4GiB; by default 3/4 of all."
)
@click.option("--gpus", type=click.IntRange(0), default=0, show_default=True, help="GPUs to prove with.")
@runner_option
@click.option("--allow-unenforced", is_flag=True, help="Work although the runner can't enforce every limit here.")
@click.option(
    "--leave-running/--no-leave-running",
    default=True,
    show_default=True,
    help="When the node stops, leave containers that it still owes to its next process, where the runner can.",
)
@click.option(
    "--allow-private-urls",
    is_flag=True,
    help="Fetch from private addresses too: only where the whole network is your own.",
)
@auto_retest_option
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
    metrics_listen: str,
    cpu_millis: int | None,
    memory_bytes: int | None,
    gpus: int,
    runner: str,
    allow_unenforced: bool,
    leave_running: bool,
    allow_private_urls: bool,
    auto_retest: bool,
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
        http=HttpSettings(
            listen=listen, endpoints=list(endpoints) or [f"http://{listen}"], metrics_listen=metrics_listen
        ),
        resources=ResourceSettings(
            cpu_millis=cpu_millis or detected_cpu_millis(),
            memory_bytes=memory_bytes or detected_memory_bytes(),
            gpus=gpus,
        ),
        runner=RunnerSettings(kind=runner, allow_unenforced=allow_unenforced, leave_running=leave_running),
        fetch=FetchSettings(allow_private_urls=allow_private_urls),
        log=LogSettings(format=log_format),
        auto_retest=auto_retest,
    )
    key = PrivateKey.generate()
    Home(home).create(settings, key)
    data = _summary(home, settings, key.address)

    def table() -> str:
        rows = [*_summary_rows(data), ("next", f"mill prover register --home {home} --from OPERATOR --bond 1000mill")]
        return pairs(rows)

    emit(output_format, data, table)


@group.command()
@operator_options
@click.option("--bond", required=True, type=amount_type(UMILL), help="MILL that answers for the prover's work.")
@click.option("--region", default="", help="Where the node is, such as eu-west; free text.")
def register(operator: Operator, *, bond: int, region: str) -> None:
    """Register the prover on chain: its node key, resources and endpoints, with a bond from the operator's account.

    \b
    Example:
      mill prover register --from operator --bond 1000mill
    """
    settings, key = operator.settings, operator.home.node_key()
    resources = settings.resources

    async def build(_: MillClient) -> Message:
        return MsgRegisterProver(
            operator=settings.chain.operator,
            node=key.address,
            resources=types_pb2.Resources(
                cpu_millis=resources.cpu_millis, memory_bytes=resources.memory_bytes, gpus=resources.gpus
            ),
            endpoints=settings.http.endpoints,
            region=region,
            bond=bond,
        )

    operator.send(
        build,
        lambda: [
            Detail("node", key.address, "node key", key.address),
            Detail("bond_umill", bond, "bond", format_amount(bond, UMILL)),
        ],
    )


@group.command()
@home_option
@click.option("--allow-unenforced", is_flag=True, help="Work although the runner can't enforce every limit here.")
@click.option("--log-file", type=click.Path(dir_okay=False, path_type=Path), help="Append the log to this file.")
@auto_retest_option
def start(home: Path, *, allow_unenforced: bool, log_file: Path | None, auto_retest: bool) -> None:
    """Run the prover node in the foreground.

    SIGTERM or Ctrl-C lets it finish what it owes, and leaves running containers to its next process where the
    runner can; a second one ends everything at once. Work that is lost is done again at the next start.
    """
    place = Home(home)
    settings = place.settings()
    if allow_unenforced:
        settings = replace(settings, runner=replace(settings.runner, allow_unenforced=True))
    settings = replace(settings, auto_retest=settings.auto_retest or auto_retest)
    run_node(place, settings, log_file)


for command in (list_, status, duties, update, rotate_key, top_up, leave, unjail, benchmark):
    group.add_command(command)


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
