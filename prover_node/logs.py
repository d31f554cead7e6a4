"""Structured logs: one line an event, to standard output or a file."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from pathlib import Path
from typing import TextIO

import structlog

_printing = threading.Lock()


class _Printer:
    """Prints lines, one at a time; those that a full disk doesn't take are lost, and nobody has to care."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def msg(self, line: str) -> None:
        """Print ``line``."""
        with _printing, contextlib.suppress(OSError):
            print(line, file=self._out, flush=True)

    debug = info = warning = error = critical = exception = msg


def configure_logs(form: str, file: Path | None) -> None:
    """``form`` is ``console`` or ``json``; lines are appended to ``file`` if one is named."""
    out: TextIO = sys.stdout if file is None else file.open("a", buffering=1)
    renderer: structlog.types.Processor
    if form == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=out.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Printer(out),
        cache_logger_on_first_use=False,
    )
