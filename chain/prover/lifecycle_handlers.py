"""MsgUpdateProver, MsgTopUpBond, MsgExitProver and MsgRequestTest (protocol §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.prover.v1.event_pb2 import EventBondChanged, EventNodeKeyRotated, EventProverUpdated
from proofmill.prover.v1.state_pb2 import (
    PROVER_STATUS_ACTIVE,
    PROVER_STATUS_EXITED,
    PROVER_STATUS_EXITING,
    PROVER_STATUS_JAILED,
    PROVER_STATUS_JOINING,
    Prover,
    ProverStatus,
)
from proofmill.prover.v1.tx_pb2 import (
    MsgExitProver,
    MsgExitProverResponse,
    MsgRequestTest,
    MsgRequestTestResponse,
    MsgTopUpBond,
    MsgTopUpBondResponse,
    MsgUpdateProver,
    MsgUpdateProverResponse,
)
from proofmill.task.v1.state_pb2 import TEST_KIND_CLAIM, TEST_KIND_JOIN, TEST_KIND_UNJAIL, TEST_KIND_UNSPECIFIED
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.address import decode_address
from chain.amount import MAX_AMOUNT, format_amount
from chain.bank.ledger import bond_umill
from chain.capacity.schedule import mark_due
from chain.errors import (
    BOND_TOO_SMALL,
    CLAIM_IN_USE,
    NO_CAPACITY_PROGRAM,
    PROVER_INVALID,
    PROVER_NOT_FOUND,
    TEST_TOO_SOON,
    TEST_UNDER_WAY,
    WRONG_STATUS,
)
from chain.fields import check_address, check_text, fits
from chain.prover.handlers import REGION_BYTES_MAX, check_claim, check_endpoints, check_node_is_free
from chain.prover.lifecycle import begin_exit
from chain.prover.registry import get_prover_of_node

if TYPE_CHECKING:
    from chain.context import Context
    from chain.state.kv import KV

_LEFT = (PROVER_STATUS_EXITING, PROVER_STATUS_EXITED)


def validate_update_prover(message: MsgUpdateProver) -> None:
    check_address(message.operator, "operator")
    if message.HasField("resources"):
        check_claim(message.resources)
    if message.endpoints:
        check_endpoints(message.endpoints)
    check_text(message.region, "region", REGION_BYTES_MAX, PROVER_INVALID)
    if message.node:
        check_address(message.node, "node")
    elif not _describes(message):
        raise PROVER_INVALID.error("nothing to change: give resources, endpoints, a region or a node key")


def execute_update_prover(context: Context, message: MsgUpdateProver) -> MsgUpdateProverResponse:
    kv = context.kv
    # A prover that leaves still has duties, and a key that got into wrong hands must not sign them until it has left.
    require = _require_staying if _describes(message) else _require_member
    operator, prover = require(kv, message.operator)
    if message.node:
        _rotate_node_key(context, operator, prover, message.node)
    if message.endpoints:
        prover.endpoints[:] = message.endpoints
    prover.region = message.region or prover.region
    if message.HasField("resources"):
        _change_claim(context, operator, prover, message.resources)
    schema.PROVERS.set(kv, operator, prover)
    context.emit(EventProverUpdated(operator=prover.operator))
    return MsgUpdateProverResponse()


def _describes(message: MsgUpdateProver) -> bool:
    return bool(message.HasField("resources") or message.endpoints or message.region)


def _rotate_node_key(context: Context, operator: bytes, prover: Prover, node: str) -> None:
    """The old key signs for nobody from here on; all that the prover owes is owed by its operator, so it stays owed."""
    if node == prover.node:
        return  # a repeat
    check_node_is_free(context.kv, decode_address(node))
    schema.PROVERS_BY_NODE.delete(context.kv, decode_address(prover.node))
    schema.PROVERS_BY_NODE.set(context.kv, decode_address(node), operator)
    context.emit(EventNodeKeyRotated(operator=prover.operator, old_node=prover.node, node=node))
    prover.node = node


def _change_claim(context: Context, operator: bytes, prover: Prover, wanted: Resources) -> None:
    if prover.test_task_id:
        raise TEST_UNDER_WAY.error("a capacity test of the present claim is under way: change it when that is over")
    larger = not fits(wanted, prover.resources)
    if larger and prover.status == PROVER_STATUS_ACTIVE:
        if not context.params.capacity_program:
            raise NO_CAPACITY_PROGRAM.error("this network has no capacity program yet, so nobody can claim more")
        _check_test_is_not_too_soon(context, prover)
        prover.claim.CopyFrom(wanted)
        mark_due(context, operator, prover, TEST_KIND_CLAIM)
        return
    # Less than before is believed; somebody who isn't active has to pass a test of whatever it claims anyway.
    if not fits(prover.used, wanted):
        raise CLAIM_IN_USE.error("running work holds more than the new claim: claim less when it is done")
    prover.resources.CopyFrom(wanted)
    prover.ClearField("claim")
    if prover.test_due == TEST_KIND_CLAIM:
        prover.test_due = TEST_KIND_UNSPECIFIED
        schema.TESTS_READY.delete(context.kv, operator)


def validate_top_up_bond(message: MsgTopUpBond) -> None:
    check_address(message.operator, "operator")
    if not 1 <= message.amount <= MAX_AMOUNT:
        raise PROVER_INVALID.error(f"amount is {message.amount} umill: add 1 to {MAX_AMOUNT}")


def execute_top_up_bond(context: Context, message: MsgTopUpBond) -> MsgTopUpBondResponse:
    operator, prover = _require_staying(context.kv, message.operator)
    bond_umill(context.kv, operator, message.amount)
    prover.bond += message.amount
    schema.PROVERS.set(context.kv, operator, prover)
    context.emit(EventBondChanged(operator=prover.operator, bond=prover.bond))
    return MsgTopUpBondResponse(bond=prover.bond)


def validate_exit_prover(message: MsgExitProver) -> None:
    check_address(message.operator, "operator")


def execute_exit_prover(context: Context, message: MsgExitProver) -> MsgExitProverResponse:
    operator = decode_address(message.operator)
    prover = schema.PROVERS.get(context.kv, operator)
    if prover is not None and prover.status in _LEFT:
        return MsgExitProverResponse()  # a repeat
    _require_staying(context.kv, message.operator)
    begin_exit(context, operator)
    return MsgExitProverResponse()


def validate_request_test(message: MsgRequestTest) -> None:
    check_address(message.node, "node")


def execute_request_test(context: Context, message: MsgRequestTest) -> MsgRequestTestResponse:
    kv, params = context.kv, context.params
    operator, prover = get_prover_of_node(kv, message.node)
    if prover.status not in (PROVER_STATUS_JOINING, PROVER_STATUS_JAILED):
        name = ProverStatus.Name(prover.status).removeprefix("PROVER_STATUS_").lower()
        raise WRONG_STATUS.error(f"the prover is {name}: only one that is joining or jailed asks for a test")
    if prover.test_task_id or prover.test_due:
        raise TEST_UNDER_WAY.error("a capacity test is due or under way already: wait for its result")
    if not params.capacity_program:
        raise NO_CAPACITY_PROGRAM.error("this network has no capacity program yet, so nobody can be tested")
    if prover.bond < params.prover_bond_min:
        raise BOND_TOO_SMALL.error(
            f"the bond is {format_amount(prover.bond, 'umill')}, less than "
            f"{format_amount(params.prover_bond_min, 'umill')}: top it up first"
        )
    _check_test_is_not_too_soon(context, prover)
    mark_due(context, operator, prover, TEST_KIND_JOIN if prover.status == PROVER_STATUS_JOINING else TEST_KIND_UNJAIL)
    schema.PROVERS.set(kv, operator, prover)
    return MsgRequestTestResponse()


def _check_test_is_not_too_soon(context: Context, prover: Prover) -> None:
    """A test costs a committee its work, and whoever asks for it nothing."""
    wait_ms = prover.test_ended_ms + context.params.test_retry_ms - context.block.time_ms
    if prover.test_ended_ms and wait_ms > 0:
        raise TEST_TOO_SOON.error(f"the last test ended too short a time ago: ask again in {-(-wait_ms // 1_000)} s")


def _require_staying(kv: KV, text: str) -> tuple[bytes, Prover]:
    operator, prover = _require_member(kv, text)
    if prover.status == PROVER_STATUS_EXITING:
        raise WRONG_STATUS.error("the prover is leaving: register it anew once its bond is returned")
    return operator, prover


def _require_member(kv: KV, text: str) -> tuple[bytes, Prover]:
    operator = decode_address(text)
    prover = schema.PROVERS.get(kv, operator)
    if prover is None:
        raise PROVER_NOT_FOUND.error(f"{text} is not the operator of a prover: register it first")
    if prover.status == PROVER_STATUS_EXITED:
        raise WRONG_STATUS.error("the prover has left, and its bond is returned: register it anew")
    return operator, prover
