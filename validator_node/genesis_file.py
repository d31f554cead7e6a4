"""Makes CometBFT's genesis file out of a preset and what a new network adds to it."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from proofmill.genesis.v1.genesis_pb2 import Genesis, GenesisAccount, GenesisProver, GenesisValidator
from proofmill.program.v1.state_pb2 import ProgramSpec

from chain.gas import BLOCK_MAX_GAS
from chain.params import default_params
from client.errors import ClientError

# Beside the packages in a checkout; inside this one in an installed wheel.
_PRESET_FOLDERS = (Path(__file__).parent / "presets", Path(__file__).parent.parent / "genesis")


class GenesisError(ClientError):
    """A genesis can't be made as asked; the message says why."""


@dataclass(frozen=True)
class ValidatorIdentity:
    """A validator's consensus key. `operator`, if there is one, is the account that is paid for its votes."""

    name: str
    address: bytes
    pub_key: dict[str, str]
    operator: str | None = None
    power: int = 10


@dataclass(frozen=True)
class NewNetwork:
    """What a preset leaves open."""

    chain_id: str
    authority: str
    validators: Sequence[ValidatorIdentity]
    accounts: Sequence[GenesisAccount] = field(default=())
    provers: Sequence[GenesisProver] = field(default=())
    # Deployed from the start, and which of them capacity tests run: empty for none.
    programs: Sequence[ProgramSpec] = field(default=())
    capacity_program: bytes = b""


def preset_names() -> tuple[str, ...]:
    """The presets that this installation has."""
    return tuple(sorted(file.stem for folder in _PRESET_FOLDERS for file in folder.glob("*.json")))


def load_preset(name: str) -> dict[str, Any]:
    """A preset as it is in genesis/. Raises GenesisError."""
    for folder in _PRESET_FOLDERS:
        file = folder / f"{name}.json"
        if name in preset_names() and file.is_file():
            preset: dict[str, Any] = json.loads(file.read_bytes())
            return preset
    raise GenesisError(f"there is no preset {name!r}; these are: {', '.join(preset_names())}")


def read_validator(name: str, key_file: Path, operator: str | None = None) -> ValidatorIdentity:
    """The identity behind a priv_validator_key.json."""
    key = json.loads(key_file.read_bytes())
    return ValidatorIdentity(name, bytes.fromhex(key["address"]), key["pub_key"], operator)


def make_genesis(preset: dict[str, Any], network: NewNetwork) -> dict[str, Any]:
    """The whole genesis document. Raises GenesisError if the preset's parameters can't be read."""
    params = default_params()
    try:
        json_format.ParseDict(preset["params"], params)
    except json_format.ParseError as error:
        raise GenesisError(f"the preset's params can't be used: {error}") from error
    params.capacity_program = network.capacity_program
    state = Genesis(
        params=params,
        authority=network.authority,
        accounts=network.accounts,
        provers=network.provers,
        validators=[
            GenesisValidator(consensus_address=one.address, operator=one.operator)
            for one in network.validators
            if one.operator
        ],
        network_pool=int(preset["network_pool"]),
        programs=network.programs,
    )
    return wrap_state(preset["consensus_params"], network.chain_id, network.validators, state)


def wrap_state(
    consensus_params: dict[str, Any],
    chain_id: str,
    validators: Sequence[ValidatorIdentity],
    state: Genesis,
    initial_height: int = 1,
) -> dict[str, Any]:
    """CometBFT's genesis document around an application state, of which the genesis time is now."""
    consensus = copy.deepcopy(consensus_params)
    consensus["block"]["max_gas"] = str(BLOCK_MAX_GAS)
    return {
        "genesis_time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "chain_id": chain_id,
        "initial_height": str(initial_height),
        "consensus_params": consensus,
        "validators": [
            {
                "address": one.address.hex().upper(),
                "pub_key": one.pub_key,
                "power": str(one.power),
                "name": one.name,
            }
            for one in validators
        ],
        "app_hash": "",
        "app_state": json_format.MessageToDict(state, preserving_proto_field_name=True),
    }


def write_genesis(path: Path, document: dict[str, Any]) -> None:
    """Write a genesis document for people to read."""
    path.write_text(json.dumps(document, indent=1) + "\n")
