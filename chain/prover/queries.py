"""proofmill.prover.v1.Query: everything that decides who may work, and what each prover owes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.prover.v1.query_pb2 import (
    AssignmentDuty,
    QueryProverDutiesRequest,
    QueryProverDutiesResponse,
    QueryProverRequest,
    QueryProverResponse,
    QueryProversRequest,
    QueryProversResponse,
    QueryProverStatusRequest,
    QueryProverStatusResponse,
    VoteDuty,
)
from proofmill.prover.v1.state_pb2 import (
    PROVER_STATUS_ACTIVE,
    PROVER_STATUS_JOINING,
    PROVER_STATUS_UNSPECIFIED,
    Prover,
    ProverStatus,
)

from chain import schema
from chain.address import decode_address
from chain.errors import PROVER_NOT_FOUND
from chain.fields import check_address
from chain.prover.duties import Duty, get_duties
from chain.prover.registry import count_recent, free_resources
from chain.query_context import map_rows, paginate

if TYPE_CHECKING:
    from chain.query_context import QueryContext
    from chain.state.kv import KVReader


def query_prover(context: QueryContext, request: QueryProverRequest) -> QueryProverResponse:
    _, prover = find_prover(context.kv, request.address)
    return QueryProverResponse(prover=prover)


def query_provers(context: QueryContext, request: QueryProversRequest) -> QueryProversResponse:
    def keep(prover: Prover) -> bool:
        return request.status in (PROVER_STATUS_UNSPECIFIED, prover.status)

    page, pagination = paginate(request.pagination, map_rows(schema.PROVERS, context.kv, 20), keep)
    return QueryProversResponse(provers=page, pagination=pagination)


def query_prover_status(context: QueryContext, request: QueryProverStatusRequest) -> QueryProverStatusResponse:
    kv = context.kv
    operator, prover = find_prover(kv, request.address)
    params = schema.PARAMS.require(kv)
    declines = count_recent(list(prover.declines_ms), context.time_ms, params.decline_window_ms)
    return QueryProverStatusResponse(
        status=prover.status,
        may_work=prover.status == PROVER_STATUS_ACTIVE,
        reason=_explain(prover),
        free=free_resources(prover),
        misses=len(count_recent(list(prover.misses_ms), context.time_ms, params.miss_window_ms)),
        misses_to_jail=params.misses_to_jail,
        declines_left=max(0, params.decline_limit - len(declines)),
        open_assignments=len(get_duties(kv, operator, Duty.ASSIGNMENT)),
        open_votes=len(get_duties(kv, operator, Duty.VOTE)),
    )


def query_prover_duties(context: QueryContext, request: QueryProverDutiesRequest) -> QueryProverDutiesResponse:
    operator, _ = find_prover(context.kv, request.address)
    return QueryProverDutiesResponse(
        height=context.height,
        time_ms=context.time_ms,
        assignments=[
            _assignment_duty(context.kv, operator, task_id)
            for task_id in get_duties(context.kv, operator, Duty.ASSIGNMENT)
        ],
        votes=[_vote_duty(context.kv, operator, task_id) for task_id in get_duties(context.kv, operator, Duty.VOTE)],
    )


def find_prover(kv: KVReader, text: str) -> tuple[bytes, Prover]:
    """(operator address, prover) of an operator's or a node key's address."""
    address = check_address(text, "address")
    operator = schema.PROVERS_BY_NODE.get(kv, address) or address
    prover = schema.PROVERS.get(kv, operator)
    if prover is None:
        raise PROVER_NOT_FOUND.error(f"{text} is neither the operator nor the node key of a prover: register it first")
    return operator, prover


def _explain(prover: Prover) -> str:
    if prover.status == PROVER_STATUS_ACTIVE:
        return "active: may be drawn while its free resources last"
    if prover.status == PROVER_STATUS_JOINING:
        return "joining: its capacity test is outstanding, so it can't be drawn yet"
    return f"{ProverStatus.Name(prover.status).removeprefix('PROVER_STATUS_').lower()}: can't be drawn"


def _assignment_duty(kv: KVReader, operator: bytes, task_id: int) -> AssignmentDuty:
    task = schema.TASKS.require(kv, task_id)
    return AssignmentDuty(
        task=task,
        assignment=schema.ASSIGNMENTS.require(kv, (task_id, operator)),
        program=schema.PROGRAMS.require(kv, task.program_id),
    )


def _vote_duty(kv: KVReader, operator: bytes, task_id: int) -> VoteDuty:
    task = schema.TASKS.require(kv, task_id)
    progress = schema.PROGRESS.require(kv, task_id)
    return VoteDuty(
        task=task,
        progress=progress,
        round=schema.ROUNDS.require(kv, (task_id, progress.round)),
        vote=schema.VOTES.require(kv, (task_id, progress.round, operator)),
        program=schema.PROGRAMS.require(kv, task.program_id),
        prover_endpoints=schema.PROVERS.require(kv, decode_address(progress.prover)).endpoints,
    )
