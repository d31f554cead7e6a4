"""proofmill.prover.v1.MsgRequestTest, and all that a capacity test decides (protocol §5)."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from proofmill.params.v1.tx_pb2 import MsgUpdateParams
from proofmill.prover.v1.state_pb2 import (
    PROVER_STATUS_ACTIVE,
    PROVER_STATUS_JAILED,
    PROVER_STATUS_JOINING,
    TEST_RESULT_FAILED,
    TEST_RESULT_PASSED,
    TEST_RESULT_UNDECIDED,
    Prover,
)
from proofmill.prover.v1.tx_pb2 import MsgRegisterProver, MsgRequestTest
from proofmill.task.v1.state_pb2 import (
    FAILURE_REASON_PROVER_ERROR,
    TASK_STATUS_DONE,
    TASK_STATUS_FAILED,
    TASK_STATUS_PENDING,
    TASK_STATUS_RUNNING,
    TASK_STATUS_UNDECIDED,
    TEST_KIND_IDLE,
    TEST_KIND_JOIN,
    TEST_KIND_RANDOM,
    TEST_KIND_UNJAIL,
    TEST_KIND_UNSPECIFIED,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_VALID,
)
from proofmill.task.v1.tx_pb2 import MsgCancelTask, MsgReportFailure
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.errors import (
    BOND_TOO_SMALL,
    INVALID_ADDRESS,
    NO_CAPACITY_PROGRAM,
    PROVER_NOT_FOUND,
    TEST_TOO_SOON,
    TEST_UNDER_WAY,
    UNAUTHORIZED,
    WRONG_STATUS,
)
from chain.invariants import check_invariants
from chain.params import GIB, HOUR_MS, default_params
from tests.support.envelope import account_of
from tests.support.life import (
    accept,
    committee_of,
    deploy,
    make_proof,
    make_spec,
    make_test_genesis,
    run,
    task_of,
    vote,
)
from tests.support.network import (
    ALICE,
    AUTHORITY,
    BOB,
    MILL,
    Key,
    Network,
    make_genesis,
    make_tx,
    node_key,
    operator_key,
)
from tests.support.refusals import refuse, refuse_raw
from tests.support.sends import make_send

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Verdict

NODE = Key("the new node")
CLAIM = Resources(cpu_millis=8_000, memory_bytes=16 * GIB)


def make_request(node: Key = NODE) -> MsgRequestTest:
    return MsgRequestTest(node=node.address)


def join(network: Network) -> int:
    """ALICE registers a prover, and its test has begun; the test's task id."""
    network.execute(ALICE, make_send(ALICE, NODE.address, 1_000 * MILL))
    network.execute(
        ALICE,
        MsgRegisterProver(
            operator=ALICE.address,
            node=NODE.address,
            resources=CLAIM,
            endpoints=["https://prover.example"],
            bond=1_500 * MILL,
        ),
    )
    network.next_block()
    return schema.PROVERS.require(network.values, ALICE.raw).test_task_id


def newcomer(network: Network) -> Prover:
    check_invariants(network.values)
    return schema.PROVERS.require(network.values, ALICE.raw)


def finish(network: Network, node: Key, task_id: int, verdict: Verdict) -> None:
    """The tested prover publishes a proof, its committee votes as one, and what follows from it has happened."""
    network.execute(node, make_proof(node, task_id))
    network.next_block()
    vote(network, task_id, dict.fromkeys(committee_of(network, task_id), verdict))
    network.next_block()


@pytest.fixture
def network() -> Network:
    return Network.start(make_test_genesis())


