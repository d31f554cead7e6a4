"""What leaves a task's escrow, each with its line in the task's payouts (protocol §8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proofmill.task.v1.event_pb2 import EventTaskEnded
from proofmill.task.v1.state_pb2 import (
    PAYOUT_KIND_BURN,
    PAYOUT_KIND_COMPENSATION,
    PAYOUT_KIND_ELAPSED,
    PAYOUT_KIND_FINDER_REWARD,
    PAYOUT_KIND_PROVER_REWARD,
    PAYOUT_KIND_REFUND,
    PAYOUT_KIND_SUBSIDY,
    PAYOUT_KIND_VERIFIER_REWARD,
    Payout,
    PayoutKind,
    TaskStatus,
)

from chain import schema
from chain.address import decode_address, encode_address
from chain.bank.ledger import burn_escrow, mint_umill, pay_subsidy, refund_ucredit, unbond_umill
from chain.params import BASIS_POINTS

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Progress, Task

    from chain.context import Context

_UCREDIT_PER_CREDIT: Final = 1_000_000


def get_escrowed(task: Task, progress: Progress) -> int:
    """ucredit of the fee that haven't been paid out yet."""
    return task.fee - sum(payout.ucredit for payout in progress.payouts)


def umill_worth(context: Context, task: Task, ucredit: int) -> int:
    """umill for so many ucredit, rounded down, at the price when the task was escrowed."""
    return ucredit * context.terms(task).credit_price_umill // _UCREDIT_PER_CREDIT


def refund(context: Context, task: Task, progress: Progress, ucredit: int) -> None:
    """Give a part of the fee back to the user."""
    if ucredit:
        refund_ucredit(context.kv, decode_address(task.user), ucredit)
        _note(context, progress, PAYOUT_KIND_REFUND, task.user, ucredit=ucredit)


def burn_rest(context: Context, task: Task, progress: Progress) -> None:
    """Destroy what is left in the escrow: the network's share, and what rounding left over."""
    ucredit = get_escrowed(task, progress)
    if ucredit:
        burn_escrow(context.kv, ucredit)
        _note(context, progress, PAYOUT_KIND_BURN, ucredit=ucredit)


def reward(
    context: Context, task: Task, progress: Progress, operator: bytes, kind: PayoutKind, ucredit: int, slashed: int = 0
) -> None:
    """Pay an operator out of the escrow, in freshly minted umill, and `slashed` umill out of somebody's bond; count it.

    The network pool subsidises both while it lasts, but not work that was cancelled: nobody knows whether that was any.
    """
    kv, recipient = context.kv, encode_address(operator)
    umill = 0
    if ucredit:
        burn_escrow(kv, ucredit)
        umill = mint_umill(kv, operator, umill_worth(context, task, ucredit))
    if slashed:
        unbond_umill(kv, operator, slashed)
    earned = umill + slashed
    if kind == PAYOUT_KIND_FINDER_REWARD and slashed:
        _note(context, progress, kind, recipient, umill=slashed)
    elif ucredit or slashed:
        _note(context, progress, kind, recipient, ucredit=ucredit, umill=umill)
        if slashed:
            _note(context, progress, PAYOUT_KIND_COMPENSATION, recipient, umill=slashed)
    if kind != PAYOUT_KIND_ELAPSED:
        subsidy = pay_subsidy(kv, operator, earned * context.terms(task).subsidy_bp // BASIS_POINTS)
        if subsidy:
            _note(context, progress, PAYOUT_KIND_SUBSIDY, recipient, umill=subsidy)
        earned += subsidy
    prover = schema.PROVERS.require(kv, operator)
    prover.earned_umill += earned
    if kind == PAYOUT_KIND_PROVER_REWARD:
        prover.tasks_proved += 1
    elif kind in (PAYOUT_KIND_VERIFIER_REWARD, PAYOUT_KIND_FINDER_REWARD):
        prover.votes_rewarded += 1
    schema.PROVERS.set(kv, operator, prover)


def _note(
    context: Context, progress: Progress, kind: PayoutKind, recipient: str = "", *, ucredit: int = 0, umill: int = 0
) -> None:
    height = context.block.height
    progress.payouts.append(Payout(kind=kind, recipient=recipient, ucredit=ucredit, umill=umill, height=height))


def finish_task(context: Context, task: Task, progress: Progress, status: TaskStatus, reason: str) -> None:
    """Record how a task ended; its money must have left the escrow."""
    progress.status = status
    progress.reason = reason
    progress.ended_height = context.block.height
    progress.ended_ms = context.block.time_ms
    schema.PROGRESS.set(context.kv, task.id, progress)
    name = TaskStatus.Name(status).removeprefix("TASK_STATUS_")
    context.emit(EventTaskEnded(task_id=task.id, status=name, reason=reason))
