"""What each group of nodes earned, lost and spent, per node and day."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from proofmill.task.v1.state_pb2 import (
    PAYOUT_KIND_COMPENSATION,
    PAYOUT_KIND_PROVER_REWARD,
    PAYOUT_KIND_SUBSIDY,
    PAYOUT_KIND_VERIFIER_REWARD,
)

from benchmarks.simulation.population import NODE_UMILL, OPERATOR_UMILL
from chain import schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.simulation.agents import Node
    from benchmarks.simulation.world import World


@dataclass(frozen=True, slots=True)
class Group:
    """Means per node and day; money in umill."""

    nodes: float
    proving_reward: float
    verifying_reward: float
    subsidy: float
    compensation: float
    slashed_fault: float
    slashed_minority: float
    slashed_no_show: float
    tx_fees: float
    proving_cost: float
    verifying_cost: float
    testing_cost: float
    saved: float
    topped_up: float
    offers: float
    assigned: float
    seats: float
    tests: float
    jails: float
    # Of the time.
    jailed_share: float

    @property
    def earned(self) -> float:
        return self.proving_reward + self.verifying_reward + self.subsidy + self.compensation

    @property
    def slashed(self) -> float:
        return self.slashed_fault + self.slashed_minority + self.slashed_no_show

    @property
    def work(self) -> float:
        return self.proving_cost + self.verifying_cost + self.testing_cost

    @property
    def net(self) -> float:
        """What is left of a day."""
        return self.earned - self.slashed - self.tx_fees - self.work


def measure(world: World, nodes: Sequence[Node], days: float) -> Group:
    """A group's means; ValueError if a node's balances aren't what it earned, lost and paid."""
    per = 1 / (len(nodes) * days)

    def income(*kinds: int) -> float:
        return sum(node.income.get(kind, 0) for node in nodes for kind in kinds) * per

    def slashed(kind: str) -> float:
        return sum(node.slashes.get(kind, (0, 0))[1] for node in nodes) * per

    for node in nodes:
        check_balance(world, node)
    jailed_ms = sum(node.jailed_ms + (world.now - node.jailed_since if node.jailed_since else 0) for node in nodes)
    return Group(
        nodes=len(nodes),
        proving_reward=income(PAYOUT_KIND_PROVER_REWARD),
        verifying_reward=income(PAYOUT_KIND_VERIFIER_REWARD),
        subsidy=income(PAYOUT_KIND_SUBSIDY),
        compensation=income(PAYOUT_KIND_COMPENSATION),
        slashed_fault=slashed("FAULT"),
        slashed_minority=slashed("MINORITY"),
        slashed_no_show=slashed("NO_SHOW"),
        tx_fees=sum(fees_of(world, node) for node in nodes) * per,
        proving_cost=sum(node.proving_umill for node in nodes) * per,
        verifying_cost=sum(node.verifying_umill for node in nodes) * per,
        testing_cost=sum(node.testing_umill for node in nodes) * per,
        saved=sum(node.saved_umill for node in nodes) * per,
        topped_up=sum(node.topped_up_umill for node in nodes) * per,
        offers=sum(node.offers for node in nodes) * per,
        assigned=sum(node.assigned for node in nodes) * per,
        seats=sum(node.seats for node in nodes) * per,
        tests=sum(node.tests for node in nodes) * per,
        jails=sum(node.jails for node in nodes) * per,
        jailed_share=jailed_ms * per / 86_400_000,
    )


def average(groups: Sequence[Group]) -> Group:
    """The means over seeds."""
    return Group(
        **{field.name: sum(getattr(one, field.name) for one in groups) / len(groups) for field in fields(Group)}
    )


def fees_of(world: World, node: Node) -> int:
    fees = world.engine.fees
    return fees.get(node.node.address, 0) + fees.get(node.operator.address, 0)


def check_balance(world: World, node: Node) -> None:
    """Accounts and bond of a node against its prover's own books."""
    rows = world.engine.rows
    prover = schema.PROVERS.require(rows, node.operator.raw)
    held = sum(schema.ACCOUNTS.require(rows, wallet.raw).umill for wallet in (node.operator, node.node)) + prover.bond
    expected = (
        OPERATOR_UMILL + NODE_UMILL + node.bond + prover.earned_umill - prover.slashed_umill - fees_of(world, node)
    )
    if held != expected:
        raise ValueError(f"node {node.index} holds {held} umill instead of {expected}")
