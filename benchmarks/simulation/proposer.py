"""What it buys to choose a block's hash: the next block's draws follow from it.

A proposer that withholds its block gets one other draw, unseen. One that changes its block before proposing it, the
order of transactions or one of its own, chooses among as many as it can hash in a second.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from proofmill.task.v1.event_pb2 import EventTaskOffered

from benchmarks.simulation.build import Setup, build
from benchmarks.simulation.engine import QuickEngine
from benchmarks.simulation.strategies import Pool
from chain import schema
from chain.beacon import compute_beacon
from chain.context import BlockEnv
from chain.prover.draw import draw_committee
from chain.transition import begin_block

if TYPE_CHECKING:
    from benchmarks.simulation.world import World

# Hashes to choose from: 1 is honest, 2 without seeing the other one is withholding.
WITHHOLD: Final = 0


@dataclass(frozen=True, slots=True)
class Bias:
    """An owner of some percent of the nodes proposes some percent of the blocks, with so many hashes to choose from."""

    nodes_percent: int
    proposer_percent: int
    hashes: int
    seed: int
    blocks: int = 400
    tasks_per_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Gain:
    """Fees of all tasks that were offered, and of those that were offered to the owner's nodes."""

    bias: Bias
    all_fees: int
    own_fees: int
    tasks: int
    own_tasks: int
    withheld: int

    @property
    def share(self) -> float:
        """Of the number of tasks."""
        return self.own_tasks / max(1, self.tasks)

    @property
    def fee_share(self) -> float:
        return self.own_fees / max(1, self.all_fees)


def run_bias(bias: Bias) -> Gain:
    world = build(
        Setup(
            nodes=100,
            seed=bias.seed,
            peak_per_s=bias.tasks_per_s,
            strategy=Pool,
            cheaters=bias.nodes_percent,
            careless_percent=0,
            redundant_percent=0,
            params=(("retest_random_blocks", 1_000_000),),
        )
    )
    dice = Random(f"proposer {bias.seed}")
    owned = {node.operator.address for node in world.nodes if isinstance(node, Pool)}
    fees, own, tasks, own_tasks, withheld = 0, 0, 0, 0, 0
    for _ in range(bias.blocks):
        events = world.step(1_000)
        for event in events:
            if isinstance(event, EventTaskOffered):
                fee = world.jobs[event.task_id].fee
                fees += fee
                tasks += 1
                own += fee if event.prover in owned else 0
                own_tasks += event.prover in owned
        if bias.hashes != 1 and dice.randrange(100) < bias.proposer_percent:
            withheld += _choose(world, owned, bias)
    return Gain(bias, fees, own, tasks, own_tasks, withheld)


def _choose(world: World, owned: set[str], bias: Bias) -> bool:
    """Replace the hash of the block just made by the one that serves the owner best; whether it was replaced."""
    engine = world.engine
    first = schema.LAST_BLOCK_HASH.require(engine.rows)
    honest, possible = preview(world, owned, first)
    if bias.hashes == WITHHOLD:
        # The other draw isn't known: it is taken if this one is worth less than what a fair draw would be.
        chosen = first if honest * 100 >= possible * bias.nodes_percent else _other(first, 1)
    else:
        best = honest
        chosen = first
        for number in range(1, bias.hashes):
            candidate = _other(first, number)
            value, _ = preview(world, owned, candidate)
            if value > best:
                best, chosen = value, candidate
    engine.rows.commit({schema.LAST_BLOCK_HASH.prefix: chosen})
    return chosen != first


def preview(world: World, owned: set[str], block_hash: bytes) -> tuple[int, int]:
    """(fees that the owner's nodes, and that all nodes, would be offered in the next block) after such a hash."""
    engine = world.engine
    assert isinstance(engine, QuickEngine)
    context = engine.open_context(engine.height + 1, engine.time_ms + 1_000, engine.rows)
    beacon = compute_beacon(block_hash, engine.height + 1)
    context.block = BlockEnv(context.block.chain_id, context.block.height, context.block.time_ms, beacon)
    begin_block(context, (), schema.LAST_BLOCK_TIME.get(context.kv) or 0)
    own = every = 0
    for event in context.messages:
        if isinstance(event, EventTaskOffered):
            fee = schema.TASKS.require(engine.rows, event.task_id).fee
            every += fee
            own += fee if event.prover in owned else 0
    return own, every


def _other(block_hash: bytes, number: int) -> bytes:
    return hashlib.sha256(block_hash + number.to_bytes(4, "big")).digest()


@dataclass(frozen=True, slots=True)
class Capture:
    """How often an owner of so many percent of the nodes finds a committee in which it has the quorum."""

    nodes: int
    nodes_percent: int
    size: int
    hashes: int
    trials: int
    captured: int


def run_capture(nodes: int, percent: int, size: int, hashes: int, trials: int) -> Capture:
    """Real committees of a real state, drawn with one beacon after the other."""
    world = build(Setup(nodes=nodes, seed=1, peak_per_s=0, strategy=Pool, cheaters=nodes * percent // 100, tests=False))
    engine = world.engine
    assert isinstance(engine, QuickEngine)
    owned = {node.operator.raw for node in world.nodes if isinstance(node, Pool)}
    context = engine.open_context(1, engine.time_ms, engine.rows)
    quorum = -(-size * world.params.verdict_quorum_bp // 10_000)
    captured = 0
    for trial in range(trials):
        for number in range(hashes):
            beacon = hashlib.sha256(b"%d %d" % (trial, number)).digest()
            context.block = BlockEnv(context.block.chain_id, 1, engine.time_ms, beacon)
            members = draw_committee(context, trial + 1, 1, size, (), ())
            if sum(member in owned for member in members) >= quorum:
                captured += 1
                break
    return Capture(nodes, percent, size, hashes, trials, captured)
