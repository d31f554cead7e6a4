"""The order of service: lowest workflow, then lowest aggregation round, then program, then age (protocol §6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chain import schema

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Task

    from chain.state.kv import KV

# A task of its own is in no workflow and has nothing to aggregate.
_NO_WORKFLOW = 0
_NO_ROUND = 0


def _key(task: Task) -> tuple[int, int, bytes, int]:
    return _NO_WORKFLOW, _NO_ROUND, task.program_id, task.id


def enqueue(kv: KV, task: Task) -> None:
    schema.PENDING.add(kv, _key(task))


def dequeue(kv: KV, task: Task) -> None:
    schema.PENDING.delete(kv, _key(task))
