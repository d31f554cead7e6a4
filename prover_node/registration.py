"""Whether what the chain knows of this prover fits how the node is configured."""

from __future__ import annotations

from proofmill.prover.v1.state_pb2 import Prover

from prover_node.chain_duties import resources_of
from prover_node.duties import Resources
from prover_node.settings import Settings


def registration_problems(prover: Prover | None, settings: Settings, node: str) -> list[str]:
    """A sentence for each thing that keeps the node from working, or makes it decline work.

    ``prover`` is the chain's record (``None``: there is none), ``node`` this node key's address.
    """
    if prover is None:
        chain = settings.chain
        return [f"the operator {chain.operator} has no prover on chain {chain.id} yet: run mill prover register"]
    problems = []
    if prover.node != node:
        problems.append(f"the chain expects the node key {prover.node}, but this node's is {node}: use its home")
    own = settings.resources
    shortage = resources_of(prover.resources).shortage(Resources(own.cpu_millis, own.memory_bytes, own.gpus))
    if shortage is not None:
        problems.append(
            f"the chain may assign more than the configuration allows (a task that {shortage}), "
            "which the node would have to decline: raise [resources]"
        )
    if not set(prover.endpoints) & set(settings.http.endpoints):
        problems.append(
            f"none of http.endpoints is registered on chain ({', '.join(prover.endpoints)}): "
            "users may not find proofs and logs"
        )
    return problems
