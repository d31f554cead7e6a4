"""Prices grow with what is asked for, and rounding never loses or makes up more than a unit."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, strategies as st
from proofmill.types.v1.types_pb2 import Resources

from chain.params import default_params
from chain.pricing import price

PARAMS = default_params()

cpus = st.integers(1, 10**9)
memory = st.integers(1, 2**50)
gpus = st.integers(0, 1_024)
seconds = st.integers(1, 24 * 3_600)
redundancies = st.integers(1, 5)


@given(cpu=cpus, mem=memory, gpu=gpus, time=seconds, copies=redundancies)
def test_price_is_the_exact_share_rounded_up(cpu: int, mem: int, gpu: int, time: int, copies: int) -> None:
    found = price(PARAMS, Resources(cpu_millis=cpu, memory_bytes=mem, gpus=gpu), time, copies)
    node = PARAMS.gpu_node if gpu else PARAMS.cpu_node
    shares = [Fraction(cpu, node.resources.cpu_millis), Fraction(mem, node.resources.memory_bytes)]
    if gpu:
        shares.append(Fraction(gpu, node.resources.gpus))
    exact = max(shares) * node.ucredit_per_hour * time * copies / 3_600
    assert exact <= found < exact + 1
    assert found >= 1


@given(cpu=cpus, mem=memory, gpu=gpus, time=seconds, more=st.tuples(cpus, memory, gpus, seconds))
def test_more_never_costs_less(cpu: int, mem: int, gpu: int, time: int, more: tuple[int, int, int, int]) -> None:
    less = price(PARAMS, Resources(cpu_millis=cpu, memory_bytes=mem, gpus=gpu), time, 1)
    # A first GPU moves a task to the dearer node, whose share of memory and cores costs more too.
    bigger = Resources(cpu_millis=cpu + more[0], memory_bytes=mem + more[1], gpus=gpu + more[2])
    assert price(PARAMS, bigger, time + more[3], 1) >= less


@given(cpu=cpus, mem=memory, gpu=gpus, time=seconds, copies=redundancies)
def test_copies_cost_no_more_than_one_each(cpu: int, mem: int, gpu: int, time: int, copies: int) -> None:
    resources = Resources(cpu_millis=cpu, memory_bytes=mem, gpus=gpu)
    one = price(PARAMS, resources, time, 1)
    assert copies * (one - 1) < price(PARAMS, resources, time, copies) <= copies * one
