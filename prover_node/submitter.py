"""Sends what is owed: everything that came up meanwhile in one transaction, then the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from chain.ante import FREE_ENTRIES_MAX
from client.errors import ClientError
from prover_node.chain_link import ChainLink
from prover_node.effects import Entry, EntryRef
from prover_node.events import TxFailed
from prover_node.messages import Batch, Rejection, make_batches

# Keeps a transaction well below the limits on its size and gas.
_ENTRIES_MAX = FREE_ENTRIES_MAX

log = structlog.get_logger("prover.submitter")


class Submitter:
    """What is owed at one moment is sent together; what comes up meanwhile waits until that is in a block."""

    def __init__(
        self,
        link: ChainLink,
        node: str,
        endpoints: Sequence[str],
        report: Callable[[TxFailed], Awaitable[None]],
        refused: Callable[[Rejection], None],
    ) -> None:
        self._link = link
        self.node = node
        """Address of the node key; it may be changed."""
        self._endpoints = endpoints
        self._report = report
        self._refused = refused
        self._waiting: dict[EntryRef, Entry] = {}
        self._work = asyncio.Event()
        self.sent = 0
        self.failed = 0

    def add(self, entry: Entry) -> None:
        """Have ``entry`` sent with the next transaction."""
        self._waiting[entry.ref] = entry
        self._work.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            entries, self._waiting = list(self._waiting.values()), {}
            batches = [
                batch
                for first in range(0, len(entries), _ENTRIES_MAX)
                for batch in make_batches(entries[first : first + _ENTRIES_MAX], self.node, self._endpoints)
            ]
            # Side by side: a vote that waited behind the reports of several failures could come too late.
            await asyncio.gather(*map(self._send, batches))

    async def _send(self, batch: Batch) -> None:
        names = [f"{ref.kind.value} {ref.task_id}" for ref in batch.refs]
        about = _about(batch)
        try:
            outcome = await self._link.send(batch.messages)
            rejections = batch.rejections(outcome)
        except (ClientError, ValueError) as error:
            # The next block's report tells whether it is still owed.
            self.failed += 1
            log.warning("a transaction failed", **about, entries=names, reason=str(error))
            await self._report(TxFailed(batch.refs))
            return
        self.sent += 1
        log.info("a transaction was included", **about, entries=names, height=outcome.height, hash=outcome.hash)
        for rejection in rejections:
            self._refused(rejection)


def _about(batch: Batch) -> dict[str, object]:
    """The tasks that a transaction is about, as a log line names them."""
    tasks = sorted({ref.task_id for ref in batch.refs if ref.task_id})
    return {"task": tasks[0]} if len(tasks) == 1 else {"tasks": tasks}
