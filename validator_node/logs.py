"""Structured logs: to standard error for whoever watches, and always to a file of the home."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import IO, Literal

import structlog

LogFormat = Literal["console", "json"]


class _Both:
    """A text stream that writes to several."""

    def __init__(self, *streams: IO[str]) -> None:
        self._streams = streams

    def write(self, text: str) -> int:
        for stream in self._streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self._streams:
            stream.flush()


def configure_logs(log_format: LogFormat, level: str, file: Path) -> None:
    """Send this process's log lines to standard error and, appended, to `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # Open for as long as the process lives: every log line goes there.
    stream = _Both(sys.stderr, file.open("a", encoding="utf-8", buffering=1))
    renderer: structlog.typing.Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=stream),  # type: ignore[arg-type]  # it only writes and flushes
        cache_logger_on_first_use=True,
    )
    # Libraries that log by the standard module: their warnings belong in the same place.
    logging.basicConfig(stream=stream, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", force=True)
