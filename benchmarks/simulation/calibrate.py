"""That the quick engine is the real one: on signed blocks through `apply_block` the same nodes make the same state."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.simulation.build import Setup, build
from benchmarks.simulation.engine import Engine, SignedEngine
from benchmarks.simulation.strategies import LazyVerifier
from chain import schema
from chain.invariants import check_invariants
from chain.state.overlay import Overlay

if TYPE_CHECKING:
    from benchmarks.simulation.rows import Rows


@dataclass(frozen=True, slots=True)
class Calibration:
    """Both runs side by side."""

    blocks: int
    txs: int
    tasks: int
    rows: int
    same: bool
    # Bytes of tree nodes for each byte of rows.
    tree_bytes: int
    row_bytes: int


def calibrate(seconds: int) -> Calibration:
    """A small world twice: every row of the state must be equal, balances and gas included."""
    setup = Setup(
        nodes=24,
        seed=7,
        peak_per_s=0.2,
        strategy=LazyVerifier,
        cheaters=4,
        careless_percent=10,
        invalid_bp=1_000,
        redundant_percent=20,
        archive=False,
        keys=True,
    )
    states, txs = [], []
    for signed in (False, True):
        world = build(replace(setup, signed=signed))
        world.run(world.now + seconds * 1_000)
        check_invariants(Overlay(world.engine.rows))
        states.append(_comparable(world.engine))
        txs.append((world.engine.height, world.figures.txs))
    engine = world.engine
    tree = sum(len(key) + len(node) for key, node in engine.tree.items()) if isinstance(engine, SignedEngine) else 0
    return Calibration(
        blocks=world.engine.height,
        txs=world.figures.txs,
        tasks=world.figures.created,
        rows=len(world.engine.rows),
        same=states[0] == states[1] and txs[0] == txs[1],
        tree_bytes=tree,
        row_bytes=sum(engine.rows.size_by_collection().values()),
    )


def _comparable(engine: Engine) -> str:
    """A hash over all rows, but for the public keys that only signed transactions leave behind."""
    rows: Rows = engine.rows
    digest = hashlib.sha256()
    for key, value in rows.iterate(b"\x00", b"\xff"):
        row = value
        if key[:1] == schema.ACCOUNTS.prefix:
            _, account = schema.ACCOUNTS.decode(key, value)
            account.ClearField("pub_key")
            row = account.SerializeToString(deterministic=True)
        digest.update(len(key).to_bytes(4, "big") + key + len(row).to_bytes(4, "big") + row)
    return digest.hexdigest()
