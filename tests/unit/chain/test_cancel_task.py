"""proofmill.task.v1.MsgCancelTask (protocol §6)."""

from __future__ import annotations

import pytest
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_CANCELLED,
    PAYOUT_KIND_ELAPSED,
    PAYOUT_KIND_REFUND,
    TASK_STATUS_CANCELLED,
    VERDICT_VALID,
)
from proofmill.task.v1.tx_pb2 import MsgCancelTask, MsgCancelTaskResponse
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.errors import INVALID_ADDRESS, NOT_CANCELLABLE, TASK_NOT_FOUND, UNAUTHORIZED
from chain.invariants import check_invariants
from tests.support.envelope import account_of
from tests.support.life import (
    accept,
    accept_all,
    committee_of,
    deploy,
    fail_first,
    make_proof_commit,
    make_run,
    prove,
    prove_fallback,
    run,
    task_of,
    vote,
)
from tests.support.network import ALICE, BOB, Key, Network, make_genesis, make_tx, node_key, operator_key
from tests.support.refusals import assert_only, refuse, refuse_raw


def make_cancel(task_id: int, user: Key = ALICE) -> MsgCancelTask:
    return MsgCancelTask(user=user.address, task_id=task_id)


def cancel(network: Network, task_id: int) -> int:
    """The refund that the response tells, in ucredit."""
    (response,) = network.execute(ALICE, make_cancel(task_id))
    check_invariants(network.values)
    assert task_of(network, task_id).task.progress.status == TASK_STATUS_CANCELLED
    return MsgCancelTaskResponse.FromString(response).refund


def test_basic_pending_is_free() -> None:
    network = Network.start(make_genesis(0))
    before = account_of(network, ALICE).ucredit
    assert cancel(network, run(network, ALICE, deploy(network))) == 18
    assert account_of(network, ALICE).ucredit == before


def test_basic_offered_is_free_and_no_miss(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    assert cancel(network, task_id) == 18
    (row,) = task_of(network, task_id).assignments
    assert row.status == ASSIGNMENT_STATUS_CANCELLED
    for index in range(5):
        prover = schema.PROVERS.require(network.values, operator_key(index).raw)
        assert (len(prover.misses_ms), prover.used) == (0, Resources())


def test_basic_running_pays_the_elapsed_share(network: Network) -> None:
    message = make_run(ALICE, deploy(network))
    message.time_limit_s = 3_600
    message.max_fee = 10_000
    network.execute(ALICE, message)
    fee = task_of(network, 1).task.task.fee
    network.next_block()
    index = accept(network, 1)
    network.next_block(after_ms=899_000)
    assert cancel(network, 1) == fee - fee // 4
    elapsed, refund = task_of(network, 1).task.progress.payouts
    assert (elapsed.kind, elapsed.ucredit, elapsed.umill) == (PAYOUT_KIND_ELAPSED, fee // 4, fee // 4)
    assert (refund.kind, refund.ucredit) == (PAYOUT_KIND_REFUND, fee - fee // 4)
    # Nobody knows whether that was work, so it isn't subsidised.
    assert account_of(network, operator_key(index)).umill == fee // 4


def test_basic_the_time_limit_is_the_most_that_elapses(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    accept(network, task_id)
    network.next_block(after_ms=30_000)
    assert cancel(network, task_id) == 0


def test_basic_each_of_several_provers_gets_its_part() -> None:
    network = Network.start(make_genesis(6))
    message = make_run(ALICE, deploy(network))
    message.redundancy = 3
    network.execute(ALICE, message)
    network.next_block()
    accept_all(network, 1)
    network.next_block(after_ms=4_000)
    # 53 ucredit for three; 5 of 10 s are over, so half of 17 for each.
    assert cancel(network, 1) == 53 - 3 * 8


def test_basic_repeat(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.execute(ALICE, make_cancel(task_id))
    result = network.deliver(ALICE, make_cancel(task_id))
    assert (result.code, result.events) == (0, ())
    assert_only(network, {schema.ACCOUNTS.prefix + ALICE.raw, schema.POOLS.prefix})


def test_invalid_user(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    refuse(network, UNAUTHORIZED, BOB, make_cancel(task_id, BOB))


def test_invalid_task_unknown(network: Network) -> None:
    refuse(network, TASK_NOT_FOUND, ALICE, make_cancel(1))


def test_invalid_proved_and_from_then_on(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    prove(network, task_id)
    refuse(network, NOT_CANCELLABLE, ALICE, make_cancel(task_id))
    vote(network, task_id, dict.fromkeys(committee_of(network, task_id), VERDICT_VALID))
    refuse(network, NOT_CANCELLABLE, ALICE, make_cancel(task_id))
    network.next_block()
    refuse(network, NOT_CANCELLABLE, ALICE, make_cancel(task_id))


def test_invalid_committed() -> None:
    """The work is done, and its user must not get it for the time that it took."""
    network = Network.start(make_genesis(6))
    message = make_run(ALICE, deploy(network))
    message.redundancy = 2
    network.execute(ALICE, message)
    network.next_block()
    index, _ = accept_all(network, 1)
    network.execute(node_key(index), make_proof_commit(index, 1))
    refuse(network, NOT_CANCELLABLE, ALICE, make_cancel(1))


def test_invalid_once_a_fallback_is_wanted(network: Network) -> None:
    """Or a user could look who was drawn, and go on only where that is a prover of its own."""
    task_id = run(network, ALICE, deploy(network))
    first = fail_first(network, task_id)
    result = refuse(network, NOT_CANCELLABLE, ALICE, make_cancel(task_id))
    assert "half of its fee is back" in result.log
    accept(network, task_id)
    refuse(network, NOT_CANCELLABLE, ALICE, make_cancel(task_id))
    prover = schema.PROVERS.require(network.values, operator_key(first).raw)
    assert prover.held_faults == 1


def test_invalid_ended_in_the_fallback(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    fail_first(network, task_id)
    prove_fallback(network, task_id)
    refuse(network, NOT_CANCELLABLE, ALICE, make_cancel(task_id))


@pytest.mark.parametrize("user", ["", "mill1", "cosmos1"])
def test_invalid_address(network: Network, user: str) -> None:
    message = MsgCancelTask(user=user, task_id=1)
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))
