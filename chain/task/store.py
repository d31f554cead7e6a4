"""Reading tasks for handlers: what doesn't exist is an error with a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chain import schema
from chain.errors import NOT_ASSIGNED, TASK_NOT_FOUND

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Assignment, Progress, Task

    from chain.state.kv import KVReader


def require_progress(kv: KVReader, task_id: int) -> Progress:
    progress = schema.PROGRESS.get(kv, task_id)
    if progress is None:
        raise TASK_NOT_FOUND.error(f"there is no task {task_id}")
    return progress


def require_task(kv: KVReader, task_id: int) -> Task:
    task = schema.TASKS.get(kv, task_id)
    if task is None:
        raise TASK_NOT_FOUND.error(f"there is no task {task_id}")
    return task


def require_assignment(kv: KVReader, task_id: int, operator: bytes) -> Assignment:
    """The prover's assignment, whatever became of it; NOT_ASSIGNED if it was never drawn for the task."""
    assignment = schema.ASSIGNMENTS.get(kv, (task_id, operator))
    if assignment is None:
        raise NOT_ASSIGNED.error(f"this prover was never drawn for task {task_id}")
    return assignment
