"""Who takes part: provers of some sizes, users, programs, and the genesis that holds them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proofmill.genesis.v1.genesis_pb2 import Genesis, GenesisAccount, GenesisProver
from proofmill.program.v1.state_pb2 import Image, ProgramSpec
from proofmill.types.v1.types_pb2 import Resources

from chain.address import encode_address
from chain.params import GIB
from chain.program.ids import program_id
from tests.support.network import Key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proofmill.params.v1.state_pb2 import Params

    from benchmarks.simulation.engine import Wallet

MILL: Final = 1_000_000
# Enough to lose a bond many times over: running out of money is a decision, not a limit of the simulation.
OPERATOR_UMILL: Final = 1_000_000 * MILL
NODE_UMILL: Final = 10_000 * MILL
USER_UCREDIT: Final = 10_000_000 * MILL
# Twice the least, so that a slash doesn't jail at once.
BOND: Final = 2_000 * MILL
USERS: Final = 20


@dataclass(frozen=True, slots=True)
class Address:
    """A wallet of the quick engine, which verifies no signatures: an address without a key."""

    raw: bytes
    address: str


@dataclass(frozen=True, slots=True)
class Size:
    """What a prover has and claims."""

    name: str
    cores: int
    gib: int
    gpus: int

    @property
    def resources(self) -> Resources:
        return Resources(cpu_millis=self.cores * 1_000, memory_bytes=self.gib * GIB, gpus=self.gpus)


# One size for all where strategies are compared, so that nothing but the strategy makes a difference.
UNIFORM: Final = Size("32 cores, 1 GPU", 32, 128, 1)
# What strangers may bring: (size, of a hundred).
MIXED: Final = (
    (Size("4 cores", 4, 16, 0), 40),
    (Size("16 cores", 16, 64, 0), 35),
    (Size("64 cores", 64, 256, 0), 15),
    (Size("32 cores, 1 GPU", 32, 128, 1), 8),
    (Size("64 cores, 2 GPUs", 64, 256, 2), 2),
)


def mixed_sizes(count: int) -> list[Size]:
    """The mix, spread evenly over the indexes."""
    hundred = [size for size, share in MIXED for _ in range(share)]
    # 37 and 100 have no common divisor, so a hundred neighbours are the whole mix.
    return [hundred[index * 37 % 100] for index in range(count)]


def make_wallet(name: str, *, signed: bool) -> Wallet:
    if signed:
        return Key(name)
    raw = hashlib.sha256(name.encode()).digest()[:20]
    return Address(raw, encode_address(raw))


def make_program(name: str) -> ProgramSpec:
    return ProgramSpec(
        name=name,
        version="1.0.0",
        prover=Image(urls=["http://127.0.0.1:1/prover.tar"], sha256=hashlib.sha256(b"prover").digest(), bytes=9_000),
        verifier=Image(
            urls=["http://127.0.0.1:1/verifier.tar"], sha256=hashlib.sha256(b"verifier").digest(), bytes=5_000
        ),
        default_resources=Resources(cpu_millis=1_000, memory_bytes=2 * GIB),
        max_resources=Resources(cpu_millis=96_000, memory_bytes=768 * GIB, gpus=8),
        verifier_resources=Resources(cpu_millis=1_000, memory_bytes=GIB),
        verifier_time_limit_s=10,
    )


HONEST_PROGRAM: Final = make_program("honest")
CAPACITY_PROGRAM: Final = make_program("capacity")
CAPACITY_ID: Final = program_id(CAPACITY_PROGRAM)


def make_genesis(
    params: Params,
    operators: Sequence[Wallet],
    nodes: Sequence[Wallet],
    sizes: Sequence[Size],
    users: Sequence[Wallet],
    *,
    tests: bool,
    pool_umill: int,
    bond: int = BOND,
) -> Genesis:
    """All provers active and all accounts rich; with the capacity program unless nobody is to be tested."""
    if tests:
        params.capacity_program = CAPACITY_ID
    accounts = [GenesisAccount(address=one.address, umill=OPERATOR_UMILL) for one in operators]
    accounts += [GenesisAccount(address=one.address, umill=NODE_UMILL) for one in nodes]
    accounts += [GenesisAccount(address=one.address, umill=OPERATOR_UMILL, ucredit=USER_UCREDIT) for one in users]
    provers = [
        GenesisProver(
            operator=operator.address,
            node=node.address,
            resources=size.resources,
            endpoints=["http://127.0.0.1:1"],
            region="simulated",
            bond=bond,
        )
        for operator, node, size in zip(operators, nodes, sizes, strict=True)
    ]
    return Genesis(
        params=params,
        authority=users[0].address,
        accounts=accounts,
        programs=[HONEST_PROGRAM, CAPACITY_PROGRAM],
        provers=provers,
        network_pool=pool_umill,
    )
