"""Settlement in the block after the verdict is final: protocol §6.8 and §8 "On a valid proof".

All shares are floored; what flooring leaves over is burned with the network's share, so the escrow always comes out
exactly. Credits that somebody earned are burned and umill minted for them, at the price fixed when the task was
escrowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.task.v1.state_pb2 import (
    PAYOUT_KIND_BURN,
    PAYOUT_KIND_PROVER_REWARD,
    PAYOUT_KIND_SUBSIDY,
    PAYOUT_KIND_VERIFIER_REWARD,
    TASK_STATUS_DONE,
    TASK_STATUS_UNDECIDED,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_UNSPECIFIED,
    VERDICT_VALID,
    Payout,
    PayoutKind,
)

from chain import schema
from chain.address import decode_address, encode_address
from chain.bank.ledger import burn_escrow, mint_umill, pay_subsidy
from chain.params import BASIS_POINTS
from chain.settlement.failure import fail_task, finish_task, refund_task

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Progress, Task

    from chain.context import Context

_UCREDIT_PER_CREDIT = 1_000_000


def settle_decided(context: Context) -> None:
    """Settle every task whose verdict became final in the last block, by task id."""
    kv = context.kv
    for task_id in list(schema.DECIDED.keys(kv)):
        schema.DECIDED.delete(kv, task_id)
        task = schema.TASKS.require(kv, task_id)
        progress = schema.PROGRESS.require(kv, task_id)
        if progress.verdict == VERDICT_VALID:
            _pay(context, task, progress)
        elif progress.verdict == VERDICT_INVALID:
            _blame_prover(context, progress)
            fail_task(context, task, progress, "the committee found the proof invalid")
        elif progress.verdict == VERDICT_INCONCLUSIVE:
            refund_task(
                context, task, progress, TASK_STATUS_UNDECIDED, "the committee could not run the verifier to a verdict"
            )
        elif progress.verdict == VERDICT_UNSPECIFIED:
            refund_task(context, task, progress, TASK_STATUS_UNDECIDED, "no committee reached a quorum")


def _pay(context: Context, task: Task, progress: Progress) -> None:
    kv, terms = context.kv, task.terms
    prover = decode_address(progress.prover)
    winners = [
        voter
        for (_, _, voter), vote in schema.VOTES.iterate(kv, prefix_of=(task.id, progress.round))
        if vote.verdict == VERDICT_VALID
    ]
    prover_reward = task.fee * terms.prover_share_bp // BASIS_POINTS
    # The quorum makes sure that there is a winner.
    verifier_reward = task.fee * terms.verifier_share_bp // BASIS_POINTS // len(winners)
    burn_escrow(kv, task.fee)
    _reward(context, task, progress, prover, prover_reward, PAYOUT_KIND_PROVER_REWARD)
    for voter in winners:
        _reward(context, task, progress, voter, verifier_reward, PAYOUT_KIND_VERIFIER_REWARD)
    burned = task.fee - prover_reward - verifier_reward * len(winners)
    progress.payouts.append(Payout(kind=PAYOUT_KIND_BURN, ucredit=burned))
    finish_task(context, task, progress, TASK_STATUS_DONE, "the committee found the proof valid")


def _reward(context: Context, task: Task, progress: Progress, operator: bytes, ucredit: int, kind: PayoutKind) -> None:
    """Mint one share for an operator, with the network pool's subsidy on top, and count it."""
    kv, recipient = context.kv, encode_address(operator)
    umill = mint_umill(kv, operator, ucredit * task.terms.credit_price_umill // _UCREDIT_PER_CREDIT)
    progress.payouts.append(Payout(kind=kind, recipient=recipient, ucredit=ucredit, umill=umill))
    subsidy = pay_subsidy(kv, operator, umill * task.terms.subsidy_bp // BASIS_POINTS)
    if subsidy:
        progress.payouts.append(Payout(kind=PAYOUT_KIND_SUBSIDY, recipient=recipient, umill=subsidy))
    prover = schema.PROVERS.require(kv, operator)
    prover.earned_umill += umill + subsidy
    if kind == PAYOUT_KIND_PROVER_REWARD:
        prover.tasks_proved += 1
    else:
        prover.votes_rewarded += 1
    schema.PROVERS.set(kv, operator, prover)


def _blame_prover(context: Context, progress: Progress) -> None:
    operator = decode_address(progress.prover)
    prover = schema.PROVERS.require(context.kv, operator)
    prover.tasks_failed += 1
    schema.PROVERS.set(context.kv, operator, prover)
