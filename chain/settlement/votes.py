"""Who voted how: rewards for the verdict, slashes for the opposite and for silence (protocol §8, ADR 9)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from proofmill.task.v1.state_pb2 import (
    SLASH_KIND_MINORITY,
    SLASH_KIND_NO_SHOW,
    VERDICT_INVALID,
    VERDICT_UNSPECIFIED,
    VERDICT_VALID,
    Verdict,
)

from chain import schema
from chain.address import encode_address
from chain.bank.ledger import pool_bond
from chain.params import BASIS_POINTS
from chain.prover.slashing import slash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proofmill.task.v1.state_pb2 import Assignment, Progress, Task
    from proofmill.verification.v1.state_pb2 import Vote

    from chain.context import Context
    from chain.state.kv import KVReader

# A verdict that says something about the proof, and its opposite.
_OPPOSITES: Final = MappingProxyType({VERDICT_VALID: VERDICT_INVALID, VERDICT_INVALID: VERDICT_VALID})


def get_voters_for(kv: KVReader, task_id: int, rows: list[tuple[bytes, Assignment]], verdict: Verdict) -> list[bytes]:
    """Operators who voted for a verdict on proofs of which it became final; once for each vote, in all passes."""
    return [voter for voter, _, vote, final in _votes(kv, task_id, rows) if vote.verdict == final == verdict]


def punish_voters(context: Context, task: Task, progress: Progress, rows: list[tuple[bytes, Assignment]]) -> None:
    """Slash those who voted against a final verdict, and those who didn't commit, or didn't reveal."""
    terms = context.terms(task)
    for voter, number, vote, final in list(_votes(context.kv, task.id, rows)):
        if vote.verdict == VERDICT_UNSPECIFIED:
            kind, share_bp, what = SLASH_KIND_NO_SHOW, terms.slash_no_show_bp, "didn't vote on"
        elif vote.verdict == _OPPOSITES.get(final):
            kind, share_bp, what = SLASH_KIND_MINORITY, terms.slash_minority_bp, "voted against the verdict on"
        else:
            continue
        bond = schema.PROVERS.require(context.kv, voter).bond
        amount = bond * share_bp // BASIS_POINTS
        reason = f"{what} the proof of task {task.id}"
        rest = slash(context, task.id, progress, voter, kind, amount, reason, round_=number)
        pool_bond(context.kv, rest)


def _votes(
    kv: KVReader, task_id: int, rows: list[tuple[bytes, Assignment]]
) -> Iterator[tuple[bytes, int, Vote, Verdict]]:
    """(voter, round, vote, final verdict) of every committee on the proofs of these assignments."""
    finals = {encode_address(operator): row.verdict for operator, row in rows}
    for (_, number), round_ in schema.ROUNDS.iterate(kv, prefix_of=(task_id,)):
        if round_.prover in finals:
            for (_, _, voter), vote in schema.VOTES.iterate(kv, prefix_of=(task_id, number)):
                yield voter, number, vote, finals[round_.prover]
