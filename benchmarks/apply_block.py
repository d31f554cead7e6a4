"""apply_block alone: a block of 5,000 signed sends on a store with 100,000 accounts, by part."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import print_table, say
from benchmarks.sends import SENDERS, make_genesis, sign_sends
from chain import schema
from chain.ante import decode_sized, process_ante
from chain.beacon import compute_beacon
from chain.context import BlockEnv, Context
from chain.genesis import genesis_json
from chain.params import default_params
from chain.signatures import SignatureCache
from chain.state.merkle import Tree
from chain.state.overlay import Overlay
from chain.transition import BlockInput, CheckState, apply_block, execute_messages, init_chain
from chain.tx import DecodedTx
from validator_node.collector import tune_collector
from validator_node.store import Store

CHAIN_ID = "bench-1"
BLOCKS = 5


def main() -> None:
    say("signing sends")
    rounds = sign_sends(CHAIN_ID, range(BLOCKS))
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "app.db")
        say("building the genesis state")
        genesis = init_chain(genesis_json(make_genesis()).encode())
        store.commit(1, genesis.writes, genesis.nodes, genesis.app_hash, 100)
        tune_collector()
        parts = [_measure(store, height + 2, txs) for height, txs in enumerate(rounds)]
        store.close()
    # The first block warms caches up.
    middle = sorted(parts[1:], key=lambda part: sum(part.values()))[(BLOCKS - 1) // 2]
    whole = sum(seconds for name, seconds in middle.items() if name != "check_tx (before the block)")
    rows = [
        (name, f"{seconds * 1e3:.0f}", f"{seconds / SENDERS * 1e6:.1f}", f"{seconds / whole:.0%}")
        for name, seconds in middle.items()
    ]
    rows.append(("block: decode to write", f"{whole * 1e3:.0f}", f"{whole / SENDERS * 1e6:.1f}", "100%"))
    print_table(
        f"A block of {SENDERS:,} sends (median of {BLOCKS - 1} blocks)",
        ("part", "ms", "µs a send", "share"),
        rows,
    )


def _measure(store: Store, height: int, txs: list[bytes]) -> dict[str, float]:
    """Seconds by part; the block is applied once in parts and once as a whole, which is what gets committed."""
    signatures = SignatureCache()
    check = CheckState(store.values, CHAIN_ID, height - 1, 0, signatures)
    parts = {"check_tx (before the block)": _timed(lambda: [check.check(raw, recheck=False) for raw in txs])}
    params = default_params()
    overlay = Overlay(store.values)
    beacon = compute_beacon(schema.LAST_BLOCK_HASH.require(overlay), height)
    context = Context(overlay, BlockEnv(CHAIN_ID, height, 0, beacon), params, [])
    transactions: list[DecodedTx] = []
    parts["decode, remembered"] = _timed(lambda: transactions.extend(decode_sized(raw, params) for raw in txs))
    parts["ante, signatures cached"] = _timed(lambda: _check_all(context, transactions, signatures))

    def execute() -> None:
        for tx in transactions:
            layer = context.nested()
            execute_messages(layer, tx)
            layer.kv.merge_into_parent()

    parts["execute"] = _timed(execute)
    parts["tree"] = _timed(lambda: Tree(store.nodes).apply(overlay.writes))
    block = BlockInput(CHAIN_ID, height, 0, hashlib.sha256(str(height).encode()).digest(), tuple(txs), b"", ())
    result = apply_block(store.values, store.nodes, block, signatures)
    failed = [one for one in result.results if one.code]
    if failed:
        raise SystemExit(f"{len(failed)} sends failed, the first one: {failed[0].log}")
    parts["write, synced"] = _timed(lambda: store.commit(height, result.writes, result.nodes, result.app_hash, 100))
    return parts


def _check_all(context: Context, transactions: list[DecodedTx], signatures: SignatureCache) -> None:
    for tx in transactions:
        process_ante(context, tx, signatures)


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
