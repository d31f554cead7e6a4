"""Signed sends through a real node at saturation, beside CometBFT's built-in kvstore in the same run.

Both nodes have the same configuration, the one that `mill node init` writes (its transaction index included), and both
get transactions of the same size from the same driver with as many in flight.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from proofmill.genesis.v1.genesis_pb2 import Genesis

from benchmarks.load import CONNECTIONS, Load, Measured, drive, split_by_sender
from benchmarks.node import CHAIN_ID, kvstore_node, mill_node, prepare_home
from benchmarks.report import print_table, say
from benchmarks.sends import ACCOUNTS, make_genesis, sign_sends

ROUNDS = 26
KEY_VALUES = 300_000
IN_FLIGHT = 20_000
WARM_UP = 15_000
SECONDS = 15.0


def main() -> None:
    say(f"signing {ROUNDS} rounds of sends")
    sends = split_by_sender(sign_sends(CHAIN_ID, range(ROUNDS)))
    with tempfile.TemporaryDirectory() as folder:
        say(f"a node with {ACCOUNTS:,} accounts")
        with mill_node(prepare_home(Path(folder) / "mill", make_genesis())) as node:
            ours = drive(node, Load(sends, IN_FLIGHT, WARM_UP, SECONDS))
        say("CometBFT's kvstore")
        with kvstore_node(prepare_home(Path(folder) / "kvstore", Genesis())) as node:
            theirs = drive(node, Load(_key_values(len(sends[0][0])), IN_FLIGHT, WARM_UP, SECONDS))
    if ours.failed or theirs.failed:
        raise SystemExit(f"{ours.failed + theirs.failed} transactions failed in their blocks")
    print_table(
        f"Committed at saturation, {IN_FLIGHT:,} transactions of {len(sends[0][0])} bytes in flight, "
        f"indexed by CometBFT (kv)",
        ("node", "tx/s", "ratio", "txs a block", "s a block", "CPU µs a tx: app", "CometBFT", "driver"),
        [_row("CometBFT's kvstore", theirs, theirs), _row("proofmill", ours, theirs)],
    )


def _key_values(size: int) -> list[list[bytes]]:
    """Transactions of so many bytes for the kvstore, each of which sets a key of its own."""
    return [
        [f"{part}-{index}=".encode().ljust(size, b"x") for index in range(KEY_VALUES // CONNECTIONS)]
        for part in range(CONNECTIONS)
    ]


def _row(name: str, one: Measured, base: Measured) -> tuple[str, ...]:
    blocks = len(one.block_txs)
    return (
        name,
        f"{one.rate:,.0f}",
        f"{one.rate / base.rate:.2f}",
        f"{one.txs / blocks:,.0f}",
        f"{one.seconds / blocks:.1f}",
        *(f"{cpu / one.txs * 1e6:.0f}" for cpu in (one.app_cpu, one.comet_cpu, one.driver_cpu)),
    )
