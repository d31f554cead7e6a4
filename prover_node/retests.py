"""Asking for a capacity test: how a jailed prover, or one that failed at joining, comes in. Decisions only."""

from __future__ import annotations

from collections.abc import Iterator

from prover_node.duties import Standing
from prover_node.effects import Effect, EntryKind, EntryRef, RequestTest
from prover_node.outbox import Outbox

_REF = EntryRef(EntryKind.TEST, 0)


class Retests:
    """Asks as soon as the chain allows it, if it is to do so by itself."""

    def __init__(self, *, automatic: bool, outbox: Outbox) -> None:
        self._automatic = automatic
        self._outbox = outbox
        self._standing: Standing | None = None
        self.draining = False

    def report(self, standing: Standing) -> None:
        """What the chain thinks of this prover."""
        self._standing = standing
        if not standing.may_request_test_ms:
            self._outbox.drop(_REF.task_id)

    def owed_now(self, height: int, time_ms: int) -> Iterator[Effect]:
        """The request, if it may be made."""
        standing = self._standing
        if standing is None or not self._automatic or self.draining:
            return
        may_ask = 0 < standing.may_request_test_ms <= time_ms and standing.bond >= standing.bond_min
        if may_ask and self._outbox.take(_REF, height):
            yield RequestTest()
