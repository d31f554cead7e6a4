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

# In place of a number of hashes to choose from: one other, unseen.
WITHHOLD: Final = 0


@dataclass(frozen=True, slots=True)
class Bias:
    """An owner of some percent of the nodes proposes some percent of the blocks, with so many hashes to choose from."""

    nodes_percent: int
    proposer_percent: int
    hashes: int
    seed: int
    blocks: int = 300
    tasks_per_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Gain:
    """Fees that were offered in the blocks after the owner's own ones: to everybody, and to the owner's nodes."""

    bias: Bias
    own_blocks: int
    # Those that weren't published as they were.
    changed: int
    all_fees: int
    # If it had been honest in this block, and with what it chose.
    honest_fees: int
    chosen_fees: int


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
    blocks, changed, fees, honest, chosen = 0, 0, 0, 0, 0
    for _ in range(bias.blocks):
        world.step(1_000)
        if dice.randrange(100) < bias.proposer_percent:
            first, best, possible, differs = _choose(world, owned, bias)
            blocks += 1
            changed += differs
            fees += possible
            honest += first
            chosen += best
    return Gain(bias, blocks, changed, fees, honest, chosen)


def _choose(world: World, owned: set[str], bias: Bias) -> tuple[int, int, int, bool]:
    """Replace the hash of the block just made by the one that serves the owner best.

    Fees of the owner with the honest hash, with the chosen one, of everybody, and whether the hash was replaced.
    """
    engine = world.engine
    hash_ = schema.LAST_BLOCK_HASH.require(engine.rows)
    first, possible = preview(world, owned, hash_)
    chosen, best = hash_, first
    if bias.hashes == WITHHOLD and first * 100 < possible * bias.nodes_percent:
        # The other draw isn't known: it is taken if this one is worth less than a fair share.
        chosen = _other(hash_, 1)
        best, _ = preview(world, owned, chosen)
    for number in range(1, bias.hashes):
        candidate = _other(hash_, number)
        value, _ = preview(world, owned, candidate)
        if value > best:
            best, chosen = value, candidate
    engine.rows.commit({schema.LAST_BLOCK_HASH.prefix: chosen})
    return first, best, possible, chosen != hash_


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
