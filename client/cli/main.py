"""`mill`: finds the command, loads nothing else, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

import click
from click.core import ParameterSource

from client.cli.exit_codes import EXIT_CODES_HELP, SUCCESS, USAGE, explain
from client.cli.options import root_options

PLUGIN_GROUP = "mill.commands"
# Name: where the command is, and its line in the list of commands; read without importing it.
_COMMANDS = {
    "account": ("client.cli.account:account", "Show an account's balances and sequence."),
    "completion": ("client.cli.completion:completion", "Print a shell's completion script."),
    "credits": ("client.cli.account:credits_group", "Grant credits, which pay for tasks."),
    "estimate": ("client.cli.run:estimate", "Say what a run would cost."),
    "keys": ("client.cli.keys:keys", "Make, import and keep keys."),
    "params": ("client.cli.params:params", "Show the network's parameters, and change them."),
    "program": ("client.cli.program:program", "Build, deploy and list programs."),
    "run": ("client.cli.run:run", "Ask for a proof."),
    "send": ("client.cli.account:send", "Send MILL."),
    "task": ("client.cli.task:task", "Follow and cancel tasks, fetch proofs and logs."),
    "tx": ("client.cli.tx:tx", "Look transactions up."),
}


class CommandLoader(click.Group):
    """Our own commands, and those that installed packages plug in; each is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_COMMANDS, *(plugin.name for plugin in entry_points(group=PLUGIN_GROUP))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            module, _, name = _COMMANDS[cmd_name][0].partition(":")
            command = getattr(import_module(module), name)
        else:
            plugin = next(iter(entry_points(group=PLUGIN_GROUP, name=cmd_name)), None)
            if plugin is None:
                return None
            command = _load(plugin)
        if not isinstance(command, click.Command):
            raise click.ClickException(f"the package that provides `mill {cmd_name}` is broken: it gives no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Our own commands ask the root for what was given before them; a plugin's get it as their own."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is None or name in _COMMANDS:
            return name, command, rest
        depth = 0
        while isinstance(command, click.Group) and depth < len(rest) and rest[depth] in command.commands:
            command = command.commands[rest[depth]]
            depth += 1
        given = [] if isinstance(command, click.Group) else _given_options(ctx)
        return name, self.get_command(ctx, str(name)), [*rest[:depth], *given, *rest[depth:]]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            if name in _COMMANDS:
                rows.append((name, _COMMANDS[name][1]))
                continue
            try:
                command = self.get_command(ctx, name)
                rows.append((name, command.get_short_help_str(100) if command else ""))
            except click.ClickException as error:
                rows.append((name, f"(unavailable: {error.format_message()})"))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _given_options(ctx: click.Context) -> list[str]:
    """The options before the command's name, as they may stand behind it; not what the environment says."""
    words = []
    for param in ctx.command.params:
        if param.name in ctx.params and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
            words += [param.opts[-1], str(ctx.params[param.name])]
    return words


def _load(plugin: EntryPoint) -> object:
    try:
        return plugin.load()
    except (ImportError, AttributeError) as error:
        raise click.ClickException(f"`mill {plugin.name}` can't be loaded: {error}") from error


@click.group(
    cls=CommandLoader,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES_HELP,
)
@click.version_option(package_name="proofmill", message="mill %(version)s")
@root_options
def cli(**_defaults: object) -> None:
    """Proofmill: have zero-knowledge proofs made, verified and paid for on a network of provers.

    \b
    Examples:
      mill keys add alice
      mill run --program groth16 --input public.json=public.json --wait --output proof
      mill task show 7 -o json
    """


def run(args: Sequence[str] | None = None) -> int:
    """Runs `mill` with ``args`` (by default the process') and returns its exit code."""
    try:
        result = cli.main(args=None if args is None else list(args), prog_name="mill", standalone_mode=False)
    except BrokenPipeError:
        # Whoever read our output has seen enough. Nothing may be flushed to the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SUCCESS
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()  # the whole help, on stderr
        return USAGE
    except (Exception, KeyboardInterrupt) as error:
        explained = explain(error)
        if explained is None:
            raise
        code, sentence = explained
        click.echo(f"mill: {sentence}", err=True)
        return code
    return result if isinstance(result, int) else SUCCESS


def main() -> NoReturn:
    """The console script."""
    sys.exit(run())
