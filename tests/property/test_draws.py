"""Draws are permutations, uniform, and the same everywhere: protocol §6.2 and §6.5."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import islice, permutations

import pytest
from hypothesis import given, strategies as st
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.beacon import Draw, compute_beacon
from chain.context import BlockEnv, Context
from chain.params import GIB
from chain.prover.draw import draw_committee, draw_prover
from chain.state.overlay import Overlay
from tests.support.network import CHAIN_ID, START_MS, Network, make_genesis

DRAWS = 6_000

beacons = st.binary(min_size=32, max_size=32)


def beacon_of(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4, "big")).digest()


def chi_square(counts: list[int], expected: int) -> int:
    """A thousandth of the statistic, in integers."""
    return sum((count - expected) ** 2 for count in counts) * 1_000 // expected


@given(beacon=beacons, number=st.integers(0, 2**64 - 1), size=st.integers(0, 300))
def test_permutations_are_permutations(beacon: bytes, number: int, size: int) -> None:
    assert sorted(Draw(beacon, b"test", number).permutation(size)) == list(range(size))


@given(beacon=beacons, size=st.integers(1, 10**9), taken=st.integers(0, 50))
def test_the_first_of_a_huge_permutation_are_distinct_and_cheap(beacon: bytes, size: int, taken: int) -> None:
    some = list(islice(Draw(beacon, b"test", 1).permutation(size), taken))
    assert len(set(some)) == len(some) == min(size, taken)
    assert all(0 <= place < size for place in some)


@given(beacon=beacons, bound=st.one_of(st.integers(1, 10), st.integers(1, 2**64)))
def test_numbers_stay_below_their_bound(beacon: bytes, bound: int) -> None:
    draw = Draw(beacon, b"test", 1)
    assert all(0 <= draw.below(bound) < bound for _ in range(9))


@given(beacon=beacons, number=st.integers(0, 2**63))
def test_streams_differ_by_beacon_purpose_and_number(beacon: bytes, number: int) -> None:
    def stream(beacon: bytes, purpose: bytes, number: int) -> list[int]:
        draw = Draw(beacon, purpose, number)
        return [draw.below(2**64) for _ in range(3)]

    mine = stream(beacon, b"a", number)
    assert mine == stream(beacon, b"a", number)
    others = (
        stream(beacon_of(1) + beacon, b"a", number),
        stream(beacon, b"b", number),
        stream(beacon, b"a", number + 1),
    )
    assert mine not in others


@given(block_hash=beacons, height=st.integers(0, 2**63))
def test_the_beacon_depends_on_the_block_and_its_height(block_hash: bytes, height: int) -> None:
    assert compute_beacon(block_hash, height) != compute_beacon(block_hash, height + 1)
    assert len(compute_beacon(block_hash, height)) == 32


def test_every_order_of_four_is_as_likely() -> None:
    counts = Counter(tuple(Draw(beacon_of(seed), b"test", 1).permutation(4)) for seed in range(DRAWS))
    every = [counts[order] for order in permutations(range(4))]
    # 23 degrees of freedom: above 49.7 one time in a thousand; the seeds are fixed, so this never changes.
    assert chi_square(every, DRAWS // 24) < 49_700


@pytest.mark.parametrize("bound", [2, 7, 10, 100])
def test_numbers_are_uniform(bound: int) -> None:
    draw = Draw(beacon_of(bound), b"test", 1)
    counts = Counter(draw.below(bound) for _ in range(200 * bound))
    # Mean of the statistic is bound − 1, its deviation √(2·bound): far below twice the bound plus 20.
    assert chi_square([counts[number] for number in range(bound)], 200) < (2 * bound + 20) * 1_000


def context_of(network: Network, beacon: bytes, height: int) -> Context:
    env = BlockEnv(CHAIN_ID, height, START_MS, beacon)
    return Context(Overlay(network.values), env, schema.PARAMS.require(network.values), [])


def small(network: Network, index: int) -> None:
    """Take a prover's cores away."""
    operator = schema.ACTIVE_PROVERS.require(network.values, index)
    prover = schema.PROVERS.require(network.values, operator)
    prover.used.cpu_millis = 4_000
    schema.PROVERS.set(network.values, operator, prover)


def test_every_eligible_prover_is_drawn_as_often() -> None:
    network = Network.start(make_genesis(10))
    for index in (0, 4, 9):
        small(network, index)
    passed = schema.ACTIVE_PROVERS.require(network.values, 5)
    counts: Counter[bytes] = Counter()
    for seed in range(1_800):
        context = context_of(network, beacon_of(seed), 100)
        found, _ = draw_prover(context, 1, 0, Resources(cpu_millis=1, memory_bytes=GIB), {passed}, 512)
        assert found is not None
        counts[found[0]] += 1
    assert len(counts) == 6
    # 5 degrees of freedom.
    assert chi_square(list(counts.values()), 300) < 20_500


def test_every_prover_sits_in_committees_as_often_and_the_prover_never() -> None:
    network = Network.start(make_genesis(12))
    prover = schema.ACTIVE_PROVERS.require(network.values, 3)
    counts: Counter[bytes] = Counter()
    for seed in range(1_100):
        members = draw_committee(context_of(network, beacon_of(seed), 100), 1, 1, 5, {prover}, ())
        assert len(set(members)) == 5
        counts.update(members)
    assert prover not in counts
    assert len(counts) == 11
    assert chi_square(list(counts.values()), 500) < 29_600


@given(seed=st.integers(0, 10**6), last=st.sets(st.integers(0, 5)))
def test_the_last_block_s_provers_rest_unless_there_is_nobody_else(seed: int, last: set[int]) -> None:
    network = Network.start(make_genesis(6))
    for index in last:
        operator = schema.ACTIVE_PROVERS.require(network.values, index)
        prover = schema.PROVERS.require(network.values, operator)
        prover.last_assigned_height = 99
        schema.PROVERS.set(network.values, operator, prover)
    wanted = Resources(cpu_millis=1_000, memory_bytes=GIB)
    found, looked = draw_prover(context_of(network, beacon_of(seed), 100), 1, 0, wanted, (), 512)
    assert found is not None
    assert (found[1].active_index in last) == (len(last) == 6)
    assert looked <= 6
