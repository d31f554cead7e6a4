"""Settlement in the block after the verdict is final: protocol §6.8 and §8.

All shares are floored; what flooring leaves over is burned with the network's share, so the escrow always comes out
exactly. Credits that somebody earned are burned and umill minted for them, at the price fixed when the task was
escrowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.prover.v1.state_pb2 import TEST_RESULT_PASSED, TEST_RESULT_UNDECIDED
from proofmill.task.v1.state_pb2 import (
    PAYOUT_KIND_FINDER_REWARD,
    PAYOUT_KIND_PROVER_REWARD,
    PAYOUT_KIND_VERIFIER_REWARD,
    TASK_STATUS_DONE,
    TASK_STATUS_UNDECIDED,
    TEST_KIND_UNJAIL,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_VALID,
)

from chain import schema
from chain.bank.ledger import pool_bond
from chain.capacity.result import record_result
from chain.params import BASIS_POINTS
from chain.program.stats import record_success
from chain.prover.registry import get_active_count
from chain.settlement.failure import FALLBACK, end_refunded, fail_attempt
from chain.settlement.faults import punish
from chain.settlement.payouts import burn_rest, finish_task, get_escrowed, reward, umill_worth
from chain.settlement.votes import get_voters_for, punish_voters
from chain.task.attempt import get_attempt, hold_fault

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Progress, Task

    from chain.context import Context


def settle_decided(context: Context) -> None:
    """Settle every task whose verdict became final in the last block, by task id."""
    kv = context.kv
    for task_id in list(schema.DECIDED.keys(kv)):
        schema.DECIDED.delete(kv, task_id)
        task = schema.TASKS.require(kv, task_id)
        progress = schema.PROGRESS.require(kv, task_id)
        rows = get_attempt(kv, task_id, progress.attempt)
        punish_voters(context, task, progress, rows)
        for operator, row in rows:
            if row.verdict == VERDICT_INVALID:
                hold_fault(context, task, operator, row)
        if progress.verdict == VERDICT_VALID:
            _settle_valid(context, task, progress)
        elif progress.verdict == VERDICT_INVALID:
            fail_attempt(context, task, progress, "the committee found the proof invalid")
        else:
            _settle_undecided(context, task, progress)


def _settle_valid(context: Context, task: Task, progress: Progress) -> None:
    reason = "the committee found the proof valid"
    if task.test:
        record_result(context, task, progress, TEST_RESULT_PASSED, reason)
    else:
        _pay(context, task, progress)
    finish_task(context, task, progress, TASK_STATUS_DONE, reason)


def _settle_undecided(context: Context, task: Task, progress: Progress) -> None:
    reason = "no committee reached a quorum"
    if progress.verdict == VERDICT_INCONCLUSIVE:
        reason = "the committee could not run the verifier to a verdict"
    if task.test == TEST_KIND_UNJAIL and not get_active_count(context.kv):
        # Or a network whose provers were all jailed would stay dead: nobody is left to judge anybody.
        record_result(context, task, progress, TEST_RESULT_PASSED, "nobody is active who could judge the proof")
    elif task.test:
        record_result(context, task, progress, TEST_RESULT_UNDECIDED, reason)
    end_refunded(context, task, progress, TASK_STATUS_UNDECIDED, reason)


def _pay(context: Context, task: Task, progress: Progress) -> None:
    """The provers with a valid proof and the voters who judged the attempt's proofs right share what is in the escrow.

    After a fallback they also get what the refund took of their regular shares, out of the first prover's slash, or as
    much of that as it reaches for; then those who found the first proof invalid get theirs; the rest is the network
    pool's.
    """
    kv, terms = context.kv, context.terms(task)
    rows = get_attempt(kv, task.id, progress.attempt)
    valid = [(operator, row) for operator, row in rows if row.verdict == VERDICT_VALID]
    # The quorum makes sure that there is one. Redundant proofs can have different verdicts.
    voters = [
        *get_voters_for(kv, task.id, rows, VERDICT_VALID),
        *get_voters_for(kv, task.id, rows, VERDICT_INVALID),
    ]
    escrowed = get_escrowed(task, progress)
    harmed = punish(context, task, progress)
    rewards = []
    lacking = 0
    for operators, share_bp, kind in (
        ([operator for operator, _ in valid], terms.prover_share_bp, PAYOUT_KIND_PROVER_REWARD),
        (voters, terms.verifier_share_bp, PAYOUT_KIND_VERIFIER_REWARD),
    ):
        each = escrowed * share_bp // BASIS_POINTS // len(operators)
        regular = task.fee * share_bp // BASIS_POINTS // len(operators)
        lacks = umill_worth(context, task, regular) - umill_worth(context, task, each)
        rewards.append((operators, kind, each, lacks))
        lacking += lacks * len(operators)
    left = harmed
    for operators, kind, each, lacks in rewards:
        made_up = lacks if lacking <= harmed else harmed * lacks // lacking
        for operator in operators:
            reward(context, task, progress, operator, kind, each, made_up)
        left -= made_up * len(operators)
    if progress.attempt == FALLBACK:
        left -= _pay_finders(context, task, progress, left)
    pool_bond(kv, left)
    burn_rest(context, task, progress)
    record_success(kv, task, [row.proof.usage for _, row in valid])


def _pay_finders(context: Context, task: Task, progress: Progress, available: int) -> int:
    """The verifiers' share, out of a slash, for those who found the first attempt's proof invalid; the umill paid."""
    finders = get_voters_for(context.kv, task.id, get_attempt(context.kv, task.id, FALLBACK - 1), VERDICT_INVALID)
    if not finders:
        return 0
    share = task.fee * context.terms(task).verifier_share_bp // BASIS_POINTS
    each = min(umill_worth(context, task, share), available) // len(finders)
    for operator in finders:
        reward(context, task, progress, operator, PAYOUT_KIND_FINDER_REWARD, 0, each)
    return each * len(finders)
