"""Strikes: tasks at which both a prover and its fallback failed (protocol §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.program.v1.event_pb2 import EventProgramBlocked, EventProgramStruck
from proofmill.program.v1.state_pb2 import PROGRAM_STATUS_BLOCKED, Strike

from chain import schema

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Task

    from chain.context import Context


def add_strike(context: Context, task: Task, first_prover: str) -> None:
    """Count a strike, and block the program at the last one that may be.

    Strikes count by the prover that failed first: of one prover's within the window the latest counts.
    """
    kv, params, now = context.kv, context.params, context.block.time_ms
    program = schema.PROGRAMS.require(kv, task.program_id)
    strikes = [
        strike
        for strike in program.strikes
        if strike.time_ms + params.program_strike_window_ms > now and strike.prover != first_prover
    ]
    strikes.append(Strike(time_ms=now, prover=first_prover, task_id=task.id))
    del program.strikes[:]
    program.strikes.extend(strikes)
    context.emit(EventProgramStruck(program_id=task.program_id, task_id=task.id, strikes=len(strikes)))
    if len(strikes) >= params.program_strikes_max and program.status != PROGRAM_STATUS_BLOCKED:
        program.status = PROGRAM_STATUS_BLOCKED
        context.emit(EventProgramBlocked(program_id=task.program_id))
    schema.PROGRAMS.set(kv, task.program_id, program)
