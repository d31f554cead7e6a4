"""How long runs of a program took here: learned from earlier ones, kept across restarts, bounded.

A run is like another if program and resources are the same, and inputs and time limit are of the same size to a power
of two: whoever sets a limit knows how large the work is. For estimates alone, so nothing is synced: a crash may lose
the newest runs.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from prover_node.duties import ContainerSpec, FileKind
from prover_node.line_file import LineFile
from prover_node.runner.base import Outcome, Reason

RUNS_MAX = 4096
_OF_A_KIND_MAX = 64
LEAST_RUNS = 20
"""So many runs of a kind have to have been seen before they say anything."""
_QUANTILE_PERCENT = 95
# What is added to what nearly all took.
_MARGIN_PERCENT = 25


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is compared; ``inputs`` and ``limit`` are numbers of binary digits of bytes and seconds."""

    program: str
    cpu_millis: int
    memory_bytes: int
    gpus: int
    inputs: int
    limit: int


class Experience:
    """The open file; its owner is the only one who writes."""

    def __init__(self, path: Path) -> None:
        self._runs: deque[tuple[_Kind, int]] = deque(_read(path), RUNS_MAX)
        self._file = LineFile(path, 2 * RUNS_MAX)
        self._file.rewrite(self._all())

    def add(self, spec: ContainerSpec, outcome: Outcome) -> None:
        """A prover container ended; how long it takes to fail says nothing, but that it needs more than its limit."""
        proved = outcome.reason is Reason.EXITED and outcome.exit_code == 0
        if not spec.program or not (proved or outcome.reason is Reason.TIME_LIMIT):
            return
        kind = _kind_of(spec)
        self._runs.append((kind, outcome.wall_ms))
        self._file.add(_line(kind, outcome.wall_ms), self._all)

    def likely_ms(self, spec: ContainerSpec) -> int:
        """What nearly all of the last runs like this one took, and a margin; 0 until enough were seen."""
        wanted = _kind_of(spec)
        seen = sorted([ms for kind, ms in self._runs if kind == wanted][-_OF_A_KIND_MAX:])
        if len(seen) < LEAST_RUNS:
            return 0
        rank = -(-len(seen) * _QUANTILE_PERCENT // 100)
        return seen[rank - 1] * (100 + _MARGIN_PERCENT) // 100

    def _all(self) -> Iterator[str]:
        return (_line(kind, ms) for kind, ms in self._runs)


def _kind_of(spec: ContainerSpec) -> _Kind:
    size = sum(ref.size for ref in spec.files if ref.kind is FileKind.INPUT)
    needs = spec.resources
    return _Kind(
        program=spec.program,
        cpu_millis=needs.cpu_millis,
        memory_bytes=needs.memory_bytes,
        gpus=needs.gpus,
        inputs=size.bit_length(),
        limit=spec.time_limit_s.bit_length(),
    )


def _read(path: Path) -> Iterator[tuple[_Kind, int]]:
    """Whole lines; what a crash tore is left out."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return
    names = {field.name for field in fields(_Kind)}
    for line in lines[-RUNS_MAX:]:
        try:
            values = json.loads(line)
            yield _Kind(**{name: values[name] for name in names}), int(values["ms"])
        except (ValueError, TypeError, KeyError):
            continue


def _line(kind: _Kind, ms: int) -> str:
    return json.dumps({**asdict(kind), "ms": ms}) + "\n"
