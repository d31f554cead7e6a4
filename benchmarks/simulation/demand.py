"""What users ask for: a mix of tasks, and how many of them at what time of the day."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proofmill.task.v1.state_pb2 import Input
from proofmill.task.v1.tx_pb2 import MsgRunTask
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, Resources

from chain.params import DAY_MS, GIB

if TYPE_CHECKING:
    from random import Random

    from benchmarks.simulation.engine import Wallet

_PUBLIC: Final = b'{"statement": 1}'
PUBLIC_INPUT: Final = Input(
    name="public.json",
    sha256=hashlib.sha256(_PUBLIC).digest(),
    size=len(_PUBLIC),
    inline=_PUBLIC,
    audience=AUDIENCE_BOTH,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of tasks, so many of a hundred."""

    name: str
    share: int
    cores: int
    gib: int
    gpus: int
    time_limit_s: int


# Fees: 106, 848, 12,709 and 35,000 ucredit.
MIX: Final = (
    Kind("small", 40, 1, 2, 0, 60),
    Kind("medium", 30, 4, 16, 0, 120),
    Kind("large", 20, 24, 96, 0, 300),
    Kind("GPU", 10, 16, 64, 1, 300),
)


def make_run(user: str, program: bytes, kind: Kind, redundancy: int = 1, queue_timeout_s: int = 3_600) -> MsgRunTask:
    return MsgRunTask(
        user=user,
        program_id=program,
        inputs=[PUBLIC_INPUT],
        resources=Resources(cpu_millis=kind.cores * 1_000, memory_bytes=kind.gib * GIB, gpus=kind.gpus),
        time_limit_s=kind.time_limit_s,
        redundancy=redundancy,
        max_fee=10**9,
        queue_timeout_s=queue_timeout_s,
    )


class Demand:
    """Tasks by the dice, from users in turn, each with one transaction a block at most."""

    def __init__(
        self,
        users: list[Wallet],
        program: bytes,
        dice: Random,
        *,
        peak_per_s: float,
        trough: float = 1.0,
        mix: tuple[Kind, ...] = MIX,
        redundant_percent: int = 0,
        queue_timeout_s: int = 3_600,
    ) -> None:
        """`trough`: the least load of the day as a share of the peak, which is at noon."""
        self._users = users
        self._dice = dice
        self._peak = peak_per_s
        self._trough = trough
        self._redundant_percent = redundant_percent
        self._kinds = [kind for kind in mix for _ in range(kind.share)]
        self._turn = 0
        self._messages = {
            (user.address, kind, redundancy): make_run(user.address, program, kind, redundancy, queue_timeout_s)
            for user in users
            for kind in mix
            for redundancy in (1, 3)
        }

    def rate(self, time_ms: int) -> float:
        """Tasks a second at that time of the day."""
        wave = (1 - math.cos(2 * math.pi * (time_ms % DAY_MS) / DAY_MS)) / 2
        return self._peak * (self._trough + (1 - self._trough) * wave)

    def draw(self, time_ms: int, after_ms: int) -> dict[Wallet, list[MsgRunTask]]:
        """Run messages by user for a block that follows so much later than the last."""
        wanted: dict[Wallet, list[MsgRunTask]] = {}
        for _ in range(_poisson(self._dice, self.rate(time_ms) * after_ms / 1_000)):
            user = self._users[self._turn % len(self._users)]
            self._turn += 1
            kind = self._kinds[self._dice.randrange(len(self._kinds))]
            redundancy = 3 if self._dice.randrange(100) < self._redundant_percent else 1
            wanted.setdefault(user, []).append(self._messages[user.address, kind, redundancy])
        return wanted


def _poisson(dice: Random, mean: float) -> int:
    """How many come, if so many come on average."""
    if mean > 50:
        return max(0, round(dice.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, dice.random()
    while product > limit:
        count += 1
        product *= dice.random()
    return count
