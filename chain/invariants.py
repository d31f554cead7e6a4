"""What holds after every block: protocol §8 "Invariants". Checked by tests and after an import, never while running."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.prover.v1.state_pb2 import PROVER_STATUS_ACTIVE
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_ACCEPTED,
    ASSIGNMENT_STATUS_OFFERED,
    TASK_STATUS_COMMITTING,
    TASK_STATUS_DECIDED,
    TASK_STATUS_DONE,
    TASK_STATUS_OFFERED,
    TASK_STATUS_PENDING,
    TASK_STATUS_PROVED,
    TASK_STATUS_REVEALING,
    TASK_STATUS_RUNNING,
)
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.address import decode_address
from chain.bank.ledger import get_pools
from chain.prover.duties import Duty
from chain.prover.registry import get_active_count
from chain.task.deadlines import Deadline

if TYPE_CHECKING:
    from chain.state.kv import KVReader


class InvariantError(Exception):
    """The state contradicts itself: a bug."""


def check_invariants(kv: KVReader) -> None:
    """InvariantError, saying which one and how, unless all of them hold."""
    _check_supply(kv)
    _check_escrow(kv)
    _check_resources(kv)
    _check_active_provers(kv)
    _check_queues(kv)
    _check_duties(kv)
    _check_payouts(kv)


def _check_supply(kv: KVReader) -> None:
    """Supply = all balances, bonds, escrows and pools. Balances can't be negative: they are unsigned."""
    pools = get_pools(kv)
    umill = pools.fees_umill + pools.network_umill + pools.bonds_umill
    ucredit = pools.escrow_ucredit
    numbers = []
    for _, account in schema.ACCOUNTS.iterate(kv):
        umill += account.umill
        ucredit += account.ucredit
        numbers.append(account.number)
    _require(umill == pools.umill_supply, f"umill: supply {pools.umill_supply}, found {umill}")
    _require(ucredit == pools.ucredit_supply, f"ucredit: supply {pools.ucredit_supply}, found {ucredit}")
    _require(sorted(numbers) == list(range(len(numbers))), "account numbers aren't 0 … n − 1")
    bonds = sum(prover.bond for _, prover in schema.PROVERS.iterate(kv))
    _require(bonds == pools.bonds_umill, f"bonds: pool {pools.bonds_umill}, provers {bonds}")


def _check_escrow(kv: KVReader) -> None:
    """Escrow = the fees of all open tasks."""
    open_fees = sum(
        schema.TASKS.require(kv, task_id).fee
        for task_id, progress in schema.PROGRESS.iterate(kv)
        if progress.status < TASK_STATUS_DONE
    )
    escrow = get_pools(kv).escrow_ucredit
    _require(open_fees == escrow, f"escrow {escrow}, fees of open tasks {open_fees}")


def _check_resources(kv: KVReader) -> None:
    """What a prover uses is what its open assignments hold, and never more than it claims."""
    held: dict[bytes, Resources] = {}
    for (task_id, operator), assignment in schema.ASSIGNMENTS.iterate(kv):
        if assignment.status in (ASSIGNMENT_STATUS_OFFERED, ASSIGNMENT_STATUS_ACCEPTED):
            wanted = schema.TASKS.require(kv, task_id).resources
            used = held.setdefault(operator, Resources())
            used.cpu_millis += wanted.cpu_millis
            used.memory_bytes += wanted.memory_bytes
            used.gpus += wanted.gpus
    for operator, prover in schema.PROVERS.iterate(kv):
        used = held.get(operator, Resources())
        _require(prover.used == used, f"prover {prover.operator} uses {prover.used}, its assignments hold {used}")
        whole = prover.resources
        _require(
            used.cpu_millis <= whole.cpu_millis and used.memory_bytes <= whole.memory_bytes and used.gpus <= whole.gpus,
            f"prover {prover.operator} holds more than it claims",
        )


