"""proofmill.prover.v1.MsgRegisterProver."""

from __future__ import annotations

from typing import Any

import pytest
from proofmill.prover.v1.state_pb2 import PROVER_STATUS_JOINING
from proofmill.prover.v1.tx_pb2 import MsgRegisterProver
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.errors import (
    BOND_TOO_SMALL,
    INSUFFICIENT_FUNDS,
    INVALID_ADDRESS,
    NODE_KEY_TAKEN,
    PROVER_EXISTS,
    PROVER_INVALID,
)
from chain.params import GIB
from chain.prover.registry import get_active_count
from tests.support.envelope import account_of
from tests.support.network import ALICE, BOB, MILL, RICH, Key, Network, make_tx, node_key
from tests.support.refusals import refuse, refuse_raw

NODE = Key("new node")


def make_register(signer: Key = ALICE, /, **changes: Any) -> MsgRegisterProver:
    fields: dict[str, Any] = {
        "operator": signer.address,
        "node": NODE.address,
        "resources": Resources(cpu_millis=8_000, memory_bytes=16 * GIB, gpus=1),
        "endpoints": ["https://prover.example:8443"],
        "region": "eu-1",
        "bond": 1_000 * MILL,
    }
    return MsgRegisterProver(**fields | changes)


def test_basic(network: Network) -> None:
    bonds = schema.POOLS.require(network.values).bonds_umill
    result = network.deliver(ALICE, make_register(bond=1_500 * MILL))
    assert [event.type for event in result.events] == ["proofmill.prover.v1.EventProverRegistered"]
    prover = schema.PROVERS.require(network.values, ALICE.raw)
    assert prover.status == PROVER_STATUS_JOINING
    assert prover.bond == 1_500 * MILL
    assert prover.registered_height == network.height
    assert schema.PROVERS_BY_NODE.require(network.values, NODE.raw) == ALICE.raw
    assert RICH - account_of(network, ALICE).umill - 1_500 * MILL < 10_000
    assert schema.POOLS.require(network.values).bonds_umill == bonds + 1_500 * MILL
    # Nobody is drawn before the capacity test.
    assert get_active_count(network.values) == 5


def test_basic_everything_at_its_limit(network: Network) -> None:
    resources = Resources(cpu_millis=1_024_000, memory_bytes=4 << 40, gpus=16)
    network.execute(ALICE, make_register(resources=resources, endpoints=["http://h"] * 8, region="é" * 32))


def test_invalid_exists(network: Network) -> None:
    network.execute(ALICE, make_register())
    refuse(network, PROVER_EXISTS, ALICE, make_register(node=Key("another").address))


def test_invalid_node_key_taken(network: Network) -> None:
    refuse(network, NODE_KEY_TAKEN, ALICE, make_register(node=node_key(0).address))
    network.execute(ALICE, make_register())
    refuse(network, NODE_KEY_TAKEN, BOB, make_register(BOB))


def test_invalid_bond_too_small(network: Network) -> None:
    refuse(network, BOND_TOO_SMALL, ALICE, make_register(bond=1_000 * MILL - 1))
    refuse(network, BOND_TOO_SMALL, ALICE, make_register(bond=0))


def test_invalid_under_funded(network: Network) -> None:
    refuse(network, INSUFFICIENT_FUNDS, ALICE, make_register(bond=RICH))


@pytest.mark.parametrize("field", ["operator", "node"])
def test_invalid_address(network: Network, field: str) -> None:
    message = make_register(ALICE, **{field: "mill1"})
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))


BAD: dict[str, dict[str, Any]] = {
    "no resources": {"resources": Resources()},
    "no memory": {"resources": Resources(cpu_millis=1_000)},
    "less than can be tested": {"resources": Resources(cpu_millis=99, memory_bytes=GIB)},
    "less memory than can be tested": {"resources": Resources(cpu_millis=1_000, memory_bytes=(128 << 20) - 1)},
    "more memory than can be tested": {"resources": Resources(cpu_millis=1_000, memory_bytes=(4 << 40) + 1)},
    "more GPUs than can be tested": {"resources": Resources(cpu_millis=1_000, memory_bytes=GIB, gpus=17)},
    "absurd CPU": {"resources": Resources(cpu_millis=2**64 - 1, memory_bytes=GIB)},
    "no endpoint": {"endpoints": []},
    "nine endpoints": {"endpoints": ["https://host"] * 9},
    "endpoint of another kind": {"endpoints": ["s3://bucket"]},
    "endpoint without scheme": {"endpoints": ["host:8700"]},
    "long region": {"region": "x" * 65},
    "region of two lines": {"region": "eu\n1"},
    "long region in bytes": {"region": "é" * 33},
    "bond too large": {"bond": 2**63},
    "bond of all bits": {"bond": 2**64 - 1},
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_description(network: Network, name: str) -> None:
    message = make_register(**BAD[name])
    refuse_raw(network, PROVER_INVALID, make_tx(ALICE, [message], account_number=1, sequence=0))
