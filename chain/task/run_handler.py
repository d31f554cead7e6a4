"""MsgRunTask: the request, its price and its escrow (protocol §6.1)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from proofmill.program.v1.state_pb2 import PROGRAM_STATUS_ACTIVE
from proofmill.task.v1.event_pb2 import EventTaskCreated
from proofmill.task.v1.state_pb2 import TASK_STATUS_PENDING, Input, Progress, Task
from proofmill.task.v1.tx_pb2 import MsgRunTask, MsgRunTaskResponse
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, AUDIENCE_PROVER, AUDIENCE_VERIFIER, Resources

from chain import schema
from chain.address import decode_address
from chain.amount import MAX_AMOUNT, format_amount
from chain.bank.ledger import escrow_ucredit
from chain.errors import (
    FEE_ABOVE_MAX,
    NOT_SUPPORTED,
    PROGRAM_NOT_ACTIVE,
    PROGRAM_NOT_FOUND,
    RESOURCES_TOO_LARGE,
    TASK_INVALID,
)
from chain.fields import check_address, check_name, check_resources, check_sha256, check_urls, fits
from chain.pricing import price
from chain.task.attempt import open_slots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proofmill.params.v1.state_pb2 import Params
    from proofmill.program.v1.state_pb2 import Program

    from chain.context import Context
    from chain.state.kv import KVReader

REDUNDANCY_MAX = 5
_AUDIENCES = (AUDIENCE_PROVER, AUDIENCE_VERIFIER, AUDIENCE_BOTH)


def validate_run_task(message: MsgRunTask) -> None:
    check_address(message.user, "user")
    check_sha256(message.program_id, "program_id", TASK_INVALID)
    if message.HasField("resources"):
        check_resources(message.resources, "resources", TASK_INVALID)
    check_demand(message.time_limit_s, message.redundancy)
    if not message.queue_timeout_s:
        raise TASK_INVALID.error("queue_timeout_s is 0: state how many seconds the task may wait for a prover")
    if message.prover_set:
        raise NOT_SUPPORTED.error("custom prover sets aren't supported yet: leave prover_set empty")
    if message.commitment and len(message.commitment) != 32:
        raise TASK_INVALID.error(f"commitment has {len(message.commitment)} bytes: leave it out or give 32")
    if message.max_fee > MAX_AMOUNT:
        raise TASK_INVALID.error(f"max_fee is {message.max_fee} ucredit, more than {MAX_AMOUNT}")
    _validate_inputs(message.inputs)


def execute_run_task(context: Context, message: MsgRunTask) -> MsgRunTaskResponse:
    kv, params, block = context.kv, context.params, context.block
    program = require_active_program(kv, message.program_id)
    resources = message.resources if message.HasField("resources") else program.spec.default_resources
    check_run_limits(params, program, resources, message.time_limit_s)
    if message.queue_timeout_s > params.queue_timeout_max_s:
        raise TASK_INVALID.error(
            f"queue_timeout_s is {message.queue_timeout_s}, more than {params.queue_timeout_max_s}"
        )
    _check_input_limits(params, message.inputs)
    fee = price(params, resources, message.time_limit_s, message.redundancy)
    if fee > message.max_fee:
        raise FEE_ABOVE_MAX.error(
            f"the task costs {format_amount(fee, 'ucredit')}, more than max_fee, "
            f"{format_amount(message.max_fee, 'ucredit')}: raise it or ask for less"
        )
    user = decode_address(message.user)
    escrow_ucredit(kv, user, fee)
    task_id = schema.TASK_IDS.next(kv)
    moved = (
        program.spec.prover.bytes
        + sum(item.size for item in message.inputs if item.audience != AUDIENCE_VERIFIER)
        + sum(asset.bytes for asset in program.spec.assets if asset.audience != AUDIENCE_VERIFIER)
    )
    task = Task(
        id=task_id,
        user=message.user,
        program_id=message.program_id,
        inputs=message.inputs,
        resources=resources,
        time_limit_s=message.time_limit_s,
        redundancy=message.redundancy,
        max_fee=message.max_fee,
        commitment=message.commitment,
        fee=fee,
        created_height=block.height,
        created_ms=block.time_ms,
        queue_timeout_s=message.queue_timeout_s,
        transfer_ms=params.transfer_allowance_ms + 1_000 * (moved // params.transfer_bytes_per_second),
        params_version=params.version,
    )
    schema.TASKS.set(kv, task_id, task)
    queue_deadline_ms = block.time_ms + message.queue_timeout_s * 1_000
    progress = Progress(status=TASK_STATUS_PENDING, attempt=1, queue_deadline_ms=queue_deadline_ms)
    open_slots(context, task, progress, task.redundancy)
    schema.PROGRESS.set(kv, task_id, progress)
    context.emit(EventTaskCreated(task_id=task_id, user=message.user, program_id=message.program_id, fee=fee))
    return MsgRunTaskResponse(task_id=task_id, fee=fee)


def require_active_program(kv: KVReader, program_id: bytes) -> Program:
    program = schema.PROGRAMS.get(kv, program_id)
    if program is None:
        raise PROGRAM_NOT_FOUND.error(f"there is no program {program_id.hex()}: deploy it first")
    if program.status != PROGRAM_STATUS_ACTIVE:
        raise PROGRAM_NOT_ACTIVE.error("the program is deprecated or blocked, so it takes no new tasks")
    return program


def check_demand(time_limit_s: int, redundancy: int) -> None:
    """What a run must ask for, as far as that needs no state; `Estimate` applies the same."""
    if not time_limit_s:
        raise TASK_INVALID.error("time_limit_s is 0: state how many seconds the prover may take")
    if not 1 <= redundancy <= REDUNDANCY_MAX:
        raise TASK_INVALID.error(f"redundancy is {redundancy}: have 1 to {REDUNDANCY_MAX} provers do the task")


def check_run_limits(params: Params, program: Program, resources: Resources, time_limit_s: int) -> None:
    """What a run may ask for; `Estimate` applies the same."""
    if not fits(resources, program.spec.max_resources):
        raise RESOURCES_TOO_LARGE.error("the task asks for more resources than the program's max_resources")
    if time_limit_s > params.time_limit_max_s:
        raise TASK_INVALID.error(f"time_limit_s is {time_limit_s}, more than {params.time_limit_max_s}")


def _validate_inputs(inputs: Sequence[Input]) -> None:
    names: dict[str, None] = {}
    for item in inputs:
        check_name(item.name, "the name of an input", TASK_INVALID)
        if item.name in names:
            raise TASK_INVALID.error(f"two inputs are named {item.name}")
        names[item.name] = None
        check_sha256(item.sha256, f"the sha256 of input {item.name}", TASK_INVALID)
        if item.audience not in _AUDIENCES:
            raise TASK_INVALID.error(f"input {item.name}: say whether the prover, the verifier or both get it")
        if item.urls:
            check_urls(item.urls, f"the URLs of input {item.name}", TASK_INVALID, required=True)
            if item.inline:
                raise TASK_INVALID.error(f"input {item.name} has both URLs and inline bytes: give one of them")
        elif len(item.inline) != item.size or hashlib.sha256(item.inline).digest() != item.sha256:
            raise TASK_INVALID.error(f"input {item.name}: its size or sha256 is not that of its inline bytes")


def _check_input_limits(params: Params, inputs: Sequence[Input]) -> None:
    if len(inputs) > params.inputs_max:
        raise TASK_INVALID.error(f"the task has {len(inputs)} inputs, more than {params.inputs_max}")
    for item in inputs:
        if len(item.inline) > params.inline_max_bytes:
            raise TASK_INVALID.error(
                f"input {item.name} has {len(item.inline)} inline bytes, more than {params.inline_max_bytes}: "
                "publish it and give its URL"
            )
        if item.size > params.blob_max_bytes:
            raise TASK_INVALID.error(f"input {item.name} has {item.size} bytes, more than {params.blob_max_bytes}")
