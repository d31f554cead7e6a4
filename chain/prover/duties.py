"""What each prover owes now, as rows that a restarted daemon can list."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from chain import schema

if TYPE_CHECKING:
    from chain.state.kv import KV, KVReader

# In place of a verification round, where the duty is an assignment.
NO_ROUND: Final = 0


class Duty(IntEnum):
    """Stored in keys: never renumbered."""

    ASSIGNMENT = 1
    VOTE = 2


def add_duty(kv: KV, operator: bytes, duty: Duty, task_id: int, round_: int = NO_ROUND) -> None:
    schema.DUTIES.add(kv, (operator, duty, task_id, round_))


def remove_duty(kv: KV, operator: bytes, duty: Duty, task_id: int, round_: int = NO_ROUND) -> None:
    schema.DUTIES.delete(kv, (operator, duty, task_id, round_))


def get_duties(kv: KVReader, operator: bytes, duty: Duty) -> list[tuple[int, int]]:
    """(task id, verification round or NO_ROUND), ascending."""
    return [(key[2], key[3]) for key in schema.DUTIES.keys(kv, prefix_of=(operator, duty))]  # a Map's own keys
