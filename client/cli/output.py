"""Printing results: aligned text for people, JSON and YAML in one stable form for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import click
import yaml

from client.plain import Plain


def emit(output_format: str, data: Plain, table: Callable[[], str]) -> None:
    """Prints ``data`` as JSON or YAML, or what ``table`` makes of it."""
    if output_format == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    elif output_format == "yaml":
        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True).rstrip("\n"))
    else:
        click.echo(table())


def columns(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows under a header, left-aligned."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def pairs(rows: Sequence[tuple[str, object]]) -> str:
    """Names and values, aligned."""
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}".rstrip() for name, value in rows)


def time_label(time_ms: int) -> str:
    """A block time to the millisecond, in UTC; `-` if it isn't known."""
    if not time_ms:
        return "-"
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{time_ms % 1000:03d}"


def iso_time(time_ms: int) -> str | None:
    """RFC 3339, or None if it isn't known."""
    return time_label(time_ms).replace(" ", "T") + "Z" if time_ms else None
