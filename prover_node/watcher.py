"""Asks the chain at every block what this prover owes.

New blocks are only a wake-up: whenever none is announced for a while the chain is asked all the same, and while
it can't be reached it is tried again, ever more slowly, one configured node after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

from client.errors import ClientError, NodeUnreachable, WrongChain
from prover_node.chain_link import ChainLink, says_unregistered
from prover_node.clock import ClockCheck
from prover_node.events import DutiesReported, StandingReported

_POLL_S = 2.0
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 8.0

log = structlog.get_logger("prover.watcher")


class Watcher:
    """Feeds ``report`` with the prover's standing and its duties for ever; ``clock`` is told of each block."""

    def __init__(
        self,
        link: ChainLink,
        report: Callable[[DutiesReported | StandingReported], Awaitable[None]],
        clock: ClockCheck,
    ) -> None:
        self._link = link
        self._report = report
        self._clock = clock
        self._wake = asyncio.Event()
        self._connected = False
        self._told = False

    @property
    def connected(self) -> bool:
        """Whether the chain answered the last question."""
        return self._connected

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._link.survey())
            group.create_task(self._listen())
            group.create_task(self._ask())

    async def _listen(self) -> None:
        while True:
            self._link.changed.clear()
            listening = asyncio.create_task(self._hear_blocks())
            changed = asyncio.create_task(self._link.changed.wait())
            try:
                done, _ = await asyncio.wait((listening, changed), return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (listening, changed):
                    task.cancel()
                await asyncio.gather(listening, changed, return_exceptions=True)
            self._wake.set()

    async def _hear_blocks(self) -> None:
        with contextlib.suppress(NodeUnreachable):
            async for header in self._link.new_blocks():
                self._clock.block(header.time_ms, int(time.time() * 1000))
                self._wake.set()
        # Whoever asks finds out too, says so and changes the node.
        await asyncio.sleep(_POLL_S)

    async def _ask(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            self._wake.clear()
            try:
                if not self._connected:
                    await self._link.check_chain()
                standing = await self._link.standing()
                duties = await self._link.duties()
            except ClientError as error:
                if says_unregistered(error):
                    # Its first test begins in the block after its registration.
                    self._connected = True
                    await self._next_block()
                    continue
                if not self._told:
                    log.warning("the chain doesn't answer; trying again", node=self._link.url, reason=str(error))
                self._connected, self._told = False, True
                if isinstance(error, NodeUnreachable | WrongChain):
                    self._link.next_node()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                continue
            if not self._connected:
                log.info("the chain answers", node=self._link.url, height=duties.height)
            self._connected, self._told = True, False
            pause = _FIRST_PAUSE_S
            await self._report(StandingReported(standing))
            await self._report(duties)
            await self._next_block()

    async def _next_block(self) -> None:
        try:
            async with asyncio.timeout(_POLL_S):
                await self._wake.wait()
        except TimeoutError:
            log.debug("no block was announced; asking all the same")
