"""Drawing a prover and a committee among 10, 1,000 and 100,000 active provers: the time must not grow with them."""

from __future__ import annotations

from itertools import count

from proofmill.prover.v1.state_pb2 import Prover
from proofmill.types.v1.types_pb2 import Resources

from benchmarks.report import median_seconds, print_table, say
from chain.address import encode_address
from chain.beacon import compute_beacon
from chain.context import BlockEnv, Context
from chain.params import GIB, default_params
from chain.prover.draw import draw_committee, draw_prover
from chain.prover.registry import activate
from chain.state.kv import MemoryKV
from chain.state.overlay import Overlay

SIZES = (10, 1_000, 100_000)
COMMITTEE = 10
DRAWS = 200


def main() -> None:
    rows = []
    for size in SIZES:
        say(f"registering {size} provers")
        context = _network(size)
        numbers = count()
        wanted = Resources(cpu_millis=1_000, memory_bytes=GIB)
        prover = median_seconds(
            lambda: [draw_prover(context, next(numbers), 0, wanted, (), 512) for _ in range(DRAWS)],  # noqa: B023
            5,
        )
        committee = median_seconds(
            lambda: [draw_committee(context, next(numbers), 1, COMMITTEE, (), ()) for _ in range(DRAWS)],  # noqa: B023
            5,
        )
        rows.append((f"{size:,}", f"{prover / DRAWS * 1e6:.0f}", f"{committee / DRAWS * 1e6:.0f}"))
    print_table(
        f"Draws, µs each (median of 5 × {DRAWS})", ("active provers", "a prover", f"a committee of {COMMITTEE}"), rows
    )


def _network(size: int) -> Context:
    kv = Overlay(MemoryKV())
    for index in range(size):
        raw = index.to_bytes(20, "big")
        resources = Resources(cpu_millis=4_000, memory_bytes=8 * GIB)
        activate(kv, raw, Prover(operator=encode_address(raw), resources=resources, used=Resources()))
    return Context(kv, BlockEnv("bench", 100, 0, compute_beacon(bytes(32), 100)), default_params(), [])
