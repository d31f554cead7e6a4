"""How runs of a program went, by class of resources: what an estimate's advice is made of, never money."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.program.v1.state_pb2 import ProgramStats

from chain import schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proofmill.task.v1.state_pb2 import Task, Usage
    from proofmill.types.v1.types_pb2 import Resources

    from chain.state.kv import KV, KVReader

# Enough for a twentieth to mean something.
_RUNS_KEPT = 40


def compute_cpu_class(resources: Resources) -> int:
    """The least n for which 2^n cores are enough."""
    cores = -(-resources.cpu_millis // 1_000)
    return max(0, cores - 1).bit_length()


def get_stats(kv: KVReader, program_id: bytes, resources: Resources) -> ProgramStats | None:
    return schema.PROGRAM_STATS.get(kv, (program_id, compute_cpu_class(resources), resources.gpus))


def record_success(kv: KV, task: Task, usages: Sequence[Usage]) -> None:
    """A task was done; one usage for each valid proof."""
    stats = _get_or_new(kv, task)
    stats.succeeded += 1
    walls = [*stats.wall_ms, *(usage.wall_ms for usage in usages if usage.wall_ms)]
    stats.wall_ms[:] = walls[-_RUNS_KEPT:]
    stats.peak_memory_bytes = max(stats.peak_memory_bytes, *(usage.peak_memory_bytes for usage in usages))
    _store(kv, task, stats)


def record_failure(kv: KV, task: Task) -> None:
    """A task failed, its fallback included."""
    stats = _get_or_new(kv, task)
    stats.failed += 1
    _store(kv, task, stats)


def compute_advised_time_limit_s(stats: ProgramStats) -> int:
    """Half as much again as the slowest twentieth of the last successful runs took, in whole seconds; 0 without any."""
    walls = sorted(stats.wall_ms)
    if not walls:
        return 0
    slow = walls[(len(walls) * 19 - 1) // 20]
    return -(-slow * 3 // 2_000)


def _get_or_new(kv: KVReader, task: Task) -> ProgramStats:
    stats = get_stats(kv, task.program_id, task.resources)
    return stats or ProgramStats(cpu_class=compute_cpu_class(task.resources), gpus=task.resources.gpus)


def _store(kv: KV, task: Task, stats: ProgramStats) -> None:
    schema.PROGRAM_STATS.set(kv, (task.program_id, stats.cpu_class, stats.gpus), stats)
