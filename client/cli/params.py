"""`mill params`: what the network's rules are, and the authority's way to change them."""

from __future__ import annotations

from pathlib import Path

import click
from google.protobuf.message import Message
from proofmill.params.v1.state_pb2 import Params
from proofmill.params.v1.tx_pb2 import MsgUpdateParamsResponse

from client import messages
from client.cli.options import Sender, Settings, node_options, sender_options
from client.cli.output import emit, pairs
from client.cli.session import Detail, asking, progress_line, send_transaction
from client.params_change import Change, apply_file, apply_settings, list_changes
from client.plain import flatten, to_plain
from client.sdk import MillClient
from client.wallet import TxOutcome


@click.group(invoke_without_command=True)
@click.option("--version", type=click.IntRange(1, 2**32 - 1), help="Those of an earlier version.  [default: now]")
@node_options
def params(settings: Settings, version: int | None) -> None:
    """Show the network's parameters (protocol §9); shares are hundredths of a percent.

    \b
    Examples:
      mill params
      mill params --version 1 -o yaml
      mill params update --set committee_min=12 --from authority
    """
    context = click.get_current_context()
    if context.invoked_subcommand is not None:
        if any(context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE for name in context.params):
            raise click.UsageError(f"give options after the command: mill params {context.invoked_subcommand} …")
        return

    async def work(client: MillClient) -> None:
        data = to_plain(await client.params(version or 0))
        emit(settings.format, data, lambda: pairs(flatten(data)))

    asking(settings, work)


@params.command()
@click.option(
    "--set", "changed", multiple=True, metavar="NAME=VALUE", help="A parameter's new value. Can be given many times."
)
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(path_type=Path),
    metavar="params.yaml",
    help="New values, as mill params -o yaml prints them; what it doesn't name stays. --set goes before it.",
)
@sender_options
def update(settings: Settings, sender: Sender, changed: tuple[str, ...], file: Path | None) -> None:
    """Change the network's parameters, from the next block on. Only the network's authority can.

    Tasks that are in escrow already keep the parameters that they began with.

    \b
    Examples:
      mill params update --set committee_min=12 --set reveal_window_ms=8000 --dry-run
      mill params -o yaml > params.yaml     # edit it, then:
      mill params update -f params.yaml --from authority
    """
    if not changed and file is None:
        raise click.UsageError("say what to change: give --set NAME=VALUE or -f params.yaml")
    changes: list[Change] = []

    async def build(client: MillClient) -> Message:
        now, wanted = await client.params(), Params()
        wanted.CopyFrom(now)
        if file is not None:
            apply_file(wanted, file)
        apply_settings(wanted, changed)
        changes[:] = list_changes(now, wanted)
        for change in changes:
            progress_line(f"{change.name}: {change.old} → {change.new}")
        return messages.update_params(client.address, wanted)

    def describe(outcome: TxOutcome) -> list[Detail]:
        version = outcome.response(MsgUpdateParamsResponse).version
        plain = [change._asdict() for change in changes]
        text = ", ".join(f"{change.name} {change.new}" for change in changes)
        return [Detail("version", version, "version", str(version)), Detail("changes", plain, "changed", text)]

    send_transaction(settings, sender, build, describe)
