"""Plots as small SVG files, written by hand: the same figures give the same bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.simulation.plan import Results

_WIDTH: Final = 720
_HEIGHT: Final = 380
_LEFT: Final = 70
_RIGHT: Final = 210
_TOP: Final = 40
_BOTTOM: Final = 50
_FONT: Final = 'font-family="sans-serif" font-size="12"'
# Distinguishable for the colour-blind (Okabe and Ito), then dashed.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


@dataclass(frozen=True, slots=True)
class Line:
    """One series; a point without a value is left out."""

    name: str
    values: Sequence[float | None]
    marks: bool = True


def line_chart(
    title: str, x_name: str, y_name: str, xs: Sequence[str], lines: Sequence[Line], *, log: bool = False
) -> str:
    """Lines over equally spaced categories; with `log`, on a logarithmic axis from the least power of ten seen."""
    known = [value for line in lines for value in line.values if value is not None and (value > 0 or not log)]
    top, bottom = max(known, default=1.0), 0.0
    if log:
        low = math.floor(math.log10(min(known, default=1.0)))
        high = max(low + 1, math.ceil(math.log10(top)))
        ticks = [10.0**power for power in range(low, high + 1)]
    else:
        step = _nice(top / 5)
        ticks = [step * index for index in range(math.ceil(top / step) + 1)]
    bottom, top = ticks[0], ticks[-1]
    plot_width, plot_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def y_of(value: float) -> float:
        share = math.log(value / bottom) / math.log(top / bottom) if log else (value - bottom) / (top - bottom)
        return _TOP + plot_height * (1 - share)

    def x_of(index: int) -> float:
        return _LEFT + plot_width * (index + 0.5) / len(xs)

    middle = _TOP + plot_height / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{escape(title)}</text>',
        f'<text x="{_LEFT + plot_width / 2:.0f}" y="{_HEIGHT - 10}" text-anchor="middle">{escape(x_name)}</text>',
        f'<text transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>',
    ]
    for tick in ticks:
        y = y_of(tick)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_LEFT + plot_width}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,g}</text>')
    every = math.ceil(len(xs) / 16)
    for index, text in enumerate(xs):
        if index % every == 0:
            parts.append(
                f'<text x="{x_of(index):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{escape(text)}</text>'
            )
    for number, line in enumerate(lines):
        parts += _draw(line, number, x_of, y_of, bottom, log=log)
    parts.append("</svg>\n")
    return "\n".join(parts)


def _draw(
    line: Line, number: int, x_of: Callable[[int], float], y_of: Callable[[float], float], bottom: float, *, log: bool
) -> list[str]:
    """A line, its marks and its line of the legend."""
    colour = _COLOURS[number % len(_COLOURS)]
    dash = ' stroke-dasharray="5 3"' if number >= len(_COLOURS) else ""
    points = [
        (x_of(index), y_of(max(value, bottom) if log else value))
        for index, value in enumerate(line.values)
        if value is not None and (value > 0 or not log)
    ]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'] if points else []
    if line.marks:
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    y = _TOP + 8 + 18 * number
    parts.append(f'<path d="M{_WIDTH - _RIGHT + 12} {y}h22" stroke="{colour}" stroke-width="2"{dash}/>')
    parts.append(f'<text x="{_WIDTH - _RIGHT + 40}" y="{y + 4}">{escape(line.name)}</text>')
    return parts


def _nice(step: float) -> float:
    """The least of 1, 2 or 5 times a power of ten that isn't below."""
    power = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step)


def make_plots(results: Results) -> dict[str, str]:
    """Every plot by its file name."""
    plots: dict[str, str] = {}
    if results.day is not None:
        hours = results.day.hours
        most = max(hour.tasks for hour in hours)
        xs = [str(index + 1) for index in range(len(hours))]
        plots["day.svg"] = line_chart(
            "Two days of load",
            "hour",
            "% of the peak, % of what provers have",
            xs,
            [
                Line("tasks an hour", [100 * hour.tasks / most for hour in hours], marks=False),
                Line("GPUs in use", [100 * hour.gpus_used for hour in hours], marks=False),
                Line("cores in use", [100 * hour.cores_used for hour in hours], marks=False),
            ],
        )
        plots["waiting.svg"] = line_chart(
            "Tasks that wait for a prover",
            "hour",
            "tasks",
            xs,
            [Line("at the end of the hour", [float(hour.waiting) for hour in hours], marks=False)],
        )
    for peak, found in results.peaks.items():
        if not peak.mixed:
            plots["assignments.svg"] = _histogram(found.histogram, peak.nodes)
    plots |= _strategy_plots(results)
    return plots


def _histogram(counts: dict[int, int], nodes: int) -> str:
    average = sum(count * many for count, many in counts.items()) / nodes
    xs = list(range(max(counts) + 1))
    poisson = [nodes * math.exp(-average) * average**count / math.factorial(count) for count in xs]
    return line_chart(
        "Assignments of equal provers",
        "assignments",
        "provers",
        [str(count) for count in xs],
        [Line("seen", [float(counts.get(count, 0)) for count in xs]), Line("independent draws", poisson)],
    )


def _strategy_plots(results: Results) -> dict[str, str]:
    shares = sorted({cell.percent for cell in results.cells if cell.strategy != "honest"})
    xs = [f"{percent} %" for percent in shares]
    losses: dict[str, list[float | None]] = {}
    lazy: dict[tuple[int, int], list[float | None]] = {}
    for cell in results.cells:
        if cell.strategy == "honest":
            continue
        group = [
            one
            for other, one in results.cells.items()
            if (other.strategy, other.percent, other.invalid_bp, other.committee)
            == (cell.strategy, cell.percent, cell.invalid_bp, cell.committee)
        ]
        slashed = sum(one.cheaters.slashed for one in group) / len(group) / 1e6
        column = shares.index(cell.percent)
        if (cell.invalid_bp, cell.committee) == (100, 10):
            losses.setdefault(cell.strategy, [None] * len(shares))[column] = slashed
        if cell.strategy == "lazy verifier":
            lazy.setdefault((cell.committee, cell.invalid_bp), [None] * len(shares))[column] = slashed
    return {
        "strategies.svg": line_chart(
            "What a strategy is slashed",
            "nodes that follow it",
            "MILL a node and day",
            xs,
            [Line(name, values) for name, values in losses.items() if any(values)],
            log=True,
        ),
        "lazy.svg": line_chart(
            "What lazy verifiers are slashed",
            "lazy nodes",
            "MILL a node and day",
            xs,
            [
                Line(f"{invalid_bp / 100:g} % invalid, {committee} seats", values)
                for (committee, invalid_bp), values in sorted(lazy.items())
            ],
            log=True,
        ),
    }
