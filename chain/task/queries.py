"""proofmill.task.v1.Query: a task's life in public state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.task.v1.query_pb2 import (
    QueryEstimateRequest,
    QueryEstimateResponse,
    QueryTaskRequest,
    QueryTaskResponse,
    QueryTasksRequest,
    QueryTasksResponse,
    TaskView,
)
from proofmill.task.v1.state_pb2 import TASK_STATUS_UNSPECIFIED
from proofmill.verification.v1.state_pb2 import RoundView

from chain import schema
from chain.address import decode_address
from chain.amount import MAX_AMOUNT
from chain.errors import FEE_ABOVE_MAX, TASK_INVALID
from chain.fields import check_address, check_resources
from chain.pricing import price
from chain.program.queries import find_program
from chain.program.stats import compute_advised_time_limit_s, get_stats
from chain.query_context import page_range, paginate
from chain.task.run_handler import check_demand, check_run_limits
from chain.task.store import require_progress, require_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chain.query_context import QueryContext
    from chain.state.kv import KVReader


def query_task(context: QueryContext, request: QueryTaskRequest) -> QueryTaskResponse:
    kv, task_id = context.kv, request.task_id
    task = require_task(kv, task_id)
    progress = require_progress(kv, task_id)
    response = QueryTaskResponse(
        task=TaskView(task=task, progress=progress),
        assignments=[row for _, row in schema.ASSIGNMENTS.iterate(kv, prefix_of=(task_id,))],
        rounds=[
            RoundView(
                round=round_,
                votes=[vote for _, vote in schema.VOTES.iterate(kv, prefix_of=(task_id, round_.round))],
            )
            for _, round_ in schema.ROUNDS.iterate(kv, prefix_of=(task_id,))
        ],
    )
    if progress.prover:
        response.prover_endpoints.extend(schema.PROVERS.require(kv, decode_address(progress.prover)).endpoints)
    return response


def query_tasks(context: QueryContext, request: QueryTasksRequest) -> QueryTasksResponse:
    kv = context.kv
    user = check_address(request.user, "user") if request.user else None

    def rows(start: bytes, reverse: bool) -> Iterator[tuple[bytes, TaskView]]:
        for task_id in _task_ids(kv, user, start, reverse):
            view = TaskView(task=schema.TASKS.require(kv, task_id), progress=schema.PROGRESS.require(kv, task_id))
            yield task_id.to_bytes(8, "big"), view

    def keep(view: TaskView) -> bool:
        return request.status in (TASK_STATUS_UNSPECIFIED, view.progress.status)

    page, pagination = paginate(request.pagination, rows, keep, newest_first=True)
    return QueryTasksResponse(tasks=page, pagination=pagination)


def query_estimate(context: QueryContext, request: QueryEstimateRequest) -> QueryEstimateResponse:
    params = schema.PARAMS.require(context.kv)
    program = find_program(context.kv, request.program_id)
    resources = request.resources if request.HasField("resources") else program.spec.default_resources
    check_resources(resources, "resources", TASK_INVALID)
    redundancy = request.redundancy or 1
    check_demand(request.time_limit_s, redundancy)
    check_run_limits(params, program, resources, request.time_limit_s)
    fee = price(params, resources, request.time_limit_s, redundancy)
    if fee > MAX_AMOUNT:
        raise FEE_ABOVE_MAX.error(f"the task would cost {fee} ucredit, more than there can be: ask for less")
    stats = get_stats(context.kv, program.id, resources)
    advised = 0 if stats is None else compute_advised_time_limit_s(stats)
    return QueryEstimateResponse(fee=fee, resources=resources, stats=stats, advised_time_limit_s=advised)


def _task_ids(kv: KVReader, user: bytes | None, start: bytes, reverse: bool) -> Iterator[int]:
    """Task ids from the page key `start` on, of one user or of all."""
    low, high = (None if key is None else int.from_bytes(key, "big") for key in page_range(start, 8, reverse=reverse))
    if user is None:
        return schema.TASKS.keys(kv, start=low, end=high, reverse=reverse)
    return schema.TASKS_BY_USER.primary_keys(kv, user, start=low, end=high, reverse=reverse)
