"""What each prover owes now, as rows that a restarted daemon can list."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from chain import schema

if TYPE_CHECKING:
    from chain.state.kv import KV, KVReader


class Duty(IntEnum):
    """Stored in keys: never renumbered."""

    ASSIGNMENT = 1
    VOTE = 2


def add_duty(kv: KV, operator: bytes, duty: Duty, task_id: int) -> None:
    schema.DUTIES.add(kv, (operator, duty, task_id))


def remove_duty(kv: KV, operator: bytes, duty: Duty, task_id: int) -> None:
    schema.DUTIES.delete(kv, (operator, duty, task_id))


def get_duties(kv: KVReader, operator: bytes, duty: Duty) -> list[int]:
    """Task ids, ascending."""
    return [key[2] for key in schema.DUTIES.keys(kv, prefix_of=(operator, duty))]  # a Map's own keys
