"""What holds after every block: protocol §8 "Invariants". Checked by tests and after an import, never while running."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.prover.v1.state_pb2 import PROVER_STATUS_ACTIVE, PROVER_STATUS_EXITED, PROVER_STATUS_EXITING
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_OFFERED,
    ASSIGNMENT_STATUS_PROVED,
    TASK_STATUS_DECIDED,
    TASK_STATUS_DONE,
)
from proofmill.types.v1.types_pb2 import Resources
from proofmill.verification.v1.state_pb2 import (
    ROUND_PHASE_CLOSED,
    ROUND_PHASE_COMMITTING,
    ROUND_PHASE_REVEALING,
    Round,
)

from chain import schema
from chain.address import decode_address
from chain.bank.ledger import get_pools
from chain.fields import fits
from chain.prover.duties import NO_ROUND, Duty
from chain.prover.lifecycle import ProverDeadline
from chain.prover.registry import get_active_count
from chain.settlement.payouts import get_escrowed
from chain.task.attempt import AT_WORK, OPEN, get_attempt
from chain.task.deadlines import WHOLE_TASK, Deadline

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
    _check_draws(kv)
    _check_payouts(kv)
    _check_faults(kv)
    _check_lifecycle(kv)


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
    """Escrow = what open tasks haven't paid out of their fees yet."""
    open_fees = sum(
        get_escrowed(schema.TASKS.require(kv, task_id), progress)
        for task_id, progress in schema.PROGRESS.iterate(kv)
        if progress.status < TASK_STATUS_DONE
    )
    escrow = get_pools(kv).escrow_ucredit
    _require(open_fees == escrow, f"escrow {escrow}, fees of open tasks {open_fees}")


def _check_resources(kv: KVReader) -> None:
    """Free + used = claimed: what a prover uses is what its open assignments hold, and never more than it claims."""
    held: dict[bytes, Resources] = {}
    for (_, operator), assignment in schema.ASSIGNMENTS.iterate(kv):
        if assignment.status in OPEN:
            used = held.setdefault(operator, Resources())
            used.cpu_millis += assignment.held.cpu_millis
            used.memory_bytes += assignment.held.memory_bytes
            used.gpus += assignment.held.gpus
    for operator, prover in schema.PROVERS.iterate(kv):
        used = held.get(operator, Resources())
        _require(prover.used == used, f"prover {prover.operator} uses {prover.used}, its assignments hold {used}")
        _require(fits(used, prover.resources), f"prover {prover.operator} holds more than it claims")


def _check_active_provers(kv: KVReader) -> None:
    """The array is dense, and exactly the active provers are in it, each where it says."""
    rows = list(schema.ACTIVE_PROVERS.iterate(kv))
    _require([index for index, _ in rows] == list(range(get_active_count(kv))), "the array of active provers has gaps")
    active = [op for op, prover in schema.PROVERS.iterate(kv) if prover.status == PROVER_STATUS_ACTIVE]
    _require(sorted(operator for _, operator in rows) == active, "the array doesn't hold exactly the active provers")
    for index, operator in rows:
        _require(schema.PROVERS.require(kv, operator).active_index == index, f"active_index of position {index}")


def _check_queues(kv: KVReader) -> None:
    """Every open task, assignment and round is in exactly the queues that its status says, with its deadline."""
    expected: list[tuple[str, object]] = []
    for task_id, progress in schema.PROGRESS.iterate(kv):
        if progress.slots_open:
            expected.append(("pending", task_id))
            expected.append(("deadline", (progress.queue_deadline_ms, int(Deadline.QUEUE), task_id, WHOLE_TASK)))
        if progress.status == TASK_STATUS_DECIDED:
            expected.append(("decided", task_id))
    for (task_id, operator), row in schema.ASSIGNMENTS.iterate(kv):
        if row.status == ASSIGNMENT_STATUS_OFFERED:
            expected.append(("offer", (row.accept_by_height + 1, task_id, operator)))
        elif row.status in AT_WORK:
            expected.append(("deadline", (row.deadline_ms, int(Deadline.PROOF), task_id, operator)))
    for task_id, operator in _proofs_to_judge(kv):
        row = schema.ASSIGNMENTS.require(kv, (task_id, operator))
        round_ = schema.ROUNDS.get(kv, (task_id, row.round)) or Round()
        if round_.phase == ROUND_PHASE_COMMITTING:
            expected.append(("deadline", (round_.commit_deadline_ms, int(Deadline.COMMIT), task_id, operator)))
        elif round_.phase == ROUND_PHASE_REVEALING:
            expected.append(("deadline", (round_.reveal_deadline_ms, int(Deadline.REVEAL), task_id, operator)))
    found: list[tuple[str, object]] = [("pending", key[3]) for key in schema.PENDING.keys(kv)]
    found += [("offer", key) for key in schema.OFFER_DEADLINES.keys(kv)]
    found += [("deadline", key) for key in schema.DEADLINES.keys(kv)]
    found += [("decided", key) for key in schema.DECIDED.keys(kv)]
    _require(sorted(expected, key=repr) == sorted(found, key=repr), f"queues hold {found}, the tasks say {expected}")


