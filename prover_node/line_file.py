"""A small file of lines that are nice to have: appended to, now and then rewritten, never synced.

A crash may lose the newest, and what a full disk doesn't take is made up for as soon as it does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

log = structlog.get_logger("prover")


class LineFile:
    """The open file at ``path``; its owner is the only one who writes, and rewrites it at ``lines_max``."""

    def __init__(self, path: Path, lines_max: int) -> None:
        self._path = path
        self._lines_max = lines_max
        self._lines = 0
        self._whole = True
        """Everything that was added is in it."""

    def add(self, line: str, everything: Callable[[], Iterable[str]]) -> None:
        """Write ``line``, or ``everything`` that is to be kept where that is due; each with its line break."""
        if not self._whole or self._lines >= self._lines_max:
            self.rewrite(everything())
            return
        try:
            with self._path.open("a") as out:
                out.write(line)
        except OSError as error:
            self._give_up(error)
        self._lines += 1

    def rewrite(self, lines: Iterable[str]) -> None:
        """Keep these and no others."""
        kept = list(lines)
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            temporary.write_text("".join(kept))
            os.replace(temporary, self._path)  # noqa: PTH105 - says that it replaces
        except OSError as error:
            temporary.unlink(missing_ok=True)
            self._give_up(error)
            return
        self._lines, self._whole = len(kept), True

    def _give_up(self, error: OSError) -> None:
        if self._whole:
            log.warning("lines can't be kept", file=str(self._path), reason=str(error))
        self._whole = False
