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
    PROVER_STATUS_EXITED,
    PROVER_STATUS_EXITING,
    PROVER_STATUS_JAILED,
    PROVER_STATUS_JOINING,
    PROVER_STATUS_UNSPECIFIED,
    TEST_RESULT_FAILED,
    Prover,
    ProverStatus,
)

from chain import schema
from chain.address import decode_address
from chain.amount import format_amount
from chain.errors import PROVER_NOT_FOUND
from chain.fields import check_address
from chain.prover.duties import Duty, get_duties
from chain.prover.registry import count_recent, free_resources
from chain.query_context import map_rows, paginate

if TYPE_CHECKING:
    from proofmill.params.v1.state_pb2 import Params

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
    testing = bool(prover.test_due or prover.test_task_id)
    outside = prover.status in (PROVER_STATUS_JOINING, PROVER_STATUS_JAILED)
    may_request = outside and not testing and bool(params.capacity_program)
    # Who was never tested needn't wait.
    request_ms = prover.test_ended_ms + params.test_retry_ms if prover.test_ended_ms else context.time_ms
    return QueryProverStatusResponse(
        status=prover.status,
        may_work=prover.status == PROVER_STATUS_ACTIVE and not testing,
        reason=_explain(prover, params),
        free=free_resources(prover),
        misses=len(count_recent(list(prover.misses_ms), context.time_ms, params.miss_window_ms)),
        misses_to_jail=params.misses_to_jail,
        declines_left=max(0, params.decline_limit - len(declines)),
        open_assignments=len(get_duties(kv, operator, Duty.ASSIGNMENT)),
        open_votes=len(get_duties(kv, operator, Duty.VOTE)),
        bond=prover.bond,
        bond_min=params.prover_bond_min,
        held_faults=prover.held_faults,
        test_task_id=prover.test_task_id,
        test_due=prover.test_due,
        test_result=prover.test_result,
        test_ended_ms=prover.test_ended_ms,
        next_idle_test_ms=prover.idle_check_ms if params.capacity_program else 0,
        may_request_test_ms=request_ms if may_request else 0,
        exit_ms=prover.exit_ms,
        next_decline_ms=declines[0] + params.decline_window_ms if declines else 0,
    )


def query_prover_duties(context: QueryContext, request: QueryProverDutiesRequest) -> QueryProverDutiesResponse:
    operator, _ = find_prover(context.kv, request.address)
    return QueryProverDutiesResponse(
        height=context.height,
        time_ms=context.time_ms,
        assignments=[
            _assignment_duty(context.kv, operator, task_id)
            for task_id, _ in get_duties(context.kv, operator, Duty.ASSIGNMENT)
        ],
        votes=[
            _vote_duty(context.kv, operator, task_id, round_)
            for task_id, round_ in get_duties(context.kv, operator, Duty.VOTE)
        ],
    )


def find_prover(kv: KVReader, text: str) -> tuple[bytes, Prover]:
    """(operator address, prover) of an operator's or a node key's address."""
    address = check_address(text, "address")
    operator = schema.PROVERS_BY_NODE.get(kv, address) or address
    prover = schema.PROVERS.get(kv, operator)
    if prover is None:
        raise PROVER_NOT_FOUND.error(f"{text} is neither the operator nor the node key of a prover: register it first")
    return operator, prover


def _explain(prover: Prover, params: Params) -> str:
    """One sentence: what the prover may do now, why, and what would change it."""
    status = ProverStatus.Name(prover.status).removeprefix("PROVER_STATUS_").lower()
    if prover.test_task_id:
        return f"{status}: does the capacity test of task {prover.test_task_id} now, and is offered nothing meanwhile"
    if prover.test_due:
        return f"{status}: a capacity test begins once its running work is done, and it is offered nothing until then"
    if prover.status == PROVER_STATUS_ACTIVE:
        return "active: may be drawn while its free resources last"
    if prover.bond < params.prover_bond_min and prover.status != PROVER_STATUS_EXITED:
        least = format_amount(params.prover_bond_min, "umill")
        return f"{status}: {prover.jail_reason}; top the bond up to at least {least}, then ask for a capacity test"
    if prover.status == PROVER_STATUS_JAILED:
        return f"jailed: {prover.jail_reason}; it is active again once it asks for a capacity test and passes"
    if prover.status == PROVER_STATUS_JOINING:
        if prover.test_result == TEST_RESULT_FAILED:
            return "joining: it failed its capacity test, and may ask for another"
        return "joining: not tested yet; it is admitted once it asks for a capacity test and passes"
    if prover.status == PROVER_STATUS_EXITING:
        return "exiting: takes no new work; its bond is returned once the cooldown after its last duty is over"
    return "exited: its bond was returned"


def _assignment_duty(kv: KVReader, operator: bytes, task_id: int) -> AssignmentDuty:
    task = schema.TASKS.require(kv, task_id)
    return AssignmentDuty(
        task=task,
        assignment=schema.ASSIGNMENTS.require(kv, (task_id, operator)),
        program=schema.PROGRAMS.require(kv, task.program_id),
    )


def _vote_duty(kv: KVReader, operator: bytes, task_id: int, number: int) -> VoteDuty:
    task = schema.TASKS.require(kv, task_id)
    round_ = schema.ROUNDS.require(kv, (task_id, number))
    judged = decode_address(round_.prover)
    return VoteDuty(
        task=task,
        proof=schema.ASSIGNMENTS.require(kv, (task_id, judged)).proof,
        round=round_,
        vote=schema.VOTES.require(kv, (task_id, number, operator)),
        program=schema.PROGRAMS.require(kv, task.program_id),
        prover_endpoints=schema.PROVERS.require(kv, judged).endpoints,
    )
