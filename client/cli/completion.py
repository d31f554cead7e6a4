"""`mill completion`: scripts for shells."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from client.cli.main import cli


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    Examples:
      mill completion bash > ~/.local/share/bash-completion/completions/mill
      mill completion zsh > ~/.zfunc/_mill
      mill completion fish > ~/.config/fish/completions/mill.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"there is no completion for {shell}")
    click.echo(kind(cli, {}, "mill", "_MILL_COMPLETE").source())
