"""Which of several chain nodes to use: one that is fresh, and of those the one that is named first. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Nodes are told of a block at different moments.
_LAG_MAX_BLOCKS = 2
# So often in a row a node that is named earlier has to have been fit before it is gone back to.
_SURVEYS_TO_COME_BACK = 3


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What one node said when it was asked; ``problem`` says why it can't be used, empty if it can."""

    url: str
    height: int = 0
    problem: str = ""


class NodeChoice:
    """The node in use, by its position among the configured ones."""

    def __init__(self, count: int) -> None:
        self.index = 0
        self._fit_in_a_row = [0] * count

    def failed(self) -> None:
        """The node in use didn't answer: another one that was fit lately, or else the next in turn."""
        count = len(self._fit_in_a_row)
        self._fit_in_a_row[self.index] = 0
        others = [(self.index + step) % count for step in range(1, count + 1)]
        self.index = next((other for other in others if self._fit_in_a_row[other]), others[0])

    def survey(self, reports: Sequence[NodeReport]) -> None:
        """All nodes were asked. One that is named earlier is gone back to once it has been fit for a while."""
        best = max((one.height for one in reports if not one.problem), default=0)
        for index, report in enumerate(reports):
            fit = not report.problem and report.height >= best - _LAG_MAX_BLOCKS
            self._fit_in_a_row[index] = self._fit_in_a_row[index] + 1 if fit else 0
        now_fit = [index for index, times in enumerate(self._fit_in_a_row) if times]
        if not now_fit:
            return
        if self.index not in now_fit:
            self.index = max(now_fit, key=lambda index: (reports[index].height, -index))
            return
        steady = (index for index in now_fit if self._fit_in_a_row[index] >= _SURVEYS_TO_COME_BACK)
        self.index = min([self.index, *steady])
