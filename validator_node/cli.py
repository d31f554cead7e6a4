"""`mill node`: make, run and look at a validator node."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from client.cli.output import emit, pairs
from validator_node import genesis_file
from validator_node.cli_options import format_option
from validator_node.cli_values import ACCOUNT, ADDRESS, CHAIN_ID, PEER, GenesisAccountValue
from validator_node.collector import tune_collector
from validator_node.comet import find_comet
from validator_node.genesis_file import GenesisError, NewNetwork
from validator_node.home import DEFAULT_HOME, HomeError, NodeHome
from validator_node.ports import Ports
from validator_node.setup import connect_peers, make_home, rpc_url

home_option = click.option(
    "--home",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_HOME,
    show_default=True,
    help="The node's own directory.",
)


@click.group(name="node")
def group() -> None:
    """Run a validator node: CometBFT and the Proofmill application."""


@group.command()
@home_option
@click.option("--chain-id", type=CHAIN_ID, help="Name of the new chain. Required unless --genesis is given.")
@click.option("--moniker", default="node", show_default=True, help="What peers see this node called.")
@click.option(
    "--preset",
    type=click.Choice(genesis_file.preset_names()),
    default="devnet",
    show_default=True,
    help="Parameters of the new chain.",
)
@click.option("--authority", type=ADDRESS, default="", help="Account that may grant credits on the new chain.")
@click.option("--operator", type=ADDRESS, default=None, help="Account that is paid for this validator's votes.")
@click.option(
    "--account",
    "accounts",
    type=ACCOUNT,
    multiple=True,
    metavar="ADDRESS=AMOUNT[,AMOUNT]",
    help="Fund an account of the new chain, for example mill1…=100mill,5credit. Repeat for more.",
)
@click.option(
    "--genesis",
    "genesis_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Join the chain of this genesis file instead of making a new one.",
)
@click.option(
    "--peer",
    "peers",
    type=PEER,
    multiple=True,
    metavar="ID@HOST:PORT",
    help="Node to connect to. Repeat for more.",
)
@click.option("--port-offset", type=click.IntRange(0, 30_000), default=0, help="Added to all of the node's ports.")
@format_option
def init(
    root: Path,
    chain_id: str | None,
    moniker: str,
    preset: str,
    authority: str,
    operator: str | None,
    accounts: tuple[GenesisAccountValue, ...],
    genesis_path: Path | None,
    peers: tuple[str, ...],
    port_offset: int,
    output_format: str,
) -> None:
    """Make a home: keys, configuration and the genesis file. Never overwrites one.

    Without --genesis it begins a new chain of which this node is the only validator.
    """
    if genesis_path is None and not chain_id:
        raise click.UsageError("say --chain-id for a new chain, or --genesis to join one")
    if genesis_path is not None and (chain_id or authority or accounts):
        raise click.UsageError(
            "--genesis names a chain that exists: --chain-id, --authority and --account can't change it"
        )
    joined = None if genesis_path is None else _read_joined(genesis_path)
    comet = find_comet()
    home = NodeHome(root.expanduser().absolute())
    existed = home.root.exists()
    make_home(comet, home, moniker, Ports.of(0, port_offset))
    try:
        if peers:
            connect_peers(home, peers)
        if joined is None:
            network = NewNetwork(
                chain_id=chain_id or "",
                authority=authority,
                validators=[genesis_file.read_validator(moniker, home.validator_key, operator)],
                accounts=[account.message() for account in accounts],
            )
            document = genesis_file.make_genesis(genesis_file.load_preset(preset), network)
        else:
            document = joined
        genesis_file.write_genesis(home.genesis, document)
    except BaseException:
        if not existed:
            shutil.rmtree(home.root, ignore_errors=True)
        raise
    made = {"home": str(home.root), "chain_id": document["chain_id"], "node_id": comet.node_id(home.root)}
    said = f"Made the home {made['home']} of node {made['node_id']} for chain {made['chain_id']}."
    emit(output_format, made, lambda: f"{said}\nStart it with: mill node start --home {home.root}")


def _read_joined(path: Path) -> dict[str, Any]:
    from chain.genesis import parse_genesis

    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        parse_genesis(json.dumps(document["app_state"]).encode())
        if not document["chain_id"]:
            raise GenesisError(f"{path} names no chain_id")
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())  # protobuf says it in several lines
        raise GenesisError(f"{path} isn't a genesis file of this kind of chain: {reason}") from error
    return document


@group.command()
@home_option
def start(root: Path) -> None:
    """Run the node until SIGTERM or Ctrl-C. Exits non-zero if any part of it fails."""
    # The servers' libraries take longer to load than the other commands to run.
    import uvloop

    from validator_node.logs import configure_logs
    from validator_node.settings import load_settings
    from validator_node.supervisor import run_node

    home = NodeHome(root.expanduser().absolute())
    home.require_initialized()
    settings = load_settings(home.settings)
    comet = find_comet()
    configure_logs(settings.log_format, settings.log_level, home.logs / "node.log")
    tune_collector()
    uvloop.run(run_node(home, settings, comet))


@group.command()
@home_option
@click.option("--node", "url", help="RPC URL of the node. Default: the one that the home's configuration says.")
@format_option
def status(root: Path, url: str | None, output_format: str) -> None:
    """Show height, app hash, peers and versions of a running node."""
    from validator_node.status import fetch_status

    if url is None:
        home = NodeHome(root.expanduser().absolute())
        home.require_initialized()
        url = rpc_url(home.comet_config)
    report = asdict(asyncio.run(fetch_status(url)))
    emit(output_format, report, lambda: pairs([(name.replace("_", " "), value) for name, value in report.items()]))


@group.command()
@home_option
@click.option("--height", type=click.IntRange(min=1), help="State after this block. Default: the last committed one.")
@click.option("--to", "target", type=click.Path(dir_okay=False, path_type=Path), help="File to write. Default: stdout.")
def export(root: Path, height: int | None, target: Path | None) -> None:
    """Write the state as the genesis file of a new chain. The node must be stopped."""
    from validator_node.export import export_state

    home = NodeHome(root.expanduser().absolute())
    home.require_initialized()
    document = export_state(home, height)
    if target is None:
        json.dump(document, sys.stdout, indent=1)
        click.echo()
    elif target.exists():
        raise HomeError(f"{target} exists already and isn't overwritten; name another file")
    else:
        genesis_file.write_genesis(target, document)
        click.echo(f"Wrote {len(document['app_state']['rows'])} rows to {target}.")