def test_basic_who_registers_is_tested_in_the_next_block(network: Network) -> None:
    task_id = join(network)
    answer = task_of(network, task_id)
    task = answer.task.task
    assert (task.user, task.fee, task.test) == ("", 0, TEST_KIND_JOIN)
    assert task.resources == CLAIM
    assert answer.task.progress.status == TASK_STATUS_RUNNING
    (challenge,) = task.inputs
    asked = json.loads(challenge.inline)
    assert list(asked) == ["beacon", "prover", "cpu_millis", "memory_bytes", "gpus"]
    assert (asked["prover"], asked["cpu_millis"], asked["memory_bytes"]) == (ALICE.address, 8_000, 16 * GIB)
    assert hashlib.sha256(challenge.inline).digest() == challenge.sha256
    (row,) = answer.assignments
    # No allowance for transfers: the time limit, and a few seconds for messages.
    assert row.deadline_ms == network.time_ms + 25_000
    assert newcomer(network).used == CLAIM


def test_basic_the_challenge_depends_on_the_block_before() -> None:
    """So that nobody can begin before the test does."""

    def challenge(hash_: bytes) -> bytes:
        network = Network.start(make_test_genesis())
        network.execute(ALICE, make_send(ALICE, NODE.address, 1_000 * MILL))
        network.send(
            ALICE,
            MsgRegisterProver(
                operator=ALICE.address, node=NODE.address, resources=CLAIM, endpoints=["http://h"], bond=1_000 * MILL
            ),
        )
        network.next_block(block_hash=hash_)
        network.next_block()
        return bytes(task_of(network, 1).task.task.inputs[0].inline)

    assert challenge(b"\x01" * 32) != challenge(b"\x02" * 32)


def test_basic_who_passes_is_admitted(network: Network) -> None:
    task_id = join(network)
    before = schema.POOLS.require(network.values)
    finish(network, NODE, task_id, VERDICT_VALID)
    assert task_of(network, task_id).task.progress.status == TASK_STATUS_DONE
    prover = newcomer(network)
    assert (prover.status, prover.test_result, prover.test_task_id) == (PROVER_STATUS_ACTIVE, TEST_RESULT_PASSED, 0)
    # Nobody is paid for a test.
    assert schema.POOLS.require(network.values).network_umill == before.network_umill
    assert not task_of(network, task_id).task.progress.payouts


@pytest.mark.parametrize("how", ["invalid", "late", "reported"])
def test_basic_who_fails_is_not_admitted_and_may_try_again(network: Network, how: str) -> None:
    task_id = join(network)
    if how == "invalid":
        finish(network, NODE, task_id, VERDICT_INVALID)
    elif how == "late":
        network.next_block(after_ms=25_000)
        network.next_block()
    else:
        network.execute(NODE, MsgReportFailure(node=NODE.address, task_id=task_id, reason=FAILURE_REASON_PROVER_ERROR))
    progress = task_of(network, task_id).task.progress
    assert (progress.status, progress.attempt) == (TASK_STATUS_FAILED, 1)
    prover = newcomer(network)
    assert (prover.status, prover.test_result) == (PROVER_STATUS_JOINING, TEST_RESULT_FAILED)
    assert (prover.slashed_umill, prover.held_faults, prover.used) == (0, 0, Resources())
    refuse(network, TEST_TOO_SOON, NODE, make_request())
    network.next_block(after_ms=600_000)
    network.execute(NODE, make_request())
    network.next_block()
    again = newcomer(network).test_task_id
    assert again > task_id
    finish(network, NODE, again, VERDICT_VALID)
    assert newcomer(network).status == PROVER_STATUS_ACTIVE


def test_basic_an_undecided_test_changes_nothing(network: Network) -> None:
    task_id = join(network)
    finish(network, NODE, task_id, VERDICT_INCONCLUSIVE)
    assert task_of(network, task_id).task.progress.status == TASK_STATUS_UNDECIDED
    prover = newcomer(network)
    assert (prover.status, prover.test_result) == (PROVER_STATUS_JOINING, TEST_RESULT_UNDECIDED)


def jail_by_misses(network: Network, program: bytes) -> int:
    """The only prover lets three offers pass."""
    for _ in range(3):
        run(network, ALICE, program)
        for _ in range(5):
            network.next_block()
    return 0


