"""Options that many commands share, and how their values are read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from chain.amount import AmountError, parse_amount
from client.quantity import QuantityError, parse_cpu, parse_duration, parse_memory

DEFAULT_NODE = "http://127.0.0.1:26657"
FORMATS = ("table", "json", "yaml")

T = TypeVar("T")
Command = Callable[..., Any]


@dataclass(frozen=True)
class Settings:
    """Where to ask, where the user's files are, and how to print."""

    node: str
    home: Path
    format: str

    @property
    def keys(self) -> Path:
        return self.home / "keys"


@dataclass(frozen=True)
class Sender:
    """Who signs, and whether anything is sent at all."""

    name: str | None
    passphrase_file: Path | None
    dry_run: bool


def _complete_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    home = ctx.params.get("home") or Path.home() / ".mill"
    return sorted(path.stem for path in (home / "keys").glob(f"{incomplete}*.json"))


def home_options(command: Command) -> Command:
    """`-o` and `--home`; the command gets :class:`Settings` first."""
    return _home_options(_with_settings(command, node=DEFAULT_NODE))


def node_options(command: Command) -> Command:
    """`-o`, `--home` and `--node`; the command gets :class:`Settings` first."""
    option = click.option(
        "--node",
        default=DEFAULT_NODE,
        envvar="MILL_NODE",
        show_default=True,
        metavar="URL",
        help="CometBFT RPC of the node to ask.  [env: MILL_NODE]",
    )
    return _home_options(option(_with_settings(command)))


def sender_options(command: Command) -> Command:
    """:func:`node_options` and those of whoever signs; the command gets a :class:`Sender` second."""

    @functools.wraps(command)
    def wrapper(
        settings: Settings, *, sender: str | None, passphrase_file: Path | None, dry_run: bool, **rest: Any
    ) -> Any:
        return command(settings, Sender(sender, passphrase_file, dry_run), **rest)

    for option in (
        click.option("--dry-run", is_flag=True, help="Build, simulate and price the transaction, but send nothing."),
        passphrase_option,
        click.option(
            "--from",
            "sender",
            envvar="MILL_FROM",
            metavar="NAME|ADDRESS",
            shell_complete=_complete_keys,
            help="Key that signs and pays; may be left out if there is only one.  [env: MILL_FROM]",
        ),
    ):
        wrapper = option(wrapper)
    return node_options(wrapper)


passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    envvar="MILL_PASSPHRASE_FILE",
    metavar="FILE",
    help="File (mode 0600) with the key's passphrase; without it you are asked.  [env: MILL_PASSPHRASE_FILE]",
)


def _home_options(command: Command) -> Command:
    home = click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        default=lambda: Path.home() / ".mill",
        envvar="MILL_HOME",
        show_default="~/.mill",
        metavar="DIR",
        help="Folder of your keys.  [env: MILL_HOME]",
    )
    output = click.option(
        "-o",
        "--format",
        "output_format",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        envvar="MILL_FORMAT",
        help="How to print the result.",
    )
    return output(home(command))


def _with_settings(command: Command, **fixed: str) -> Command:
    @functools.wraps(command)
    def wrapper(*, home: Path, output_format: str, **rest: Any) -> Any:
        node = fixed.get("node") or rest.pop("node")
        return command(Settings(node, home, output_format), **rest)

    return wrapper


class Parsed(click.ParamType[Any]):
    """A value that ``parse`` reads, or refuses with a ValueError whose text is one sentence."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except (AmountError, QuantityError) as error:
            self.fail(str(error), param, ctx)


def amount_type(denom: str) -> Parsed:
    """An amount in ``denom`` (umill or ucredit), as an integer."""

    def parse(text: str) -> int:
        amount, unit = parse_amount(text)
        if unit != denom:
            raise AmountError(f"{text!r} is in {unit}, but this takes {denom} or {denom.removeprefix('u')}")
        if amount == 0:
            raise AmountError("the amount must be more than zero")
        return amount

    return Parsed("amount", parse)


DURATION = Parsed("duration", parse_duration)
CPU = Parsed("cpu", parse_cpu)
MEMORY = Parsed("memory", parse_memory)
