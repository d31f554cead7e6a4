"""When to send an entry, and when to send it again.

An entry is owed until the chain's state shows it done, and a repeat of a done one is a success without
effect, so the outbox only decides how often to try: at once, then after a few blocks, then ever more rarely.
"""

from __future__ import annotations

from dataclasses import dataclass

from prover_node.effects import EntryRef

# A transaction takes one or two blocks; an accept window has three, so a lost accept gets a second chance.
_FIRST_WAIT_BLOCKS = 2
_LONGEST_WAIT_BLOCKS = 32


@dataclass(slots=True)
class _Sent:
    next_height: int
    wait_blocks: int


class Outbox:
    """From which height on each entry may be sent again."""

    def __init__(self) -> None:
        self._sent: dict[EntryRef, _Sent] = {}

    def take(self, ref: EntryRef, height: int) -> bool:
        """Whether the entry, owed at ``height``, should be sent now; if so it counts as sent."""
        sent = self._sent.get(ref)
        if sent is None:
            self._sent[ref] = _Sent(height + _FIRST_WAIT_BLOCKS, _FIRST_WAIT_BLOCKS)
            return True
        if height < sent.next_height:
            return False
        sent.wait_blocks = min(2 * sent.wait_blocks, _LONGEST_WAIT_BLOCKS)
        sent.next_height = height + sent.wait_blocks
        return True

    def not_sent(self, ref: EntryRef, height: int) -> None:
        """The entry's transaction didn't get into a block: the next report may send it again."""
        sent = self._sent.get(ref)
        if sent is not None:
            sent.next_height = height + 1

    def drop(self, task_id: int, round_: int = 0) -> None:
        """Forget an assignment's entries (``round_`` 0) or a seat's."""
        for ref in [ref for ref in self._sent if ref.task_id == task_id and ref.round == round_]:
            del self._sent[ref]
