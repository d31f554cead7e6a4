"""Whether this machine's clock agrees with the chain's, whose blocks carry the time that most validators agree on.

Deadlines are judged by block time alone, but certificates, signed URLs and what people read in logs are not.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

SKEW_WARNED_MS = 5000
"""A skew that is worth a warning."""

_SAMPLES = 10
_LEAST_SAMPLES = 2


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A block: the time in its header, and when it came here by this machine's clock; both in ms since 1970."""

    header_ms: int
    local_ms: int


class ClockCheck:
    """Compares the times of new blocks with those of their arrival.

    A header's time is that of about the block before, and the way here takes a while, so a block comes up to two block
    times after its own time. What is beyond that in all of the last blocks is this clock's.
    """

    def __init__(self) -> None:
        self._last: _Arrival | None = None
        self._seen: deque[tuple[_Arrival, int]] = deque(maxlen=_SAMPLES)

    def block(self, header_ms: int, local_ms: int) -> None:
        """A block came. Those that a node catches up with come too fast to say anything."""
        arrival, last = _Arrival(header_ms, local_ms), self._last
        self._last = arrival
        if last is None:
            return
        between_ms = header_ms - last.header_ms
        if 2 * (local_ms - last.local_ms) >= between_ms > 0:
            self._seen.append((arrival, between_ms))

    @property
    def is_known(self) -> bool:
        """Whether enough blocks were seen."""
        return len(self._seen) >= _LEAST_SAMPLES

    @property
    def skew_ms(self) -> int:
        """How far this clock is ahead (behind: below 0) at least; 0 while it isn't known."""
        if not self.is_known:
            return 0
        ahead_ms = min(one.local_ms - one.header_ms for one, _ in self._seen)
        if ahead_ms <= 0:
            return ahead_ms
        between = sorted(between_ms for _, between_ms in self._seen)
        return max(ahead_ms - 2 * between[len(between) // 2], 0)


def describe_skew(skew_ms: int) -> str:
    """One sentence for people."""
    direction = "ahead of" if skew_ms > 0 else "behind"
    return (
        f"this machine's clock is {abs(skew_ms) / 1000:.1f} s {direction} the chain's: synchronise it (timedatectl "
        "set-ntp true, or chrony), or certificates and signed URLs won't be accepted and logs mislead"
    )
