"""Makes a new localnet's files: keys, homes of validators and provers, and the genesis that they share."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from proofmill.genesis.v1.genesis_pb2 import GenesisAccount, GenesisProver
from proofmill.types.v1.types_pb2 import Resources

from client.keys.files import read_key_file
from client.keys.keystore import KeyStore
from client.keys.private_key import PrivateKey
from validator_node.comet import Comet
from validator_node.genesis_file import NewNetwork, load_preset, make_genesis, read_validator, write_genesis
from validator_node.localnet.capacity import capacity_spec, publish
from validator_node.localnet.commands import prover_init_command
from validator_node.localnet.layout import LOOPBACK, USERS, Layout, LocalnetError, Plan
from validator_node.setup import connect_peers, make_home

PRESET = "devnet"
# What each prover claims to have: small, so that several fit on a laptop at once.
PROVER_RESOURCES = Resources(cpu_millis=2_000, memory_bytes=4 << 30)

_MILL = _CREDIT = 1_000_000
_USER_MILL = 1_000_000 * _MILL
_USER_CREDITS = 10_000 * _CREDIT
NODE_UMILL = 1_000 * _MILL
BOND_UMILL = 10_000 * _MILL


@dataclass(frozen=True)
class _Prover:
    operator: str
    node: str


def require_unused(layout: Layout) -> None:
    """Raise LocalnetError if something else lies where a new localnet would."""
    if layout.root.exists() and any(layout.root.iterdir()):
        raise LocalnetError(f"{layout.root} isn't empty and holds no localnet; name another --home")


def create(layout: Layout, plan: Plan, comet: Comet, capacity: Path | None = None) -> None:
    """Write everything below the layout's root. Raises LocalnetError, and leaves nothing behind if it fails.

    ``capacity``: folder of the built program that capacity tests run.
    """
    require_unused(layout)
    try:
        _create(layout, plan, comet, capacity)
    except BaseException:
        shutil.rmtree(layout.root, ignore_errors=True)
        raise


def _create(layout: Layout, plan: Plan, comet: Comet, capacity: Path | None) -> None:
    for folder in (layout.root, layout.user, layout.blobs, layout.logs, layout.records):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    specs = []
    if capacity is not None:
        publish(capacity, layout)
        specs.append(capacity_spec(capacity, plan))
    keys = KeyStore(layout.user / "keys")
    users = {name: new_key(keys, name) for name in USERS}
    provers = _create_provers(layout, plan, keys)
    validators = []
    for index in range(plan.validators):
        home, name = layout.validator(index), f"validator{index}"
        make_home(comet, home, name, plan.validator_ports(index), p2p_host=LOOPBACK)
        validators.append(read_validator(name, home.validator_key, operator=new_key(keys, name)))
    document = make_genesis(
        load_preset(PRESET),
        NewNetwork(
            chain_id=plan.chain_id,
            authority=users["authority"],
            programs=specs,
            capacity_program=bytes.fromhex(plan.capacity_program),
            validators=validators,
            accounts=[
                *(GenesisAccount(address=one, umill=_USER_MILL, ucredit=_USER_CREDITS) for one in users.values()),
                *(GenesisAccount(address=one.operator, umill=NODE_UMILL) for one in provers),
                *(GenesisAccount(address=one.node, umill=NODE_UMILL) for one in provers),
            ],
            provers=[
                GenesisProver(
                    operator=one.operator,
                    node=one.node,
                    resources=PROVER_RESOURCES,
                    endpoints=[plan.prover_url(index)],
                    region="local",
                    bond=BOND_UMILL,
                )
                for index, one in enumerate(provers)
            ],
        ),
    )
    peers = [
        f"{comet.node_id(layout.validator(index).root)}@{LOOPBACK}:{plan.validator_ports(index).p2p}"
        for index in range(plan.validators)
    ]
    for index in range(plan.validators):
        home = layout.validator(index)
        write_genesis(home.genesis, document)
        connect_peers(home, [peer for peer in peers if peer != peers[index]], same_machine=True)
    layout.save_plan(plan)


def new_key(keys: KeyStore, name: str) -> str:
    """Make an unencrypted key in the users' keystore; its address."""
    return keys.add(name, PrivateKey.generate(), None).address


def _create_provers(layout: Layout, plan: Plan, keys: KeyStore) -> list[_Prover]:
    """The provers' homes, made by their own command; the operators' keys are kept with the users'."""
    operators = [new_key(keys, f"prover{index}") for index in range(plan.provers)]
    commands = [
        prover_init_command(layout, plan, index, operator, PROVER_RESOURCES) for index, operator in enumerate(operators)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for index, done in enumerate(pool.map(run_quietly, commands)):
            require_done(done, f"the home of prover{index} can't be made")
    return [
        _Prover(operator, read_key_file(layout.prover(index) / "key").address)
        for index, operator in enumerate(operators)
    ]


def run_quietly(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command of ours, and keep what it prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def require_done(done: subprocess.CompletedProcess[str], problem: str) -> None:
    """LocalnetError with what the command said, unless it succeeded."""
    if done.returncode:
        raise LocalnetError(f"{problem}: {(done.stderr or done.stdout).strip().removeprefix('mill: ')}")
