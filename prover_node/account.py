"""What the chain's books say of this prover: asked for now and then, for people and metrics."""

from __future__ import annotations

import asyncio
import time

from proofmill.prover.v1.state_pb2 import Prover

from client.errors import ClientError
from prover_node.chain_link import ChainLink
from prover_node.earnings import Earnings, Gain

_ASK_S = 15.0


class Account:
    """The newest answer; ``prover`` is ``None`` before the first, and while the chain knows no such prover."""

    def __init__(self, link: ChainLink, earnings: Earnings) -> None:
        self._link = link
        self._earnings = earnings
        self.prover: Prover | None = None
        self.node_umill = 0
        """What the node key has for fees."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.ask()
            except ClientError:
                await asyncio.sleep(1)  # the watcher tells of an unreachable chain
            else:
                await asyncio.sleep(_ASK_S)

    async def ask(self) -> None:
        """Ask once; raises ClientError if the chain doesn't answer."""
        self.prover = await self._link.prover()
        if self.prover is not None:
            self.node_umill = await self._link.balance(self.prover.node)
            self._earnings.note(int(time.time() * 1000), self.prover.earned_umill)

    @property
    def last_day(self) -> Gain:
        """What was earned in the last 24 hours, as far as that was noted down."""
        earned = self.prover.earned_umill if self.prover is not None else 0
        return self._earnings.last_day(int(time.time() * 1000), earned)
