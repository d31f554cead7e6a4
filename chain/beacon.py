"""The randomness of a block and sampling from it: protocol §1 "beacon" and §6.2.

Today the beacon is a hash of the previous block's hash: the proposer can bias it by withholding a block, nobody can
know it when they submit a task. Everything that draws goes through `Draw`, so a better beacon changes this file only.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEACON_TAG = b"proofmill/beacon/v1"
_DRAW_TAG = b"proofmill/draw/v1"


def compute_beacon(previous_block_hash: bytes, height: int) -> bytes:
    """32 bytes: the beacon of the block at `height`."""
    return hashlib.sha256(_BEACON_TAG + previous_block_hash + height.to_bytes(8, "big")).digest()


class Draw:
    """An endless stream of uniform integers: the same (beacon, purpose, number) gives the same stream everywhere."""

    __slots__ = ("_buffer", "_counter", "_seed")

    def __init__(self, beacon: bytes, purpose: bytes, number: int) -> None:
        self._seed = hashlib.sha256(_DRAW_TAG + beacon + purpose + number.to_bytes(8, "big")).digest()
        self._counter = 0
        self._buffer = b""

    def below(self, bound: int) -> int:
        """A uniform integer in [0, bound), bound ≥ 1, by rejection sampling of 64-bit words."""
        limit = (1 << 64) - (1 << 64) % bound
        while True:
            if not self._buffer:
                self._buffer = hashlib.sha256(self._seed + self._counter.to_bytes(8, "big")).digest()
                self._counter += 1
            word, self._buffer = int.from_bytes(self._buffer[:8], "big"), self._buffer[8:]
            if word < limit:
                return word % bound

    def permutation(self, size: int) -> Iterator[int]:
        """The numbers 0 … size − 1 in uniformly random order, each looked up in O(1): a lazy Fisher–Yates shuffle."""
        moved: dict[int, int] = {}
        for position in range(size):
            other = position + self.below(size - position)
            chosen = moved.get(other, other)
            moved[other] = moved.get(position, position)
            yield chosen
