"""Resident memory of a validator's application: its whole process, without CometBFT's."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from proofmill.genesis.v1.genesis_pb2 import Genesis

from benchmarks.load import send_all, split_by_sender
from benchmarks.node import CHAIN_ID, Node, mill_node, prepare_home, resident_bytes
from benchmarks.report import print_table, say
from benchmarks.sends import ACCOUNTS, SENDERS, make_genesis, sign_sends
from chain.params import default_params

ROUNDS = 20
TXS = ROUNDS * SENDERS
IN_FLIGHT = 20_000
REST_SECONDS = 3.0


def main() -> None:
    say(f"signing {TXS:,} sends")
    sends = split_by_sender(sign_sends(CHAIN_ID, range(ROUNDS)))
    rows: list[tuple[str, str]] = []

    def note(what: str, node: Node) -> None:
        time.sleep(REST_SECONDS)
        if node.app_pid is not None:
            rows.append((what, f"{resident_bytes(node.app_pid) / 1e6:.0f}"))

    with tempfile.TemporaryDirectory() as folder:
        with mill_node(prepare_home(Path(folder) / "small", Genesis(params=default_params()))) as node:
            note("at rest, an empty state", node)
        home = prepare_home(Path(folder) / "large", make_genesis())
        with mill_node(home) as node:
            note(f"at rest, {ACCOUNTS:,} accounts just made from genesis", node)
            say(f"{TXS:,} sends")
            send_all(node, sends, IN_FLIGHT)
            note(f"after {TXS:,} transactions", node)
        with mill_node(home) as node:
            note("at rest, the same state, started again", node)
    print_table("Resident memory of the application", ("when", "MB"), rows)
