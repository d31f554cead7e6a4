"""What happens to a task when block time passes. Each kind has its handler in chain.transition."""

from __future__ import annotations

from enum import IntEnum
from itertools import islice
from typing import TYPE_CHECKING

from chain import schema

if TYPE_CHECKING:
    from chain.state.kv import KV


# In one block: thousands of tasks may have been given the same deadline, to make a block last.
_DUE_MAX = 5_000


class Deadline(IntEnum):
    """Stored in keys: never renumbered. Of one time, the lower kind is handled first."""

    QUEUE = 1
    PROOF = 2
    COMMIT = 3
    REVEAL = 4


def set_deadline(kv: KV, time_ms: int, deadline: Deadline, task_id: int) -> None:
    schema.DEADLINES.add(kv, (time_ms, deadline, task_id))


def clear_deadline(kv: KV, time_ms: int, deadline: Deadline, task_id: int) -> None:
    schema.DEADLINES.delete(kv, (time_ms, deadline, task_id))


def take_due(kv: KV, due_ms: int) -> list[tuple[Deadline, int]]:
    """Remove and return what is due at or before `due_ms`, oldest first; what is too much for a block stays."""
    due = list(islice(schema.DEADLINES.keys(kv, end=(due_ms + 1, 0, 0)), _DUE_MAX))
    for key in due:
        schema.DEADLINES.delete(kv, key)
    return [(Deadline(kind), task_id) for _, kind, task_id in due]
