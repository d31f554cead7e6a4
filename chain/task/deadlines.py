"""What happens to a task when block time passes. Each kind has its handler in chain.transition."""

from __future__ import annotations

from enum import IntEnum
from itertools import islice
from typing import TYPE_CHECKING, Final

from chain import schema

if TYPE_CHECKING:
    from chain.state.kv import KV


# In one block: thousands of tasks may have been given the same deadline, to make a block last.
_DUE_MAX = 5_000
# In place of a prover, where a deadline is the whole task's.
WHOLE_TASK: Final = bytes(20)


class Deadline(IntEnum):
    """Stored in keys: never renumbered. Of one time, the lower kind is handled first."""

    QUEUE = 1
    PROOF = 2
    COMMIT = 3
    REVEAL = 4


def set_deadline(kv: KV, time_ms: int, deadline: Deadline, task_id: int, prover: bytes = WHOLE_TASK) -> None:
    """`prover`: the operator of whom, or on whose proof, something is due."""
    schema.DEADLINES.add(kv, (time_ms, deadline, task_id, prover))


def clear_deadline(kv: KV, time_ms: int, deadline: Deadline, task_id: int, prover: bytes = WHOLE_TASK) -> None:
    schema.DEADLINES.delete(kv, (time_ms, deadline, task_id, prover))


def take_due(kv: KV, due_ms: int) -> list[tuple[int, Deadline, int, bytes]]:
    """What is due at or before `due_ms`, oldest first, as (time, kind, task, prover); too much for a block stays.

    A handler may make later ones pointless, so each is removed by `take` only when its turn comes.
    """
    due = islice(schema.DEADLINES.keys(kv, end=(due_ms + 1, 0, 0, WHOLE_TASK)), _DUE_MAX)
    return [(time_ms, Deadline(kind), task_id, prover) for time_ms, kind, task_id, prover in due]


def take(kv: KV, row: tuple[int, Deadline, int, bytes]) -> bool:
    """Remove a due deadline; whether it was still there."""
    there = schema.DEADLINES.has(kv, row)
    if there:
        schema.DEADLINES.delete(kv, row)
    return there
