"""MsgRegisterProver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.prover.v1.event_pb2 import EventProverRegistered
from proofmill.prover.v1.state_pb2 import PROVER_STATUS_EXITED, PROVER_STATUS_JOINING, Prover
from proofmill.prover.v1.tx_pb2 import MsgRegisterProver, MsgRegisterProverResponse
from proofmill.task.v1.state_pb2 import TEST_KIND_JOIN
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.address import decode_address
from chain.amount import MAX_AMOUNT, format_amount
from chain.bank.ledger import bond_umill
from chain.capacity.schedule import mark_due
from chain.errors import BOND_TOO_SMALL, NODE_KEY_TAKEN, PROVER_EXISTS, PROVER_INVALID
from chain.fields import check_address, check_text, check_urls
from chain.params import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chain.context import Context
    from chain.state.kv import KV

REGION_BYTES_MAX = 64
# What the program `capacity` can test.
CLAIM_CPU_MILLIS_MIN, CLAIM_CPU_MILLIS_MAX = 100, 1_024_000
CLAIM_MEMORY_BYTES_MIN, CLAIM_MEMORY_BYTES_MAX = 128 * MIB, 4 << 40
CLAIM_GPUS_MAX = 16


def validate_register_prover(message: MsgRegisterProver) -> None:
    check_address(message.operator, "operator")
    check_address(message.node, "node")
    check_claim(message.resources)
    check_endpoints(message.endpoints)
    check_text(message.region, "region", REGION_BYTES_MAX, PROVER_INVALID)
    if message.bond > MAX_AMOUNT:
        raise PROVER_INVALID.error(f"bond is {message.bond} umill, more than {MAX_AMOUNT}")


def check_claim(claim: Resources) -> None:
    """A prover may claim what can be tested: 0.1 to 1,024 cores, 128 MiB to 4 TiB, up to 16 GPUs."""
    if not CLAIM_CPU_MILLIS_MIN <= claim.cpu_millis <= CLAIM_CPU_MILLIS_MAX:
        raise PROVER_INVALID.error(
            f"resources.cpu_millis is {claim.cpu_millis}: claim {CLAIM_CPU_MILLIS_MIN} to {CLAIM_CPU_MILLIS_MAX}"
        )
    if not CLAIM_MEMORY_BYTES_MIN <= claim.memory_bytes <= CLAIM_MEMORY_BYTES_MAX:
        raise PROVER_INVALID.error(
            f"resources.memory_bytes is {claim.memory_bytes}: "
            f"claim {CLAIM_MEMORY_BYTES_MIN} to {CLAIM_MEMORY_BYTES_MAX}"
        )
    if claim.gpus > CLAIM_GPUS_MAX:
        raise PROVER_INVALID.error(f"resources.gpus is {claim.gpus}: claim up to {CLAIM_GPUS_MAX}")


def check_endpoints(endpoints: Sequence[str]) -> None:
    check_urls(endpoints, "endpoints", PROVER_INVALID, required=True)
    for endpoint in endpoints:
        if not endpoint.startswith(("http://", "https://")):
            raise PROVER_INVALID.error(f"the endpoint {endpoint[:80]!r} is not an http or https URL")


def execute_register_prover(context: Context, message: MsgRegisterProver) -> MsgRegisterProverResponse:
    kv, minimum = context.kv, context.params.prover_bond_min
    if message.bond < minimum:
        raise BOND_TOO_SMALL.error(
            f"the bond is {format_amount(message.bond, 'umill')}, less than {format_amount(minimum, 'umill')}"
        )
    operator = decode_address(message.operator)
    check_is_new(kv, operator, decode_address(message.node))
    bond_umill(kv, operator, message.bond)
    prover = Prover(
        operator=message.operator,
        node=message.node,
        resources=message.resources,
        used=Resources(),
        endpoints=message.endpoints,
        region=message.region,
        bond=message.bond,
        status=PROVER_STATUS_JOINING,
        registered_height=context.block.height,
    )
    if context.params.capacity_program:
        mark_due(context, operator, prover, TEST_KIND_JOIN)
    schema.PROVERS.set(kv, operator, prover)
    schema.PROVERS_BY_NODE.set(kv, decode_address(message.node), operator)
    context.emit(EventProverRegistered(operator=message.operator, node=message.node, bond=message.bond))
    return MsgRegisterProverResponse()


def check_is_new(kv: KV, operator: bytes, node: bytes) -> None:
    """PROVER_EXISTS or NODE_KEY_TAKEN if either key already stands for a prover."""
    prover = schema.PROVERS.get(kv, operator)
    if prover is not None and prover.status != PROVER_STATUS_EXITED:
        raise PROVER_EXISTS.error("this operator has already registered a prover: use another key for another prover")
    check_node_is_free(kv, node)


def check_node_is_free(kv: KV, node: bytes) -> None:
    """NODE_KEY_TAKEN if the node key already stands for a prover."""
    if schema.PROVERS_BY_NODE.has(kv, node):
        raise NODE_KEY_TAKEN.error("this node key already belongs to a prover: each prover needs a node key of its own")
