"""Drawing provers and committees from the array of active ones: protocol §6.2 and §6.5."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chain import schema
from chain.beacon import Draw
from chain.fields import fits
from chain.prover.registry import free_resources, get_active_count

if TYPE_CHECKING:
    from collections.abc import Container

    from proofmill.prover.v1.state_pb2 import Prover
    from proofmill.types.v1.types_pb2 import Resources

    from chain.context import Context


def draw_prover(
    context: Context, task_id: int, attempt: int, resources: Resources, passed_over: Container[bytes], looks: int
) -> tuple[tuple[bytes, Prover] | None, int]:
    """One eligible prover, uniformly, and how many were looked at; none if none of `looks` random ones fits.

    Walking a random permutation until one fits is rejection sampling without looking at anybody twice. Provers that
    were assigned in the previous block are taken only if none of the others fits.
    """
    kv, height = context.kv, context.block.height
    count = get_active_count(kv)
    looks = min(count, looks)
    draw = Draw(context.block.beacon, b"assign" + attempt.to_bytes(4, "big"), task_id)
    reserve: tuple[bytes, Prover] | None = None
    looked = 0
    for position in draw.permutation(count):
        if looked == looks:
            break
        looked += 1
        operator = schema.ACTIVE_PROVERS.require(kv, position)
        if operator in passed_over:
            continue
        prover = schema.PROVERS.require(kv, operator)
        # Whose test is due gets no work, so that its running work ends and the test can begin.
        if prover.test_due or not fits(resources, free_resources(prover)):
            continue
        if prover.last_assigned_height + 1 != height:
            return (operator, prover), looked
        if reserve is None:
            reserve = operator, prover
    return reserve, looked


def draw_committee(
    context: Context, task_id: int, round_: int, size: int, excluded: Container[bytes], earlier: Container[bytes]
) -> list[bytes]:
    """Operators of up to `size` distinct active provers, uniformly; members of earlier rounds only if they must."""
    kv = context.kv
    draw = Draw(context.block.beacon, b"committee" + round_.to_bytes(4, "big"), task_id)
    fresh: list[bytes] = []
    again: list[bytes] = []
    for position in draw.permutation(get_active_count(kv)):
        if len(fresh) == size:
            break
        operator = schema.ACTIVE_PROVERS.require(kv, position)
        if operator in excluded:
            continue
        (again if operator in earlier else fresh).append(operator)
    return fresh + again[: size - len(fresh)]
