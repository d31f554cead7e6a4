"""Held faults: failures of which it turns out later whose they were (protocol §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.task.v1.state_pb2 import SLASH_KIND_FAULT

from chain import schema
from chain.params import BASIS_POINTS
from chain.prover.lifecycle import jail, note_duty_over
from chain.prover.slashing import slash
from chain.settlement.payouts import umill_worth

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Assignment, Progress, Task

    from chain.context import Context
    from chain.state.kv import KVReader


def get_held_faults(kv: KVReader, task_id: int) -> list[tuple[bytes, Assignment]]:
    """(operator, assignment) of everybody whose failure at the task is undecided, by operator."""
    rows = schema.ASSIGNMENTS.iterate(kv, prefix_of=(task_id,))
    return [(operator, assignment) for (_, operator), assignment in rows if assignment.held_fault]


def let_go(context: Context, task: Task) -> None:
    """Nobody knows whose fault it was, or it was nobody's."""
    for operator, assignment in get_held_faults(context.kv, task.id):
        _release(context, task, operator, assignment)


def punish(context: Context, task: Task, progress: Progress) -> int:
    """Another prover did it, so it was theirs: slash and jail them. The umill that the caller has to hand on."""
    harmed = 0
    fee_umill = umill_worth(context, task, task.fee)
    for operator, assignment in get_held_faults(context.kv, task.id):
        _release(context, task, operator, assignment)
        bond = schema.PROVERS.require(context.kv, operator).bond
        wanted = max(bond * context.terms(task).slash_fault_bp // BASIS_POINTS, fee_umill)
        reason = f"failed task {task.id}, which another prover did"
        harmed += slash(context, task.id, progress, operator, SLASH_KIND_FAULT, wanted, reason)
        jail(context, operator, reason)
    return harmed


def _release(context: Context, task: Task, operator: bytes, assignment: Assignment) -> None:
    assignment.held_fault = False
    schema.ASSIGNMENTS.set(context.kv, (task.id, operator), assignment)
    prover = schema.PROVERS.require(context.kv, operator)
    prover.held_faults -= 1
    schema.PROVERS.set(context.kv, operator, prover)
    note_duty_over(context, operator)
