"""What a task costs: protocol §8."""

from __future__ import annotations

import pytest
from proofmill.types.v1.types_pb2 import Resources

from chain.params import GIB, default_params
from chain.pricing import price


@pytest.mark.parametrize(
    ("cpus", "gib", "gpus", "seconds", "ucredit"),
    [
        # The three vectors of the protocol page.
        (32, 190, 1, 300, 35_000),
        (96, 760, 0, 600, 101_667),
        (1, 2, 0, 10, 18),
        # Each dimension dominant once, on either node.
        (48, 1, 0, 3_600, 305_000),
        (1, 384, 0, 3_600, 305_000),
        (32, 1, 1, 3_600, 420_000),
        (1, 190, 1, 3_600, 420_000),
        (1, 1, 1, 3_600, 420_000),
        (1, 1, 2, 3_600, 840_000),
        (64, 380, 4, 3_600, 1_680_000),
        # Nothing is free, and a second is charged in full.
        (1, 1, 0, 1, 2),
        (96, 768, 0, 1, 170),
    ],
)
def test_vectors(cpus: int, gib: int, gpus: int, seconds: int, ucredit: int) -> None:
    resources = Resources(cpu_millis=cpus * 1_000, memory_bytes=gib * GIB, gpus=gpus)
    assert price(default_params(), resources, seconds, 1) == ucredit


def test_rounded_up_once_for_the_whole() -> None:
    resources = Resources(cpu_millis=1_000, memory_bytes=2 * GIB)
    assert price(default_params(), resources, 10, 1) == 18  # 17.65
    assert price(default_params(), resources, 10, 2) == 36  # 35.30
    assert price(default_params(), resources, 10, 3) == 53  # 52.95


def test_the_smallest_task_costs_the_smallest_unit() -> None:
    assert price(default_params(), Resources(cpu_millis=1, memory_bytes=1), 1, 1) == 1