def _proofs_to_judge(kv: KVReader) -> list[tuple[int, bytes]]:
    """(task, prover) of the proofs that still wait for a verdict; those between two committees must be in the queue."""
    waiting = dict.fromkeys(schema.PROVED.keys(kv))  # a Map's own keys
    rows: list[tuple[int, bytes]] = []
    for task_id, progress in schema.PROGRESS.iterate(kv):
        if not progress.proofs_open:
            continue
        proofs = [
            op for op, row in get_attempt(kv, task_id, progress.attempt) if row.status == ASSIGNMENT_STATUS_PROVED
        ]
        closed = 0
        for operator in proofs:
            row = schema.ASSIGNMENTS.require(kv, (task_id, operator))
            round_ = schema.ROUNDS.get(kv, (task_id, row.round)) or Round(phase=ROUND_PHASE_CLOSED)
            if round_.phase == ROUND_PHASE_CLOSED and (task_id, operator) not in waiting:
                closed += 1
            else:
                rows.append((task_id, operator))
        _require(progress.proofs_open == len(proofs) - closed, f"task {task_id}: proofs_open is {progress.proofs_open}")
    _require(all(one in rows for one in waiting), "a proof waits for a committee, but its task for none")
    return rows


def _check_duties(kv: KVReader) -> None:
    """Duties are exactly the open assignments and the votes of open rounds; nobody judges its own proof."""
    expected = [
        (operator, int(Duty.ASSIGNMENT), task_id, NO_ROUND)
        for (task_id, operator), assignment in schema.ASSIGNMENTS.iterate(kv)
        if assignment.status in OPEN
    ]
    for (task_id, number), round_ in schema.ROUNDS.iterate(kv):
        voters = [key[2] for key in schema.VOTES.keys(kv, prefix_of=(task_id, number))]
        _require(decode_address(round_.prover) not in voters, f"task {task_id}: its prover is in the committee")
        if round_.phase != ROUND_PHASE_CLOSED:
            expected += [(voter, int(Duty.VOTE), task_id, number) for voter in voters]
    _require(sorted(expected) == list(schema.DUTIES.keys(kv)), "the duties aren't the open assignments and votes")


def _check_draws(kv: KVReader) -> None:
    """A task's progress knows how many provers were drawn for it."""
    for task_id, progress in schema.PROGRESS.iterate(kv):
        if not schema.TASKS.require(kv, task_id).test:
            rows = list(schema.ASSIGNMENTS.keys(kv, prefix_of=(task_id,)))
            _require(progress.drawn == len(rows), f"task {task_id}: drawn is {progress.drawn}, not {len(rows)}")


def _check_payouts(kv: KVReader) -> None:
    """What a finished task paid out, refunded and burned is exactly its fee."""
    for task_id, progress in schema.PROGRESS.iterate(kv):
        escrowed = get_escrowed(schema.TASKS.require(kv, task_id), progress)
        if progress.status >= TASK_STATUS_DONE:
            _require(escrowed == 0, f"task {task_id} ended with {escrowed} ucredit still in escrow")
            _require(not progress.slots_open, f"task {task_id} ended and still wants provers")
        elif progress.attempt == 1:
            _require(not progress.payouts, f"task {task_id} paid out before its first attempt ended")


def _check_faults(kv: KVReader) -> None:
    """A prover's held faults are those of its assignments, and only open tasks hold any."""
    held: dict[bytes, int] = {}
    for (task_id, operator), assignment in schema.ASSIGNMENTS.iterate(kv):
        if assignment.held_fault:
            held[operator] = held.get(operator, 0) + 1
            status = schema.PROGRESS.require(kv, task_id).status
            _require(status < TASK_STATUS_DONE, f"task {task_id} has ended and still holds a fault")
    for operator, prover in schema.PROVERS.iterate(kv):
        _require(prover.held_faults == held.get(operator, 0), f"held faults of prover {prover.operator}")


def _check_lifecycle(kv: KVReader) -> None:
    """The active have an idle check each, those who leave and owe nothing an exit; ready are all tests that can be."""
    deadlines: list[tuple[int, int, bytes]] = []
    ready = []
    for operator, prover in schema.PROVERS.iterate(kv):
        if prover.status == PROVER_STATUS_ACTIVE:
            deadlines.append((prover.idle_check_ms, int(ProverDeadline.IDLE), operator))
            minimum = schema.PARAMS.require(kv).prover_bond_min
            _require(
                prover.bond >= minimum or not prover.slashed_umill, f"{prover.operator} is active with too small a bond"
            )
        elif prover.status == PROVER_STATUS_EXITING:
            owes_nothing = not prover.held_faults and not list(schema.DUTIES.keys(kv, prefix_of=(operator,)))
            _require(bool(prover.exit_ms) == owes_nothing, f"{prover.operator} leaves: exit_ms is {prover.exit_ms}")
            if prover.exit_ms:
                deadlines.append((prover.exit_ms, int(ProverDeadline.EXIT), operator))
        elif prover.status == PROVER_STATUS_EXITED:
            _require(not prover.bond, f"{prover.operator} has left and still has a bond")
        if prover.test_due and not prover.used.ListFields():
            ready.append(operator)
        if prover.test_task_id:
            status = schema.PROGRESS.require(kv, prover.test_task_id).status
            _require(status < TASK_STATUS_DONE, f"{prover.operator}: test {prover.test_task_id} has ended")
    _require(sorted(deadlines) == list(schema.PROVER_DEADLINES.keys(kv)), "the provers' deadlines aren't what they say")
    _require(sorted(ready) == list(schema.TESTS_READY.keys(kv)), "the tests that are ready aren't those that could be")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InvariantError(message)
