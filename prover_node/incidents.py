"""What went wrong for this prover, with reasons: the last few hundred, in a file for `mill prover status`.

For people's eyes alone, so nothing is synced: a crash may lose the newest lines, and a full disk keeps none.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from prover_node.duties import Standing
from prover_node.line_file import LineFile

LIMIT = 200


@dataclass(frozen=True, slots=True)
class Incident:
    """``kind`` in a word or two; ``task_id`` and ``round`` are 0 where it isn't about one; time in ms since 1970."""

    time_ms: int
    kind: str
    task_id: int
    round: int
    detail: str


class Incidents:
    """The open file; its owner is the only one who writes."""

    def __init__(self, path: Path) -> None:
        self._last = deque(read_incidents(path), LIMIT)
        self._file = LineFile(path, 2 * LIMIT)
        self._file.rewrite(map(_line, self._last))

    def add(self, kind: str, detail: str, *, task_id: int = 0, round_: int = 0) -> None:
        """Note it down, unless the same was noted before: what is sent again is decided only once."""
        same = (kind, task_id, round_, detail)
        if task_id and any((one.kind, one.task_id, one.round, one.detail) == same for one in self._last):
            return
        incident = Incident(int(time.time() * 1000), kind, task_id, round_, detail)
        self._last.append(incident)
        self._file.add(_line(incident), lambda: map(_line, self._last))


def read_incidents(path: Path) -> list[Incident]:
    """The last ones, oldest first; lines that a crash tore are left out."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return list(deque(_parse(lines), LIMIT))


def changes(before: Standing | None, after: Standing) -> Iterator[tuple[str, str]]:
    """Kind and detail of what the chain holds against this prover now and didn't before."""
    if before is None:
        return
    if after.misses > before.misses:
        yield "missed", f"the chain counts {after.misses} misses now"
    if after.status == "jailed" and before.status != "jailed":
        yield "jailed", after.reason
    if after.test_ended_ms != before.test_ended_ms and after.test_result != "passed":
        yield "test", f"a capacity test ended: {after.test_result}"
    if after.bond < before.bond:
        yield "slashed", f"the bond went from {before.bond} to {after.bond} umill"


def _parse(lines: list[str]) -> Iterator[Incident]:
    for line in lines:
        try:
            yield Incident(**json.loads(line))
        except (ValueError, TypeError):
            continue


def _line(incident: Incident) -> str:
    return json.dumps(asdict(incident), ensure_ascii=False) + "\n"
