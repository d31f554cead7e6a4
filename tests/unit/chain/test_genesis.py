"""The first state, exported states, and the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from proofmill.genesis.v1.genesis_pb2 import Genesis, GenesisAccount, GenesisValidator, Row
from proofmill.program.v1.state_pb2 import ProgramSpec

from chain import schema
from chain.amount import MAX_AMOUNT
from chain.genesis import GenesisError, export_genesis, genesis_json, parse_genesis
from chain.invariants import check_invariants
from chain.params import ParamsError, default_params, validate_params
from chain.program.ids import program_id
from chain.prover.registry import get_active_count
from chain.transition import init_chain
from tests.support.life import deploy, make_spec, run
from tests.support.network import ALICE, BOB, Network, make_genesis, node_key, operator_key

if TYPE_CHECKING:
    from collections.abc import Callable


def start(genesis: Genesis) -> Network:
    return Network.start(genesis)


def test_basic() -> None:
    network = start(make_genesis(3))
    check_invariants(network.values)
    assert schema.ACCOUNTS.require(network.values, ALICE.raw).umill == 10**12
    assert get_active_count(network.values) == 3
    pools = schema.POOLS.require(network.values)
    assert pools.network_umill == 10**9
    assert pools.bonds_umill == 3 * 2 * 10**9


def test_basic_programs_are_there_from_the_start() -> None:
    genesis = make_genesis(1)
    genesis.programs.append(make_spec("capacity"))
    genesis.params.capacity_program = program_id(make_spec("capacity"))
    network = start(genesis)
    program = schema.PROGRAMS.require(network.values, genesis.params.capacity_program)
    assert (program.spec.name, program.deployer) == ("capacity", genesis.authority)
    check_invariants(network.values)


def test_basic_the_app_hash_is_that_of_the_rows_alone() -> None:
    first, second = make_genesis(3), make_genesis(3)
    assert init_chain(genesis_json(first).encode()).app_hash == init_chain(genesis_json(second).encode()).app_hash
    second.accounts[0].umill += 1
    assert init_chain(genesis_json(first).encode()).app_hash != init_chain(genesis_json(second).encode()).app_hash


def test_basic_json_round_trip() -> None:
    genesis = make_genesis(2)
    assert parse_genesis(genesis_json(genesis).encode()) == genesis


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"strange": 1}', b'{"params": 5}'])
def test_invalid_json(text: bytes) -> None:
    with pytest.raises(GenesisError):
        parse_genesis(text)


def change(**fields: Any) -> Callable[[Genesis], None]:
    def apply(genesis: Genesis) -> None:
        for name, value in fields.items():
            setattr(genesis.provers[0], name, value)

    return apply


def twice(genesis: Genesis) -> None:
    genesis.provers.append(genesis.provers[0])


def node_twice(genesis: Genesis) -> None:
    genesis.provers[1].node = genesis.provers[0].node


BAD: dict[str, Callable[[Genesis], None]] = {
    "authority": lambda genesis: setattr(genesis, "authority", "me"),
    "account address": lambda genesis: genesis.accounts.append(GenesisAccount(address="x")),
    "account twice": lambda genesis: genesis.accounts.append(genesis.accounts[0]),
    "supply of umill": lambda genesis: setattr(genesis.accounts[0], "umill", MAX_AMOUNT),
    "umill of all bits": lambda genesis: setattr(genesis.accounts[0], "umill", 2**64 - 1),
    "supply of ucredit": lambda genesis: setattr(genesis.accounts[0], "ucredit", MAX_AMOUNT),
    "network pool": lambda genesis: setattr(genesis, "network_pool", 2**64 - 1),
    "params with a version": lambda genesis: setattr(genesis.params, "version", 1),
    "capacity program unknown": lambda genesis: setattr(genesis.params, "capacity_program", bytes(32)),
    "program that can't be": lambda genesis: genesis.programs.append(ProgramSpec(name="x")),
    "program twice": lambda genesis: genesis.programs.extend([make_spec(), make_spec()]),
    "params missing": lambda genesis: genesis.ClearField("params"),
    "prover twice": twice,
    "node twice": node_twice,
    "operator": change(operator="x"),
    "node": change(node="x"),
    "bond too small": change(bond=10**9 - 1),
    "bond of all bits": change(bond=2**64 - 1),
    "region": change(region="x" * 65),
    "resources": lambda genesis: genesis.provers[0].ClearField("resources"),
    "endpoints": lambda genesis: genesis.provers[0].ClearField("endpoints"),
    "endpoint": lambda genesis: genesis.provers[0].endpoints.append("oci://host"),
    "consensus address": lambda genesis: genesis.validators.append(
        GenesisValidator(consensus_address=b"x", operator=ALICE.address)
    ),
    "validator operator": lambda genesis: genesis.validators.append(
        GenesisValidator(consensus_address=bytes(20), operator="x")
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_genesis(name: str) -> None:
    genesis = make_genesis(2)
    BAD[name](genesis)
    with pytest.raises(GenesisError, match="app_state"):
        start(genesis)


@pytest.fixture
def lived() -> Network:
    """A chain with a task under way."""
    network = Network.start(make_genesis())
    run(network, ALICE, deploy(network))
    network.next_block()
    return network


def test_export_and_import_give_the_same_app_hash(lived: Network) -> None:
    exported = genesis_json(export_genesis(lived.values)).encode()
    assert init_chain(exported).app_hash == lived.app_hash


def test_an_imported_state_goes_on_like_the_old_one(lived: Network) -> None:
    imported = Network.start_from(genesis_json(export_genesis(lived.values)).encode())
    imported.height, imported.time_ms = lived.height, lived.time_ms
    for _ in range(6):
        for network in (lived, imported):
            run(network, BOB, next(schema.PROGRAMS.keys(network.values)))
        assert imported.app_hash == lived.app_hash


def test_invalid_rows(lived: Network) -> None:
    exported = export_genesis(lived.values)

    def refused(genesis: Genesis) -> None:
        with pytest.raises(GenesisError, match="app_state"):
            init_chain(genesis_json(genesis).encode())

    refused(Genesis(rows=exported.rows, authority=ALICE.address))
    refused(Genesis(rows=[*exported.rows, Row(key=b"\x99", value=b"x")]))
    refused(Genesis(rows=[*exported.rows, Row(key=b"", value=b"x")]))
    refused(Genesis(rows=[*exported.rows, exported.rows[0]]))
    refused(Genesis(rows=[*exported.rows, Row(key=b"\x10short", value=b"x")]))
    refused(Genesis(rows=[row for row in exported.rows if row.key != schema.PARAMS.prefix]))
    refused(Genesis(rows=[row for row in exported.rows if row.key[:1] != schema.TASKS.prefix]))
    refused(Genesis(rows=[row for row in exported.rows if row.key[:1] != schema.OFFER_DEADLINES.prefix]))
    for row in exported.rows:
        if row.key[:1] == schema.PROVERS.prefix:
            row.value = b"\xff"
    refused(exported)


def test_default_parameters_are_usable() -> None:
    validate_params(default_params())


# Blocks may be counted as far as the field goes.
LIMITED = [
    field.name
    for field in default_params().DESCRIPTOR.fields
    if field.message_type is None and field.name not in ("retest_random_blocks", "capacity_program")
]


@pytest.mark.parametrize("field", LIMITED)
def test_no_parameter_may_have_any_value(field: str) -> None:
    """Each number has a largest value, which keeps sums of it within their fields."""
    params = default_params()
    most = 2**32 - 1 if params.DESCRIPTOR.fields_by_name[field].type == 13 else 2**64 - 1
    setattr(params, field, most)
    with pytest.raises(ParamsError):
        validate_params(params)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prover_share_bp", 8_000),
        ("verifier_share_bp", 10_001),
        ("verdict_quorum_bp", 5_000),
        ("committee_min", 0),
        ("transfer_bytes_per_second", 1),
        ("reveal_window_ms", 0),
        ("misses_to_jail", 0),
        ("refund_on_fallback_bp", 5_001),
        ("subsidy_bp", 205),
        ("capacity_time_limit_s", 0),
        ("capacity_program", b"short"),
    ],
)
def test_invalid_params(field: str, value: int | bytes) -> None:
    params = default_params()
    setattr(params, field, value)
    with pytest.raises(ParamsError):
        validate_params(params)


def test_invalid_node_prices() -> None:
    for part, field, value in (
        ("cpu_node", "cpu_millis", 0),
        ("gpu_node", "memory_bytes", 0),
        ("cpu_node", "gpus", 1),
        ("gpu_node", "gpus", 0),
    ):
        params = default_params()
        setattr(getattr(params, part).resources, field, value)
        with pytest.raises(ParamsError):
            validate_params(params)
    for price in (0, 2**64 - 1):
        params = default_params()
        params.gpu_node.ucredit_per_hour = price
        with pytest.raises(ParamsError):
            validate_params(params)


def test_basic_the_smallest_bond() -> None:
    genesis = make_genesis(1)
    genesis.provers[0].bond = genesis.params.prover_bond_min
    check_invariants(start(genesis).values)


def test_a_genesis_prover_is_drawable_and_its_node_known() -> None:
    network = start(make_genesis(1))
    assert schema.PROVERS_BY_NODE.require(network.values, node_key(0).raw) == operator_key(0).raw
    assert schema.ACTIVE_PROVERS.require(network.values, 0) == operator_key(0).raw