def test_basic_a_jailed_prover_comes_back_by_a_test() -> None:
    genesis = make_test_genesis(2)
    genesis.provers[1].resources.cpu_millis = 500
    network = Network.start(genesis)
    jail_by_misses(network, deploy(network))
    raw = operator_key(0).raw
    assert schema.PROVERS.require(network.values, raw).status == PROVER_STATUS_JAILED
    network.execute(node_key(0), make_request(node_key(0)))
    network.next_block()
    prover = schema.PROVERS.require(network.values, raw)
    assert task_of(network, prover.test_task_id).task.task.test == TEST_KIND_UNJAIL
    finish(network, node_key(0), prover.test_task_id, VERDICT_VALID)
    prover = schema.PROVERS.require(network.values, raw)
    assert (prover.status, prover.jail_reason) == (PROVER_STATUS_ACTIVE, "")
    check_invariants(network.values)


def test_basic_a_network_whose_provers_are_all_jailed_comes_back() -> None:
    """Nobody is left to judge the first one; it then judges the others."""
    network = Network.start(make_test_genesis(2))
    network.next_block()
    for _ in range(4):
        network.next_block(after_ms=3 * HOUR_MS)
    network.next_block(after_ms=600_000)
    for index in range(2):
        assert schema.PROVERS.require(network.values, operator_key(index).raw).status == PROVER_STATUS_JAILED
        network.execute(node_key(index), make_request(node_key(index)))
        network.next_block()
        task_id = schema.PROVERS.require(network.values, operator_key(index).raw).test_task_id
        network.execute(node_key(index), make_proof(node_key(index), task_id))
        network.next_block()
        if index:
            vote(network, task_id, dict.fromkeys(committee_of(network, task_id), VERDICT_VALID))
        for _ in range(3):
            network.next_block()
        assert schema.PROVERS.require(network.values, operator_key(index).raw).status == PROVER_STATUS_ACTIVE
        check_invariants(network.values)


def test_basic_three_idle_hours_bring_a_test_and_failing_it_jails(network: Network) -> None:
    raw = operator_key(2).raw
    network.next_block()
    network.next_block(after_ms=3 * HOUR_MS - 2_000)
    network.next_block()
    assert not schema.PROVERS.require(network.values, raw).test_task_id
    network.next_block(after_ms=2_000)
    network.next_block()
    network.next_block()
    prover = schema.PROVERS.require(network.values, raw)
    assert task_of(network, prover.test_task_id).task.task.test == TEST_KIND_IDLE
    network.next_block(after_ms=25_000)
    network.next_block()
    prover = schema.PROVERS.require(network.values, raw)
    assert prover.status == PROVER_STATUS_JAILED
    assert "missed the deadline" in prover.jail_reason
    assert not prover.slashed_umill
    check_invariants(network.values)


