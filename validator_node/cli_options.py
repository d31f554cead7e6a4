"""Options that `mill node` and `mill localnet` share."""

from __future__ import annotations

import click

from client.cli.options import FORMATS

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
