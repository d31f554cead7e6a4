"""How long files take to come here: measured, so that nothing is accepted which can't be fetched in time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prover_node.duties import FileRef

# What the protocol's allowance for transfers reckons with, until something was measured.
_ASSUMED_BYTES_PER_S = 64 << 20
# What is smaller measures the way to a server and back, not how much goes through.
_MEASURED_FROM_BYTES = 1 << 20
# How much the newest transfer counts, in tenths.
_NEWEST_TENTHS = 3
_NO_LIMIT = 1 << 63


class TransferRate:
    """A moving average over the transfers of some size."""

    def __init__(self) -> None:
        self._bytes_per_s = 0

    @property
    def bytes_per_s(self) -> int:
        """Never 0."""
        return self._bytes_per_s or _ASSUMED_BYTES_PER_S

    def observe(self, size: int, seconds: float) -> None:
        """A transfer of ``size`` bytes took so long."""
        if size < _MEASURED_FROM_BYTES:
            return
        rate = max(int(size / max(seconds, 0.001)), 1)
        old = self._bytes_per_s or rate
        self._bytes_per_s = (old * (10 - _NEWEST_TENTHS) + rate * _NEWEST_TENTHS) // 10


@dataclass(frozen=True, slots=True)
class Transfers:
    """What the store has already (``cached``, by its names), how fast the rest comes, and how much of it has room."""

    cached: frozenset[str] = frozenset()
    bytes_per_s: int = _ASSUMED_BYTES_PER_S
    room_bytes: int = _NO_LIMIT

    def missing(self, files: Iterable[FileRef]) -> int:
        """Bytes that have to be fetched."""
        wanted = {ref.key: ref.size for ref in files if ref.inline is None and ref.key not in self.cached}
        return sum(wanted.values())

    def no_room(self, files: Iterable[FileRef]) -> str:
        """Why the store can't take ``files``; empty if it can."""
        size = self.missing(files)
        if size <= self.room_bytes:
            return ""
        return f"disk full: the files take {size} bytes more, and the store has room for {max(self.room_bytes, 0)}"

    def ms(self, size: int) -> int:
        """How long ``size`` bytes take."""
        return -(-size * 1000 // self.bytes_per_s)


UNMEASURED = Transfers()