def test_basic_work_puts_the_idle_test_off() -> None:
    network = Network.start(make_test_genesis(1))
    program = deploy(network)
    network.next_block(after_ms=2 * HOUR_MS)
    task_id = run(network, ALICE, program)
    network.next_block()
    network.execute(ALICE, MsgCancelTask(user=ALICE.address, task_id=task_id))
    for _ in range(3):
        network.next_block(after_ms=HOUR_MS // 2)
    prover = schema.PROVERS.require(network.values, operator_key(0).raw)
    assert (prover.test_task_id, prover.test_due) == (0, TEST_KIND_UNSPECIFIED)
    network.next_block(after_ms=2 * HOUR_MS)
    network.next_block()
    network.next_block()
    assert schema.PROVERS.require(network.values, operator_key(0).raw).test_task_id
    check_invariants(network.values)


def test_basic_the_dice_test_everybody_in_turn() -> None:
    params = default_params()
    params.retest_random_blocks = 5
    network = Network.start(make_test_genesis(5, params))
    tested: dict[str, int] = {}
    for _ in range(40):
        network.next_block()
        for event in network.events:
            if event.type == "proofmill.prover.v1.EventTestIssued":
                attributes = dict(event.attributes)
                assert attributes["kind"] == "RANDOM"
                tested[attributes["operator"]] = tested.get(attributes["operator"], 0) + 1
    # One of five comes up a block; those that are being tested don't come up again.
    assert len(tested) == 5


def test_basic_a_test_waits_for_running_work_and_keeps_new_work_away() -> None:
    """So nobody evades a test by being busy."""
    network = Network.start(make_test_genesis(1))
    raw, program = operator_key(0).raw, deploy(network)
    first = run(network, ALICE, program)
    network.next_block()
    accept(network, first)
    params = schema.PARAMS.require(network.values)
    params.retest_random_blocks = 1
    network.execute(AUTHORITY, MsgUpdateParams(authority=AUTHORITY.address, params=params))
    network.next_block()
    prover = schema.PROVERS.require(network.values, raw)
    assert (prover.test_due, prover.test_task_id) == (TEST_KIND_RANDOM, 0)
    second = run(network, ALICE, program)
    network.next_block()
    assert task_of(network, second).task.progress.status == TASK_STATUS_PENDING
    check_invariants(network.values)
    network.execute(node_key(0), make_proof(node_key(0), first))
    network.next_block()
    prover = schema.PROVERS.require(network.values, raw)
    assert task_of(network, prover.test_task_id).task.task.test == TEST_KIND_RANDOM
    assert prover.used == prover.resources
    check_invariants(network.values)


def test_basic_nobody_may_cancel_a_test(network: Network) -> None:
    task_id = join(network)
    refuse(network, UNAUTHORIZED, ALICE, MsgCancelTask(user=ALICE.address, task_id=task_id))


def test_basic_without_a_capacity_program_nobody_is_tested() -> None:
    network = Network.start(make_genesis())
    assert join(network) == 0
    assert newcomer(network).status == PROVER_STATUS_JOINING
    refuse(network, NO_CAPACITY_PROGRAM, NODE, make_request())
    network.next_block(after_ms=4 * HOUR_MS)
    network.next_block()
    assert not schema.PROVERS.require(network.values, operator_key(0).raw).test_task_id
    check_invariants(network.values)


def test_invalid_active(network: Network) -> None:
    refuse(network, WRONG_STATUS, node_key(0), make_request(node_key(0)))


def test_invalid_under_way(network: Network) -> None:
    join(network)
    refuse(network, TEST_UNDER_WAY, NODE, make_request())


def test_invalid_bond_too_small(network: Network) -> None:
    task_id = join(network)
    finish(network, NODE, task_id, VERDICT_INVALID)
    network.next_block(after_ms=600_000)
    # As a slash would leave it.
    prover = newcomer(network)
    pools = schema.POOLS.require(network.values)
    pools.bonds_umill -= prover.bond - 1
    pools.network_umill += prover.bond - 1
    prover.bond = 1
    schema.PROVERS.set(network.values, ALICE.raw, prover)
    schema.POOLS.set(network.values, pools)
    result = refuse(network, BOND_TOO_SMALL, NODE, make_request())
    assert "top it up" in result.log


def test_invalid_stranger(network: Network) -> None:
    refuse(network, PROVER_NOT_FOUND, BOB, make_request(BOB))
    # The operator's cold key doesn't sign it either.
    join(network)
    refuse(network, PROVER_NOT_FOUND, ALICE, make_request(ALICE))


def test_invalid_address(network: Network) -> None:
    message = MsgRequestTest(node="mill1")
    refuse_raw(network, INVALID_ADDRESS, make_tx(ALICE, [message], account_number=1, sequence=0))


def test_the_capacity_program_costs_its_user_like_any_other(network: Network) -> None:
    """Whoever wants to try may run it; that decides nothing."""
    before = account_of(network, ALICE).ucredit
    spec = make_spec("capacity")
    message_id = run(network, ALICE, schema.PARAMS.require(network.values).capacity_program)
    assert account_of(network, ALICE).ucredit < before
    assert task_of(network, message_id).task.task.resources == spec.default_resources
