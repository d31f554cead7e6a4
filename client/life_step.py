"""What a task's life is told in: steps, in the order in which a block does things."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Rank(IntEnum):
    """The order of steps of one attempt and height."""

    CREATED = 0
    EXPIRED = 1
    OFFERED = 2
    ACCEPTED = 3
    DECLINED = 4
    COMMITTED = 5
    PROVED = 6
    ENDED_WITHOUT_PROOF = 7
    COMMITTEE = 8
    VOTES_COMMITTED = 9
    VOTES_REVEALED = 10
    DECIDED = 11
    SLASHED = 12
    FALLBACK = 13
    LET_GO = 14
    PAID = 15
    ENDED = 16


@dataclass(frozen=True)
class Step:
    """Something that happened at a height. ``name`` is one word or two, ``text`` says it in full.

    ``height`` is 0 and ``time_ms`` 0 where the state doesn't tell; ``attempt`` and ``rank`` order the steps of one
    height.
    """

    name: str
    text: str
    height: int = 0
    time_ms: int = 0
    attempt: int = 1
    rank: Rank = Rank.CREATED

    @property
    def order(self) -> tuple[int, int, int]:
        return self.height, self.attempt, self.rank
