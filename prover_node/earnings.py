"""What a prover has earned lately: the chain knows the sum alone, so it is noted down now and then."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prover_node.line_file import LineFile

DAY_MS = 24 * 3600 * 1000
_BETWEEN_MS = 5 * 60 * 1000
# A day's worth and a little more.
_SAMPLES_MAX = 300


@dataclass(frozen=True, slots=True)
class Gain:
    """umill earned since a moment, in ms since 1970; a day ago, or when it was first noted down."""

    umill: int
    since_ms: int


class Earnings:
    """The open file; its owner is the only one who writes."""

    def __init__(self, path: Path) -> None:
        self._samples = deque(_read(path), _SAMPLES_MAX)
        self._file = LineFile(path, 2 * _SAMPLES_MAX)
        self._file.rewrite(self._lines())

    def note(self, now_ms: int, earned_umill: int) -> None:
        """So much has been earned in all by now; noted down once in a while."""
        if self._samples and now_ms - self._samples[-1][0] < _BETWEEN_MS:
            return
        self._samples.append((now_ms, earned_umill))
        self._file.add(_line(now_ms, earned_umill), self._lines)

    def last_day(self, now_ms: int, earned_umill: int) -> Gain:
        """What came in the 24 hours before now."""
        before = [sample for sample in self._samples if sample[0] <= now_ms - DAY_MS]
        since_ms, umill = before[-1] if before else self._samples[0] if self._samples else (now_ms, earned_umill)
        return Gain(max(earned_umill - umill, 0), since_ms)

    def _lines(self) -> Iterator[str]:
        return (_line(*sample) for sample in self._samples)


def _read(path: Path) -> Iterator[tuple[int, int]]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            time_ms, umill = json.loads(line)
            yield int(time_ms), int(umill)
        except (ValueError, TypeError):
            continue


def _line(time_ms: int, umill: int) -> str:
    return json.dumps([time_ms, umill]) + "\n"
