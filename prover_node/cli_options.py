"""Options that the commands of `mill prover` share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from google.protobuf.message import Message

from client.cli.options import FORMATS, Command, Sender, Settings as ClientSettings, passphrase_option
from client.cli.session import Detail, send_transaction
from client.errors import InvalidInput
from client.sdk import MillClient
from prover_node.home import DEFAULT_HOME, Home
from prover_node.settings import Settings

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
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Build, simulate and price the transaction, but send nothing."
)
runner_option = click.option(
    "--runner",
    type=click.Choice(("auto", "docker", "sandbox")),
    default="auto",
    show_default=True,
    help="How containers are run; auto takes Docker if it is reachable.",
)
auto_retest_option = click.option(
    "--auto-retest",
    is_flag=True,
    help="Ask by itself for the capacity test that ends a jail or a failed joining, as soon as the chain allows it.",
)


@dataclass(frozen=True)
class Operator:
    """A prover's home, and how its operator signs."""

    home: Home
    settings: Settings
    client: ClientSettings
    sender: Sender

    def send(self, build: Callable[[MillClient], Any], describe: Callable[[], list[Detail]] | None = None) -> None:
        """Send (or only show) the message that ``build`` makes, signed by the operator's key and no other."""

        async def checked(client: MillClient) -> Message:
            await self.check(client)
            message: Message = await build(client)
            return message

        send_transaction(
            self.client,
            self.sender,
            checked,
            lambda _: [self.detail, *(describe() if describe else [])],
        )

    async def check(self, client: MillClient) -> None:
        """InvalidInput unless ``client`` has the operator's key, WrongChain unless it is on the prover's chain."""
        operator = self.settings.chain.operator
        if client.address != operator:
            raise InvalidInput(
                f"the configuration names the operator {operator}, but --from is {client.address}: "
                "use the operator's key"
            )
        await client.rpc.require_chain(self.settings.chain.id)

    @property
    def detail(self) -> Detail:
        """Whose transaction it is."""
        operator = self.settings.chain.operator
        return Detail("operator", operator, "operator", operator)


def operator_options(command: Command) -> Command:
    """All that a transaction of the operator needs; the command gets an :class:`Operator` first."""

    @functools.wraps(command)
    def wrapper(
        *,
        home: Path,
        sender: str | None,
        keys_home: Path,
        passphrase_file: Path | None,
        dry_run: bool,
        node: str | None,
        output_format: str,
        **rest: Any,
    ) -> Any:
        place = Home(home)
        settings = place.settings()
        operator = Operator(
            place,
            settings,
            ClientSettings(node or settings.chain.nodes[0], keys_home, output_format),
            Sender(sender or settings.chain.operator, passphrase_file, dry_run),
        )
        return command(operator, **rest)

    for option in (
        format_option,
        one_node_option,
        dry_run_option,
        passphrase_option,
        click.option(
            "--keys-home",
            type=click.Path(file_okay=False, path_type=Path),
            default=lambda: Path.home() / ".mill",
            envvar="MILL_HOME",
            show_default="~/.mill",
            metavar="DIR",
            help="Folder of the operator's keys.  [env: MILL_HOME]",
        ),
        click.option(
            "--from",
            "sender",
            envvar="MILL_FROM",
            metavar="NAME|ADDRESS",
            help="The operator's key; by default the one that the configuration names.  [env: MILL_FROM]",
        ),
        home_option,
    ):
        wrapper = option(wrapper)
    return wrapper


def client_settings(settings: Settings, node: str | None, output_format: str) -> ClientSettings:
    """For commands that use no key of a person."""
    return ClientSettings(node or settings.chain.nodes[0], Path.home() / ".mill", output_format)
