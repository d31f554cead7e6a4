"""proofmill.task.v1.MsgRunTask: the request, its price and its escrow (protocol §6.1)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from proofmill.program.v1.state_pb2 import Asset
from proofmill.task.v1.state_pb2 import TASK_STATUS_PENDING, Input
from proofmill.task.v1.tx_pb2 import MsgRunTask, MsgRunTaskResponse
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, AUDIENCE_PROVER, AUDIENCE_VERIFIER, Resources

from chain import schema
from chain.errors import (
    FEE_ABOVE_MAX,
    INSUFFICIENT_FUNDS,
    INVALID_ADDRESS,
    NOT_SUPPORTED,
    PROGRAM_NOT_FOUND,
    RESOURCES_TOO_LARGE,
    TASK_INVALID,
)
from chain.params import GIB, MIB
from tests.support.envelope import account_of
from tests.support.life import deploy, make_run, make_spec, task_of
from tests.support.network import ALICE, BOB, Key, Network, make_tx
from tests.support.refusals import refuse, refuse_raw
from tests.support.sends import make_send

if TYPE_CHECKING:
    from collections.abc import Callable


def make_input(name: str = "witness", size: int = 64 * MIB, **changes: Any) -> Input:
    fields: dict[str, Any] = {
        "name": name,
        "urls": ["https://host/witness"],
        "sha256": bytes(32),
        "size": size,
        "audience": AUDIENCE_PROVER,
    }
    return Input(**fields | changes)


def make_inline(content: bytes, name: str = "inline") -> Input:
    digest = hashlib.sha256(content).digest()
    return Input(name=name, sha256=digest, size=len(content), inline=content, audience=AUDIENCE_BOTH)


def test_basic(network: Network) -> None:
    program_id = deploy(network)
    before = account_of(network, ALICE)
    message = make_run(ALICE, program_id)
    message.commitment = bytes(32)
    result = network.deliver(ALICE, message)
    assert result.code == 0
    (event,) = result.events
    assert event.type == "proofmill.task.v1.EventTaskCreated"
    view = task_of(network, 1).task
    assert view.progress.status == TASK_STATUS_PENDING
    task = view.task
    assert task.user == ALICE.address
    assert task.fee == 18
    assert task.inputs == message.inputs
    assert task.resources == make_spec().default_resources
    assert task.commitment == bytes(32)
    assert (task.created_height, task.created_ms) == (network.height, network.time_ms)
    assert view.progress.queue_deadline_ms == network.time_ms + 60_000
    assert (view.progress.attempt, view.progress.slots_open, task.params_version) == (1, 1, 1)
    assert account_of(network, ALICE).ucredit == before.ucredit - 18
    assert schema.POOLS.require(network.values).escrow_ucredit == 18


def test_basic_ids_count_up(network: Network) -> None:
    program_id = deploy(network)
    for expected in (1, 2, 3):
        (response,) = network.execute(ALICE, make_run(ALICE, program_id))
        assert MsgRunTaskResponse.FromString(response) == MsgRunTaskResponse(task_id=expected, fee=18)


def test_basic_several_in_one_transaction(network: Network) -> None:
    program_id = deploy(network)
    responses = network.execute(ALICE, *([make_run(ALICE, program_id)] * 3))
    assert [MsgRunTaskResponse.FromString(response).task_id for response in responses] == [1, 2, 3]


def test_basic_the_transfer_allowance_counts_what_the_prover_fetches(network: Network) -> None:
    spec = make_spec()
    spec.prover.bytes = 64 * MIB
    for name, audience in (("proving.key", AUDIENCE_PROVER), ("verifying.key", AUDIENCE_VERIFIER)):
        spec.assets.append(
            Asset(name=name, urls=["https://host/key"], sha256=bytes(32), bytes=128 * MIB, audience=audience)
        )
    program_id = deploy(network, spec)
    message = make_run(ALICE, program_id)
    message.inputs.append(make_input())
    message.inputs.append(make_input("checked", audience=AUDIENCE_VERIFIER))
    network.execute(ALICE, message)
    # The image and the witness take a second each, the proving key two; what only verifiers get takes none.
    assert task_of(network, 1).task.task.transfer_ms == 30_000 + 4_000


def test_basic_own_resources_and_exact_fee(network: Network) -> None:
    message = make_run(ALICE, deploy(network))
    message.resources.CopyFrom(Resources(cpu_millis=4_000, memory_bytes=8 * GIB))
    message.time_limit_s = 3_600
    message.max_fee = 25_417  # 4 of 96 cores for an hour at 610,000 ucredit, rounded up
    network.execute(ALICE, message)
    assert task_of(network, 1).task.task.fee == 25_417


def test_invalid_fee_above_max(network: Network) -> None:
    message = make_run(ALICE, deploy(network))
    message.max_fee = 17
    refuse(network, FEE_ABOVE_MAX, ALICE, message)
    message.max_fee = 18
    network.execute(ALICE, message)


def test_invalid_under_funded(network: Network) -> None:
    poor = Key("poor")
    program_id = deploy(network)
    network.execute(ALICE, make_send(ALICE, poor.address, 10**9))
    result = refuse(network, INSUFFICIENT_FUNDS, poor, make_run(poor, program_id))
    assert "have credits granted" in result.log


def test_invalid_program_unknown(network: Network) -> None:
    refuse(network, PROGRAM_NOT_FOUND, ALICE, make_run(ALICE, bytes(32)))


def test_invalid_resources_too_large(network: Network) -> None:
    message = make_run(ALICE, deploy(network))
    for resources in (
        Resources(cpu_millis=4_001, memory_bytes=GIB),
        Resources(cpu_millis=1, memory_bytes=8 * GIB + 1),
        Resources(cpu_millis=1, memory_bytes=1, gpus=1),
    ):
        message.resources.CopyFrom(resources)
        refuse(network, RESOURCES_TOO_LARGE, ALICE, message)


def test_invalid_times_beyond_the_parameters(network: Network) -> None:
    params = schema.PARAMS.require(network.values)
    program_id = deploy(network)
    for field, most in (("time_limit_s", params.time_limit_max_s), ("queue_timeout_s", params.queue_timeout_max_s)):
        for value in (most + 1, 2**64 - 1):
            message = make_run(ALICE, program_id)
            message.max_fee = 10**9
            setattr(message, field, value)
            refuse(network, TASK_INVALID, ALICE, message)


def test_invalid_inputs_beyond_the_parameters(network: Network) -> None:
    params = schema.PARAMS.require(network.values)
    program_id = deploy(network)
    for inputs in (
        [make_input(f"input{number}") for number in range(params.inputs_max + 1)],
        [make_inline(bytes(params.inline_max_bytes + 1))],
        [make_input(size=params.blob_max_bytes + 1)],
        [make_input(size=2**64 - 1)],
    ):
        message = make_run(ALICE, program_id)
        del message.inputs[:]
        message.inputs.extend(inputs)
        refuse(network, TASK_INVALID, ALICE, message)


def test_basic_inputs_at_the_limits(network: Network) -> None:
    params = schema.PARAMS.require(network.values)
    message = make_run(ALICE, deploy(network))
    del message.inputs[:]
    message.inputs.extend(make_inline(bytes(params.inline_max_bytes), f"in{number}") for number in range(3))
    message.inputs.extend(make_input(f"input{number}", params.blob_max_bytes) for number in range(61))
    network.execute(ALICE, message)


def change(**fields: Any) -> Callable[[MsgRunTask], None]:
    def apply(message: MsgRunTask) -> None:
        for name, value in fields.items():
            setattr(message, name, value)

    return apply


def inputs(*items: Input) -> Callable[[MsgRunTask], None]:
    def apply(message: MsgRunTask) -> None:
        message.inputs.extend(items)

    return apply


BAD: dict[str, Callable[[MsgRunTask], None]] = {
    "no program": change(program_id=b""),
    "short program": change(program_id=bytes(31)),
    "no time": change(time_limit_s=0),
    "no prover": change(redundancy=0),
    "too many provers": change(redundancy=6),
    "provers without number": change(redundancy=2**32 - 1),
    "no queue timeout": change(queue_timeout_s=0),
    "commitment of the wrong size": change(commitment=bytes(20)),
    "max_fee too large": change(max_fee=2**63),
    "empty resources": lambda message: message.resources.SetInParent(),
    "two inputs of one name": inputs(make_input(), make_input()),
    "input that escapes": inputs(make_input("../../etc/passwd")),
    "input that is hidden": inputs(make_input(".profile")),
    "input without name": inputs(make_input("")),
    "input without hash": inputs(make_input(sha256=b"")),
    "input for nobody": inputs(make_input(audience=0)),
    "input for who knows": inputs(make_input(audience=4)),
    "input with a bad URL": inputs(make_input(urls=["javascript:alert(1)"])),
    "input with both": inputs(make_input(inline=b"x")),
    "input with neither": inputs(make_input(urls=[])),
    "inline of another size": inputs(Input(name="x", sha256=bytes(32), size=2, inline=b"x", audience=AUDIENCE_BOTH)),
    "inline of another hash": inputs(Input(name="x", sha256=bytes(32), size=1, inline=b"x", audience=AUDIENCE_BOTH)),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_request(network: Network, name: str) -> None:
    message = make_run(ALICE, bytes(32))
    BAD[name](message)
    refuse_raw(network, TASK_INVALID, make_tx(ALICE, [message], account_number=1, sequence=0))


@pytest.mark.parametrize("change", [change(prover_set="mine")], ids=str)
def test_invalid_not_supported(network: Network, change: Callable[[MsgRunTask], None]) -> None:
    message = make_run(ALICE, bytes(32))
    change(message)
    refuse_raw(network, NOT_SUPPORTED, make_tx(ALICE, [message], account_number=1, sequence=0))


def test_invalid_address(network: Network) -> None:
    message = make_run(BOB, bytes(32))
    message.user = "mill1"
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))
