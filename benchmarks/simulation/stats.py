"""The little statistics that the report needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Student's t for 95 %, two-sided, by degrees of freedom.
_T95: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds and half the width of its 95 % confidence interval."""

    value: float
    half: float

    @property
    def sign(self) -> int:
        """1 or −1 if the interval is wholly above or below zero, else 0."""
        if abs(self.value) <= self.half:
            return 0
        return 1 if self.value > 0 else -1


def mean_of(values: Sequence[float]) -> Mean:
    if len(values) < 2:
        return Mean(values[0], math.inf)
    return Mean(fmean(values), _T95[min(len(values) - 1, len(_T95)) - 1] * stdev(values) / math.sqrt(len(values)))


@dataclass(frozen=True, slots=True)
class ChiSquare:
    """How far counts are from what was expected of each. The ratio is 1, and z is 0, for independent fair draws."""

    draws: int
    cells: int
    statistic: float

    @property
    def ratio(self) -> float:
        """Of the variance seen to that of independent draws."""
        return self.statistic / (self.cells - 1)

    @property
    def z(self) -> float:
        """Standard deviations from fair draws (Wilson and Hilferty's transformation of chi-square)."""
        free = self.cells - 1
        return (math.cbrt(self.statistic / free) - (1 - 2 / (9 * free))) / math.sqrt(2 / (9 * free))

    @property
    def p(self) -> float:
        """How often fair draws would be this uneven, or more."""
        return 1 - NormalDist().cdf(self.z)


def chi_square(counts: Sequence[int], weights: Sequence[float] | None = None) -> ChiSquare:
    """Of counts against shares in proportion to the weights; equal ones if there are none."""
    draws = sum(counts)
    total = sum(weights) if weights else len(counts)
    expected = [draws * weight / total for weight in weights] if weights else [draws / total] * len(counts)
    statistic = sum((count - mean) ** 2 / mean for count, mean in zip(counts, expected, strict=True))
    return ChiSquare(draws, len(counts), statistic)


def percentile(counts: Mapping[int, int], percent: int) -> int:
    """Of values that were each seen so many times: the least that covers so many percent."""
    wanted = sum(counts.values()) * percent / 100
    seen = 0
    for value, count in sorted(counts.items()):
        seen += count
        if seen >= wanted:
            return value
    return 0
