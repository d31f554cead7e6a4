"""How a program's runs went, for people."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from proofmill.program.v1.state_pb2 import ProgramStats

from client.cli.output import columns
from client.quantity import format_memory


def stats_table(stats: Sequence[ProgramStats]) -> str:
    """A row for each class of resources."""
    header = ("runs with", "valid", "failed", "last times (median, slowest)", "peak memory")
    return columns(header, [_row(one) for one in stats])


def runs_label(one: ProgramStats) -> str:
    """How many runs there were, and how they ended."""
    runs = one.succeeded + one.failed
    return (
        f"{runs} {'run' if runs == 1 else 'runs'} with {class_label(one)}, {one.succeeded} valid, {one.failed} failed"
    )


def class_label(one: ProgramStats) -> str:
    cores = 1 << one.cpu_class
    return f"up to {cores} {'CPU' if cores == 1 else 'CPUs'}" + (f" and {one.gpus} GPUs" if one.gpus else "")


def times_label(one: ProgramStats) -> str:
    """Of the last successful runs."""
    if not one.wall_ms:
        return "-"
    return f"{median(one.wall_ms) / 1000:.1f} s, {max(one.wall_ms) / 1000:.1f} s"


def memory_label(one: ProgramStats) -> str:
    return format_memory(-(-one.peak_memory_bytes // (1 << 20)) << 20) if one.peak_memory_bytes else "-"


def _row(one: ProgramStats) -> tuple[object, ...]:
    return class_label(one), one.succeeded, one.failed, times_label(one), memory_label(one)
