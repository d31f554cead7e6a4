"""Keeps the beginning of a program's output and counts the rest, so that no child ever blocks on a log."""

from __future__ import annotations


class LogBuffer:
    """At most ``limit`` bytes of a stream, the last of them a note if there was more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._total = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        self._total += len(data)
        self._kept += data[: self._limit - len(self._kept)]

    def value(self) -> bytes:
        """What is kept, with the note in place of the end of a stream that was too long."""
        if self._total <= self._limit:
            return bytes(self._kept)
        note = f"\n[truncated: the program wrote {self._total} bytes]\n".encode()
        return bytes(self._kept[: max(self._limit - len(note), 0)]) + note[-self._limit :]