def _check_active_provers(kv: KVReader) -> None:
    """The array is dense, and exactly the active provers are in it, each where it says."""
    rows = list(schema.ACTIVE_PROVERS.iterate(kv))
    _require([index for index, _ in rows] == list(range(get_active_count(kv))), "the array of active provers has gaps")
    active = [op for op, prover in schema.PROVERS.iterate(kv) if prover.status == PROVER_STATUS_ACTIVE]
    _require(sorted(operator for _, operator in rows) == active, "the array doesn't hold exactly the active provers")
    for index, operator in rows:
        _require(schema.PROVERS.require(kv, operator).active_index == index, f"active_index of position {index}")


def _check_queues(kv: KVReader) -> None:
    """Every open task is in exactly the queues that its status says, with the deadline that its rows say."""
    expected: list[tuple[str, object]] = []
    for task_id, progress in schema.PROGRESS.iterate(kv):
        task = schema.TASKS.require(kv, task_id)
        status = progress.status
        if status == TASK_STATUS_PENDING:
            expected.append(("pending", task_id))
            expected.append(("deadline", (task.queue_deadline_ms, int(Deadline.QUEUE), task_id)))
        elif status == TASK_STATUS_OFFERED:
            row = schema.ASSIGNMENTS.require(kv, (task_id, decode_address(progress.prover)))
            expected.append(("offer", (row.accept_by_height + 1, task_id)))
        elif status == TASK_STATUS_RUNNING:
            expected.append(("deadline", (progress.deadline_ms, int(Deadline.PROOF), task_id)))
        elif status == TASK_STATUS_PROVED:
            expected.append(("proved", task_id))
        elif status == TASK_STATUS_COMMITTING:
            round_ = schema.ROUNDS.require(kv, (task_id, progress.round))
            expected.append(("deadline", (round_.commit_deadline_ms, int(Deadline.COMMIT), task_id)))
        elif status == TASK_STATUS_REVEALING:
            round_ = schema.ROUNDS.require(kv, (task_id, progress.round))
            expected.append(("deadline", (round_.reveal_deadline_ms, int(Deadline.REVEAL), task_id)))
        elif status == TASK_STATUS_DECIDED:
            expected.append(("decided", task_id))
    found: list[tuple[str, object]] = [("pending", key[3]) for key in schema.PENDING.keys(kv)]
    found += [("offer", key) for key in schema.OFFER_DEADLINES.keys(kv)]
    found += [("deadline", key) for key in schema.DEADLINES.keys(kv)]
    found += [("proved", key) for key in schema.PROVED.keys(kv)]
    found += [("decided", key) for key in schema.DECIDED.keys(kv)]
    _require(sorted(expected, key=repr) == sorted(found, key=repr), f"queues hold {found}, the tasks say {expected}")


def _check_duties(kv: KVReader) -> None:
    """Duties are exactly the open assignments and the votes of open rounds."""
    expected = [
        (operator, Duty.ASSIGNMENT, task_id)
        for (task_id, operator), assignment in schema.ASSIGNMENTS.iterate(kv)
        if assignment.status in (ASSIGNMENT_STATUS_OFFERED, ASSIGNMENT_STATUS_ACCEPTED)
    ]
    for task_id, progress in schema.PROGRESS.iterate(kv):
        if progress.status in (TASK_STATUS_COMMITTING, TASK_STATUS_REVEALING):
            voters = [key[2] for key in schema.VOTES.keys(kv, prefix_of=(task_id, progress.round))]
            _require(decode_address(progress.prover) not in voters, f"task {task_id}: its prover is in the committee")
            expected += [(voter, Duty.VOTE, task_id) for voter in voters]
    _require(sorted(expected) == list(schema.DUTIES.keys(kv)), "the duties aren't the open assignments and votes")


def _check_payouts(kv: KVReader) -> None:
    """What a finished task paid out, refunded and burned is exactly its fee."""
    for task_id, progress in schema.PROGRESS.iterate(kv):
        paid = sum(payout.ucredit for payout in progress.payouts)
        fee = schema.TASKS.require(kv, task_id).fee if progress.status >= TASK_STATUS_DONE else 0
        _require(paid == fee, f"task {task_id} of fee {fee} paid out {paid}")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InvariantError(message)
