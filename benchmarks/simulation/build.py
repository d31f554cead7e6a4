"""A world from a description: so many nodes, some of whom follow a strategy, some of whom are careless."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from benchmarks.simulation.agents import Node
from benchmarks.simulation.demand import MIX, Demand, Kind
from benchmarks.simulation.engine import Engine, QuickEngine, SignedEngine
from benchmarks.simulation.population import (
    BOND,
    HONEST_PROGRAM,
    MILL,
    UNIFORM,
    USERS,
    Size,
    make_genesis,
    make_wallet,
)
from benchmarks.simulation.world import World
from chain.params import default_params
from chain.program.ids import program_id


class Careless(Node):
    """Honest, on hardware that isn't: some of its proofs are invalid. Without any, nobody would need a verifier."""

    name = "careless"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """All that a world is made from: the same setup gives the same world."""

    nodes: int
    seed: int
    peak_per_s: float
    # Of each node, or one for all.
    sizes: tuple[Size, ...] = (UNIFORM,)
    cheater_size: Size | None = None
    # Of all others but so many.
    small_size: Size | None = None
    large_others: int = 0
    strategy: type[Node] = Node
    # Nodes that follow it.
    cheaters: int = 0
    careless_percent: int = 5
    # Of all proofs; the careless make them.
    invalid_bp: int = 100
    trough: float = 1.0
    mix: tuple[Kind, ...] = MIX
    redundant_percent: int = 10
    queue_timeout_s: int = 3_600
    tests: bool = True
    pool_umill: int = 1_000_000 * MILL
    bond: int = BOND
    # Wallets with keys; signed blocks need them.
    keys: bool = False
    signed: bool = False
    archive: bool = True
    # (parameter, value): what differs from protocol §9.
    params: tuple[tuple[str, int], ...] = ()


def build(setup: Setup) -> World:
    params = default_params()
    for name, value in setup.params:
        setattr(params, name, value)
    dice = Random(f"world {setup.seed}")
    operators = [make_wallet(f"operator{index}", signed=setup.keys) for index in range(setup.nodes)]
    wallets = [make_wallet(f"node{index}", signed=setup.keys) for index in range(setup.nodes)]
    users = [make_wallet(f"user{index}", signed=setup.keys) for index in range(USERS)]
    order = list(range(setup.nodes))
    dice.shuffle(order)
    sizes = list(setup.sizes) if len(setup.sizes) > 1 else list(setup.sizes) * setup.nodes
    if setup.cheater_size is not None:
        for index in order[: setup.cheaters]:
            sizes[index] = setup.cheater_size
    if setup.small_size is not None:
        for index in order[setup.cheaters + setup.large_others :]:
            sizes[index] = setup.small_size
    genesis = make_genesis(
        params, operators, wallets, sizes, users, tests=setup.tests, pool_umill=setup.pool_umill, bond=setup.bond
    )
    engine: Engine = SignedEngine(genesis, setup.seed) if setup.signed else QuickEngine(genesis, setup.seed)
    careless = setup.nodes * setup.careless_percent // 100
    roles: dict[int, type[Node]] = dict.fromkeys(order[: setup.cheaters], setup.strategy)
    roles |= dict.fromkeys(order[setup.cheaters : setup.cheaters + careless], Careless)
    nodes = [
        roles.get(index, Node)(index, operators[index], wallets[index], sizes[index], setup.bond, setup.seed)
        for index in range(setup.nodes)
    ]
    for node in nodes:
        if isinstance(node, Careless):
            node.invalid_bp = min(10_000, setup.invalid_bp * setup.nodes // careless)
    demand = None
    if setup.peak_per_s:
        demand = Demand(
            users,
            program_id(HONEST_PROGRAM),
            dice,
            peak_per_s=setup.peak_per_s,
            trough=setup.trough,
            mix=setup.mix,
            redundant_percent=setup.redundant_percent,
            queue_timeout_s=setup.queue_timeout_s,
        )
    return World(engine, nodes, demand, archive=setup.archive)
