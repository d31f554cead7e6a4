"""How benchmarks print: a title, the machine, one aligned table."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on standard output, its first column flush left."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    sys.stdout.write(f"\n{title}\n")
    for row in cells:
        parts = [
            cell.ljust(width) if not i else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        sys.stdout.write("  " + "  ".join(parts).rstrip() + "\n")
    sys.stdout.flush()


def print_machine() -> None:
    """What the figures were measured on."""
    sys.stdout.write(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}\n")


def say(text: str) -> None:
    """A progress line, on standard error."""
    sys.stderr.write(f"… {text}\n")
    sys.stderr.flush()


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """The median wall time of so many runs, after one that doesn't count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
