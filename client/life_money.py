"""A task's life as money: each payout in a sentence, and what everybody made or lost by the task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import (
    PAYOUT_KIND_BURN,
    PAYOUT_KIND_COMPENSATION,
    PAYOUT_KIND_ELAPSED,
    PAYOUT_KIND_FINDER_REWARD,
    PAYOUT_KIND_PROVER_REWARD,
    PAYOUT_KIND_REFUND,
    PAYOUT_KIND_SUBSIDY,
    PAYOUT_KIND_VERIFIER_REWARD,
    TASK_STATUS_DONE,
    Payout,
)

from chain.amount import UCREDIT, UMILL, format_amount
from client.life_faults import is_users_fault
from client.life_step import Rank, Step
from client.life_votes import attempts_of

_FINDER = "finder"
_VOTERS = ("voter", _FINDER)
_ROLES = {
    PAYOUT_KIND_PROVER_REWARD: "prover",
    PAYOUT_KIND_VERIFIER_REWARD: "voter",
    PAYOUT_KIND_ELAPSED: "elapsed",
}
_FOR_WHAT = {
    "prover": "for a valid proof",
    "voter": "with the verdict",
    _FINDER: "that found the first proof invalid",
    "elapsed": "for the time that it had worked",
}


@dataclass(frozen=True)
class Payment:
    """What a prover got for one thing. ``ucredit`` of the fee became ``umill``; the rest is umill on top."""

    role: str
    recipient: str
    ucredit: int = 0
    umill: int = 0
    compensation: int = 0
    subsidy: int = 0


@dataclass(frozen=True)
class Earning:
    """What the task changed for one account: credits, MILL and bond, negative where it lost."""

    account: str
    role: str
    ucredit: int = 0
    umill: int = 0
    bond_umill: int = 0


def payment_steps(answer: QueryTaskResponse) -> Iterator[Step]:
    """Of all payouts so far, in the order in which they were made."""
    progress = answer.task.progress
    attempt = progress.attempt
    early, late = split_payouts(answer)
    for payout in early:
        share = payout.ucredit * 100 / answer.task.task.fee
        text = f"{format_amount(payout.ucredit, UCREDIT)}, {share:.0f} % of the fee, at once to {payout.recipient}"
        yield Step("refunded", text, progress.fallback_height, 0, 1, Rank.FALLBACK)
    for payment, votes in _grouped(payments(answer)):
        text = _describe_payment(payment, votes)
        yield Step("paid", text, progress.ended_height, 0, attempt, Rank.PAID)
    for payout in late:
        if payout.kind == PAYOUT_KIND_REFUND:
            text = f"{format_amount(payout.ucredit, UCREDIT)} to {payout.recipient}"
            yield Step("refunded", text, progress.ended_height, 0, attempt, Rank.PAID)
        elif payout.kind == PAYOUT_KIND_BURN:
            text = f"{format_amount(payout.ucredit, UCREDIT)}: {_why_burned(answer)}"
            yield Step("burned", text, progress.ended_height, 0, attempt, Rank.PAID)


def split_payouts(answer: QueryTaskResponse) -> tuple[Sequence[Payout], Sequence[Payout]]:
    """The fallback's refund, if there was one, and all payouts at the end."""
    progress = answer.task.progress
    early = [payout for payout in progress.payouts if payout.height == progress.fallback_height]
    return early, progress.payouts[len(early) :]


def payments(answer: QueryTaskResponse) -> list[Payment]:
    """The payouts to provers; what belongs to a reward follows it on chain, and is one with it here."""
    found: list[Payment] = []
    for payout in answer.task.progress.payouts:
        if payout.kind == PAYOUT_KIND_FINDER_REWARD:
            found.append(Payment(_FINDER, payout.recipient, compensation=payout.umill))
        elif payout.kind in _ROLES:
            found.append(Payment(_ROLES[payout.kind], payout.recipient, payout.ucredit, payout.umill))
        elif payout.kind == PAYOUT_KIND_COMPENSATION:
            found[-1] = replace(found[-1], compensation=payout.umill)
        elif payout.kind == PAYOUT_KIND_SUBSIDY:
            found[-1] = replace(found[-1], subsidy=payout.umill)
    return found


def earnings(answer: QueryTaskResponse) -> list[Earning]:
    """Who made or lost what so far: the user, provers and voters in the order of their payouts, then the slashed."""
    task, progress = answer.task.task, answer.task.progress
    rows: dict[str, Earning] = {}
    if task.user:
        back = sum(payout.ucredit for payout in progress.payouts if payout.kind == PAYOUT_KIND_REFUND)
        rows[task.user] = Earning(task.user, "user", ucredit=back - task.fee)
    provers = attempts_of(answer)
    umill: Counter[str] = Counter()
    bonds: Counter[str] = Counter()
    for one in payments(answer):
        umill[one.recipient] += one.umill + one.compensation + one.subsidy
    for slash in progress.slashes:
        bonds[slash.prover] -= slash.umill
    for account in [*umill, *(one for one in bonds if one not in umill)]:
        role = "prover" if account in provers else "voter"
        # A user may be an operator too: two roles, two rows.
        rows[f"{role} {account}"] = Earning(account, role, umill=umill[account], bond_umill=bonds[account])
    return list(rows.values())


def _grouped(found: Sequence[Payment]) -> list[tuple[Payment, int]]:
    """Voters who got the same are told together: the first's payment, and how many there were."""
    groups: dict[Payment, tuple[Payment, int]] = {}
    for one in found:
        key = replace(one, recipient="") if one.role in _VOTERS else one
        first, count = groups.get(key, (one, 0))
        groups[key] = (first, count + 1)
    return list(groups.values())


def _describe_payment(one: Payment, votes: int) -> str:
    to = f"for each of {votes} votes" if votes > 1 else f"to {one.recipient}"
    to += " for a vote" if votes == 1 and one.role in _VOTERS else ""
    text = f"{_mill(one.umill + one.compensation + one.subsidy)} {to} {_FOR_WHAT[one.role]}"
    parts = {
        f"for {format_amount(one.ucredit, UCREDIT)} of the fee": one.umill,
        "out of the slash": one.compensation,
        "subsidy": one.subsidy,
    }
    return f"{text}: {', '.join(f'{_mill(amount)} {what}' for what, amount in parts.items() if amount)}"


def _why_burned(answer: QueryTaskResponse) -> str:
    if answer.task.progress.status == TASK_STATUS_DONE:
        return "the network's share, and what rounding left"
    return "the network's share" if is_users_fault(answer) else "what was left of the fee, so that nobody gains by it"


def _mill(umill: int) -> str:
    return format_amount(umill, UMILL)
