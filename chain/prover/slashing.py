"""Taking umill from a bond (protocol §8 "Slashes")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.prover.v1.event_pb2 import EventProverSlashed
from proofmill.task.v1.state_pb2 import Slash, SlashKind

from chain import schema
from chain.bank.ledger import burn_bond
from chain.prover.lifecycle import jail

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Progress

    from chain.context import Context


def slash(
    context: Context,
    task_id: int,
    progress: Progress,
    operator: bytes,
    kind: SlashKind,
    wanted: int,
    reason: str,
    round_: int = 0,
) -> int:
    """Take up to `wanted` umill; half of it, rounded down, is burned. Returns the other half.

    That half is still counted among the bonds: the caller has to hand it to somebody in this very block. A prover
    whose bond falls below the minimum is jailed. The slash is added to the progress, which the caller stores.
    """
    kv = context.kv
    prover = schema.PROVERS.require(kv, operator)
    amount = min(wanted, prover.bond)
    if not amount:
        return 0
    burned = amount // 2
    prover.bond -= amount
    prover.slashed_umill += amount
    schema.PROVERS.set(kv, operator, prover)
    burn_bond(kv, burned)
    progress.slashes.append(
        Slash(
            kind=kind,
            prover=prover.operator,
            umill=amount,
            burned=burned,
            height=context.block.height,
            round=round_,
        )
    )
    name = SlashKind.Name(kind).removeprefix("SLASH_KIND_")
    context.emit(EventProverSlashed(operator=prover.operator, task_id=task_id, kind=name, umill=amount))
    if prover.bond < context.params.prover_bond_min:
        jail(context, operator, f"{reason}, and the slash left less than the smallest bond: top it up")
    return amount - burned
