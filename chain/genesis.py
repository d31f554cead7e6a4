"""From genesis.json's app_state to the first state, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import json_format
from proofmill.credits.v1.state_pb2 import Pools
from proofmill.genesis.v1.genesis_pb2 import Genesis, GenesisProver, Row
from proofmill.program.v1.state_pb2 import PROGRAM_STATUS_ACTIVE, Program, ProgramSpec
from proofmill.program.v1.tx_pb2 import MsgDeployProgram
from proofmill.prover.v1.state_pb2 import Prover
from proofmill.prover.v1.tx_pb2 import MsgRegisterProver
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.address import decode_address
from chain.amount import MAX_AMOUNT
from chain.bank.ledger import get_or_create_account
from chain.errors import TxError
from chain.fields import check_address
from chain.invariants import InvariantError, check_invariants
from chain.params import ParamsError, validate_params
from chain.program.handlers import validate_deploy_program
from chain.program.ids import program_id
from chain.prover.handlers import check_is_new, validate_register_prover
from chain.prover.lifecycle import set_idle_check
from chain.prover.registry import activate
from chain.state.errors import StateError

if TYPE_CHECKING:
    from chain.state.kv import KV, KVReader


class GenesisError(ValueError):
    """The app_state can't start a chain."""


def parse_genesis(app_state: bytes) -> Genesis:
    """app_state JSON bytes to a Genesis; GenesisError on anything that isn't one."""
    try:
        return json_format.Parse(app_state.decode(), Genesis())
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise GenesisError(f"app_state is not a genesis of this chain: {error}") from None


def genesis_json(genesis: Genesis) -> str:
    """The app_state of a Genesis, in protobuf's JSON form with the field names of the .proto file."""
    return json_format.MessageToJson(genesis, preserving_proto_field_name=True, indent=2)


def apply_genesis(kv: KV, genesis: Genesis) -> None:
    """Write the first state; GenesisError says what can't be."""
    if genesis.rows:
        _import_rows(kv, genesis)
        return
    params = genesis.params
    if params.version:
        raise GenesisError("app_state: params.version counts the changes since genesis, so leave it out")
    try:
        validate_params(params)
        if genesis.authority:
            check_address(genesis.authority, "authority")
            schema.AUTHORITY.set(kv, genesis.authority)
        params.version = 1
        schema.PARAMS.set(kv, params)
        schema.PARAMS_VERSIONS.set(kv, params.version, params)
        schema.POOLS.set(kv, _compute_pools(genesis))
        _create_accounts(kv, genesis)
        for spec in genesis.programs:
            _create_program(kv, spec, genesis.authority)
        if params.capacity_program and not schema.PROGRAMS.has(kv, params.capacity_program):
            raise GenesisError("app_state: params.capacity_program names none of the programs")
        for prover in genesis.provers:
            _create_prover(kv, prover, params.prover_bond_min)
        for validator in genesis.validators:
            if len(validator.consensus_address) != 20:
                raise GenesisError("app_state: a validator's consensus_address has not 20 bytes")
            operator = check_address(validator.operator, "the operator of a validator")
            schema.VALIDATOR_OPERATORS.set(kv, validator.consensus_address, operator)
    except (ParamsError, TxError) as error:
        raise GenesisError(f"app_state: {error}") from None


def export_genesis(kv: KVReader) -> Genesis:
    """The whole state as a Genesis that a new chain can start from with the same app hash."""
    return Genesis(rows=[Row(key=key, value=value) for key, value in kv.iterate(b"\x00", b"\xff")])


def _import_rows(kv: KV, genesis: Genesis) -> None:
    if len(genesis.ListFields()) != 1:
        raise GenesisError("app_state has both rows and other fields: an exported state stands alone")
    known = {part.prefix: part for collection in schema.COLLECTIONS for part in collection.parts()}
    try:
        for row in genesis.rows:
            collection = known.get(row.key[:1])
            if collection is None:
                raise GenesisError(f"app_state: the row {row.key.hex()} belongs to no collection of this version")
            collection.decode(row.key, row.value)
            if kv.get(row.key) is not None:
                raise GenesisError(f"app_state: the row {row.key.hex()} is there twice")
            kv.set(row.key, row.value)
        validate_params(schema.PARAMS.require(kv))
        check_invariants(kv)
    except (StateError, InvariantError, ParamsError) as error:
        raise GenesisError(f"app_state: {error}") from None


def _compute_pools(genesis: Genesis) -> Pools:
    """The first sums, in integers that can't overflow."""
    bonds = sum(prover.bond for prover in genesis.provers)
    umill = genesis.network_pool + bonds + sum(account.umill for account in genesis.accounts)
    ucredit = sum(account.ucredit for account in genesis.accounts)
    if max(umill, ucredit) > MAX_AMOUNT:
        raise GenesisError(f"app_state: the supply is more than {MAX_AMOUNT} units")
    return Pools(network_umill=genesis.network_pool, bonds_umill=bonds, umill_supply=umill, ucredit_supply=ucredit)


def _create_accounts(kv: KV, genesis: Genesis) -> None:
    for entry in genesis.accounts:
        address = check_address(entry.address, "an account's address")
        if schema.ACCOUNTS.has(kv, address):
            raise GenesisError(f"app_state: the account {entry.address} is listed twice")
        account = get_or_create_account(kv, address)
        account.umill, account.ucredit = entry.umill, entry.ucredit
        schema.ACCOUNTS.set(kv, address, account)


def _create_program(kv: KV, spec: ProgramSpec, authority: str) -> None:
    try:
        validate_deploy_program(MsgDeployProgram(deployer=authority, spec=spec))
    except TxError as error:
        raise GenesisError(f"app_state: the program {spec.name}: {error}") from None
    identifier = program_id(spec)
    if schema.PROGRAMS.has(kv, identifier):
        raise GenesisError(f"app_state: the program {spec.name} is listed twice")
    program = Program(id=identifier, deployer=authority, spec=spec, status=PROGRAM_STATUS_ACTIVE)
    schema.PROGRAMS.set(kv, identifier, program)


def _create_prover(kv: KV, entry: GenesisProver, bond_min: int) -> None:
    message = MsgRegisterProver(
        operator=entry.operator,
        node=entry.node,
        resources=entry.resources,
        endpoints=entry.endpoints,
        region=entry.region,
        bond=entry.bond,
    )
    try:
        validate_register_prover(message)
        operator, node = decode_address(entry.operator), decode_address(entry.node)
        check_is_new(kv, operator, node)
    except TxError as error:
        raise GenesisError(f"app_state: the prover of operator {entry.operator}: {error}") from None
    if entry.bond < bond_min:
        raise GenesisError(f"app_state: the bond of prover {entry.operator} is below {bond_min} umill")
    schema.PROVERS_BY_NODE.set(kv, node, operator)
    prover = Prover(
        operator=entry.operator,
        node=entry.node,
        resources=entry.resources,
        used=Resources(),
        endpoints=entry.endpoints,
        region=entry.region,
        bond=entry.bond,
    )
    # The first block, which has a time, sets the clock of its idleness.
    set_idle_check(kv, operator, prover, 0)
    activate(kv, operator, prover)
