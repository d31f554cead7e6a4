"""Options that many commands share, and how their values are read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from chain.amount import AmountError, parse_amount
from client.quantity import QuantityError, parse_cpu, parse_duration, parse_memory

DEFAULT_NODE = "http://127.0.0.1:26657"
FORMATS = ("table", "json", "yaml")

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
    home: Path = ctx.params.get("home") or ctx.find_root().params["home"]
    return sorted(path.stem for path in (home / "keys").glob(f"{incomplete}*.json"))


def _node_option(**attributes: Any) -> Callable[[Command], Command]:
    text = "CometBFT RPC of the node to ask.  [env: MILL_NODE; default: http://127.0.0.1:26657]"
    return click.option("--node", metavar="URL", help=text, **attributes)


def _home_option(**attributes: Any) -> Callable[[Command], Command]:
    kind = click.Path(file_okay=False, path_type=Path)
    text = "Folder of your keys.  [env: MILL_HOME; default: ~/.mill]"
    return click.option("--home", type=kind, metavar="DIR", help=text, **attributes)


def _format_option(**attributes: Any) -> Callable[[Command], Command]:
    text = "How to print the result.  [env: MILL_FORMAT; default: table]"
    return click.option("-o", "--format", "output_format", type=click.Choice(FORMATS), help=text, **attributes)


def _sender_option(**attributes: Any) -> Callable[[Command], Command]:
    text = "Key that signs and pays; may be left out if there is only one.  [env: MILL_FROM]"
    return click.option(
        "--from", "sender", metavar="NAME|ADDRESS", shell_complete=_complete_keys, help=text, **attributes
    )


passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    envvar="MILL_PASSPHRASE_FILE",
    metavar="FILE",
    help="File (mode 0600) with the key's passphrase; without it you are asked.  [env: MILL_PASSPHRASE_FILE]",
)


def root_options(command: Command) -> Command:
    """Options before the command: what holds where the command's own aren't given."""
    for option in (
        _sender_option(envvar="MILL_FROM"),
        _format_option(envvar="MILL_FORMAT", default="table"),
        _home_option(envvar="MILL_HOME", default=lambda: Path.home() / ".mill"),
        _node_option(envvar="MILL_NODE", default=DEFAULT_NODE),
    ):
        command = option(command)
    return command


def home_options(command: Command) -> Command:
    """`-o` and `--home`; the command gets :class:`Settings` first."""

    @functools.wraps(command)
    def wrapper(*, home: Path | None, output_format: str | None, node: str | None = None, **rest: Any) -> Any:
        root = click.get_current_context().find_root().params
        settings = Settings(node or root["node"], home or root["home"], output_format or root["output_format"])
        return command(settings, **rest)

    return _format_option()(_home_option()(wrapper))


def node_options(command: Command) -> Command:
    """`-o`, `--home` and `--node`; the command gets :class:`Settings` first."""
    return _node_option()(home_options(command))


def sender_options(command: Command) -> Command:
    """:func:`node_options` and those of whoever signs; the command gets a :class:`Sender` second."""

    @functools.wraps(command)
    def wrapper(
        settings: Settings, *, sender: str | None, passphrase_file: Path | None, dry_run: bool, **rest: Any
    ) -> Any:
        name = sender or click.get_current_context().find_root().params["sender"]
        return command(settings, Sender(name, passphrase_file, dry_run), **rest)

    dry_run = click.option(
        "--dry-run", is_flag=True, help="Build, simulate and price the transaction, but send nothing."
    )
    return _sender_option()(passphrase_option(dry_run(node_options(wrapper))))


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
