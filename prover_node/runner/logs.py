"""Keeps the beginning of a program's output and counts the rest, so that no child ever blocks on a log."""

from __future__ import annotations

from pathlib import Path

_GAP = b"\n[the node was started again: what the program wrote meanwhile is missing]\n"


class LogBuffer:
    """At most ``limit`` bytes of a stream, the last of them a note if there was more.

    What is kept is copied to the file ``copy``, if one is named: after a crash of this process, another
    goes on from there.
    """

    def __init__(self, limit: int, copy: Path | None = None) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._total = 0
        earlier = copy.read_bytes() if copy is not None and copy.exists() else None
        self._copy = None if copy is None else copy.open("ab", buffering=0)
        if earlier is not None:
            self._go_on(earlier)

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        self._total += len(data)
        kept = data[: self._limit - len(self._kept)]
        self._kept += kept
        if self._copy is not None and kept:
            self._copy.write(kept)

    def value(self) -> bytes:
        """What is kept, with the note in place of the end of a stream that was too long."""
        if self._total <= self._limit:
            return bytes(self._kept)
        note = f"\n[truncated: the program wrote {self._total} bytes]\n".encode()
        return bytes(self._kept[: max(self._limit - len(note), 0)]) + note[-self._limit :]

    def close(self) -> None:
        """Close the copy."""
        if self._copy is not None:
            self._copy.close()

    def _go_on(self, earlier: bytes) -> None:
        """Take what an earlier process had kept, and note that something may be missing after it."""
        self._total = len(earlier)
        self._kept = bytearray(earlier)
        if self._total < self._limit:
            self.feed(_GAP)
