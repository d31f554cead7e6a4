"""What follows when provers fail: protocol §7. The money is in the golden vectors; this is about who may do what."""

from __future__ import annotations

import pytest
from proofmill.program.v1.state_pb2 import PROGRAM_STATUS_ACTIVE, PROGRAM_STATUS_BLOCKED
from proofmill.prover.v1.state_pb2 import PROVER_STATUS_ACTIVE, PROVER_STATUS_JAILED
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_ACCEPTED,
    ASSIGNMENT_STATUS_OFFERED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    FAILURE_REASON_EXIT_CODE,
    FAILURE_REASON_INPUT_UNAVAILABLE,
    TASK_STATUS_DONE,
    TASK_STATUS_FAILED,
    TASK_STATUS_OFFERED,
    TASK_STATUS_PENDING,
    TASK_STATUS_RUNNING,
    TASK_STATUS_UNDECIDED,
    TASK_STATUS_UNSERVED,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_VALID,
    FailureReason,
    Progress,
)
from proofmill.task.v1.tx_pb2 import MsgReportFailure

from chain import schema
from chain.errors import DEADLINE_PASSED, PROGRAM_NOT_ACTIVE
from chain.invariants import check_invariants
from chain.params import DAY_MS
from chain.prover.registry import get_active_count
from tests.support.life import (
    accept,
    accept_all,
    assigned,
    committee_of,
    deploy,
    fail_first,
    index_of,
    make_proof,
    make_proof_commit,
    make_proof_reveal,
    make_run,
    prove,
    prove_fallback,
    prover_of,
    run,
    task_of,
    vote,
)
from tests.support.network import ALICE, Network, make_genesis, node_key, operator_key
from tests.support.refusals import refuse, reject


@pytest.fixture
def network() -> Network:
    return Network.start(make_genesis(9))


def progress_of(network: Network, task_id: int) -> Progress:
    check_invariants(network.values)
    progress: Progress = task_of(network, task_id).task.progress
    return progress


def report(network: Network, index: int, task_id: int, reason: FailureReason = FAILURE_REASON_EXIT_CODE) -> None:
    node = node_key(index)
    network.execute(node, MsgReportFailure(node=node.address, task_id=task_id, reason=reason))


def agree(network: Network, task_id: int, verdict: int) -> None:
    """The current round's committee votes as one, and the verdict is settled."""
    members = committee_of(network, task_id)
    round_ = task_of(network, task_id).rounds[-1].round.round
    vote(network, task_id, dict.fromkeys(members, verdict), round_)  # type: ignore[arg-type]  # enums are ints
    network.next_block()


def test_a_fallback_that_succeeds_leaves_the_first_slashed_and_jailed(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    first = fail_first(network, task_id)
    fallback = prove_fallback(network, task_id)
    assert fallback != first
    held = schema.PROVERS.require(network.values, operator_key(first).raw)
    assert (held.status, held.held_faults, held.slashed_umill) == (PROVER_STATUS_ACTIVE, 1, 0)
    agree(network, task_id, VERDICT_VALID)
    assert progress_of(network, task_id).status == TASK_STATUS_DONE
    jailed = schema.PROVERS.require(network.values, operator_key(first).raw)
    assert (jailed.status, jailed.held_faults) == (PROVER_STATUS_JAILED, 0)
    assert jailed.bond == 1_900_000_000  # 5 % of 2,000 MILL
    assert jailed.jail_reason == f"failed task {task_id}, which another prover did"
    assert get_active_count(network.values) == 8


def test_neither_prover_of_a_task_is_in_its_committees(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    first = fail_first(network, task_id)
    fallback = prove_fallback(network, task_id)
    assert len(committee_of(network, task_id)) == 7
    assert not {first, fallback} & set(committee_of(network, task_id))


def test_there_is_one_fallback_and_no_more(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    fail_first(network, task_id)
    report(network, accept(network, task_id), task_id)
    progress = progress_of(network, task_id)
    assert progress.status == TASK_STATUS_FAILED
    assert "the program is suspect" in progress.reason
    assert get_active_count(network.values) == 9
    assert {schema.PROVERS.require(network.values, operator_key(index).raw).slashed_umill for index in range(9)} == {0}


def test_a_fallback_gets_a_fresh_deadline_and_may_miss_it_too(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    fail_first(network, task_id)
    fallback = accept(network, task_id)
    assert progress_of(network, task_id).deadline_ms == network.time_ms + 40_000
    network.next_block(after_ms=40_000)
    network.next_block()
    assert progress_of(network, task_id).status == TASK_STATUS_FAILED
    reject(network, DEADLINE_PASSED, node_key(fallback), make_proof(node_key(fallback), task_id))


def test_a_fallback_that_lets_its_offer_pass_is_replaced(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    first = fail_first(network, task_id)
    second = prover_of(network, task_id)
    for _ in range(4):
        network.next_block()
    third = prover_of(network, task_id)
    assert len({first, second, third}) == 3
    assert progress_of(network, task_id).attempt == 2


def test_a_late_proof_of_the_first_prover_changes_nothing(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    first = accept(network, task_id)
    network.next_block(after_ms=40_000)
    network.next_block()
    reject(network, DEADLINE_PASSED, node_key(first), make_proof(node_key(first), task_id))
    assert progress_of(network, task_id).status == TASK_STATUS_OFFERED


def test_nobody_there_for_the_fallback_gives_all_back_and_blames_nobody() -> None:
    network = Network.start(make_genesis(1))
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    report(network, accept(network, task_id), task_id)
    assert progress_of(network, task_id).status == TASK_STATUS_PENDING
    network.next_block(after_ms=60_000)
    network.next_block()
    progress = progress_of(network, task_id)
    assert (progress.status, progress.reason) == (
        TASK_STATUS_UNSERVED,
        "no fallback prover was free before the queue timeout",
    )
    prover = schema.PROVERS.require(network.values, operator_key(0).raw)
    assert (prover.status, prover.held_faults) == (PROVER_STATUS_ACTIVE, 0)


def test_an_undecided_fallback_blames_nobody(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    first = fail_first(network, task_id)
    prove_fallback(network, task_id)
    agree(network, task_id, VERDICT_INCONCLUSIVE)
    assert progress_of(network, task_id).status == TASK_STATUS_UNDECIDED
    prover = schema.PROVERS.require(network.values, operator_key(first).raw)
    assert (prover.status, prover.held_faults, prover.slashed_umill) == (PROVER_STATUS_ACTIVE, 0, 0)


def test_rounds_are_numbered_through_both_attempts(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    first = prove(network, task_id)
    agree(network, task_id, VERDICT_INVALID)
    prove_fallback(network, task_id)
    rounds = [view.round for view in task_of(network, task_id).rounds]
    assert [(round_.round, round_.pass_number) for round_ in rounds] == [(1, 1), (2, 1)]
    assert index_of(rounds[0].prover) == first
    agree(network, task_id, VERDICT_VALID)
    progress = progress_of(network, task_id)
    assert (progress.status, progress.verdict) == (TASK_STATUS_DONE, VERDICT_VALID)
    assert progress.prover == rounds[1].prover


def test_input_that_nobody_gets_is_the_users_fault(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    report(network, accept(network, task_id), task_id, FAILURE_REASON_INPUT_UNAVAILABLE)
    network.next_block()
    report(network, accept(network, task_id), task_id, FAILURE_REASON_INPUT_UNAVAILABLE)
    progress = progress_of(network, task_id)
    assert (progress.status, progress.reason) == (TASK_STATUS_FAILED, "no prover could get the input")
    assert not schema.PROGRAMS.require(network.values, task_of(network, task_id).task.task.program_id).strikes


def redundant(network: Network, count: int = 3) -> list[int]:
    message = make_run(ALICE, deploy(network))
    message.redundancy = count
    network.execute(ALICE, message)
    network.next_block()
    return accept_all(network, 1)


def test_several_provers_are_drawn_at_once(network: Network) -> None:
    assert len(set(redundant(network, 5))) == 5
    assert progress_of(network, 1).status == TASK_STATUS_RUNNING


def test_a_failure_is_covered_by_the_others_and_punished_if_they_succeed(network: Network) -> None:
    first, second, third = redundant(network)
    report(network, first, 1)
    assert progress_of(network, 1).status == TASK_STATUS_RUNNING
    for index in (second, third):
        network.execute(node_key(index), make_proof_commit(index, 1))
    for index in (second, third):
        network.execute(node_key(index), make_proof_reveal(index, 1))
    network.next_block()
    judge_all(network, 1, dict.fromkeys((second, third), VERDICT_VALID))
    assert progress_of(network, 1).status == TASK_STATUS_DONE
    assert schema.PROVERS.require(network.values, operator_key(first).raw).status == PROVER_STATUS_JAILED
    assert progress_of(network, 1).attempt == 1


def judge_all(network: Network, task_id: int, verdicts: dict[int, int]) -> None:
    """All committees find, as one, what is said of the proof of each prover; then the task is settled."""
    for view in task_of(network, task_id).rounds:
        verdict = verdicts[index_of(view.round.prover)]
        members = [index_of(one.voter) for one in view.votes]
        vote(network, task_id, dict.fromkeys(members, verdict), view.round.round)  # type: ignore[arg-type]
    network.next_block()


def test_an_invalid_proof_beside_a_valid_one_is_punished(network: Network) -> None:
    first, second, third = redundant(network)
    for make in (make_proof_commit, make_proof_reveal):
        for index in (first, second):
            network.execute(node_key(index), make(index, 1))
    network.next_block()
    judge_all(network, 1, {first: VERDICT_INVALID, second: VERDICT_VALID})
    progress = progress_of(network, 1)
    assert (progress.status, index_of(progress.prover)) == (TASK_STATUS_DONE, second)
    states = {index: schema.PROVERS.require(network.values, operator_key(index).raw) for index in (first, third)}
    assert states[first].status == PROVER_STATUS_JAILED
    assert (states[third].status, states[third].tasks_failed) == (PROVER_STATUS_ACTIVE, 0)


def test_only_when_all_have_failed_a_fallback_is_drawn(network: Network) -> None:
    first, second = redundant(network, 2)
    report(network, first, 1)
    network.next_block(after_ms=40_000)
    network.next_block()
    assert assigned(network, 1, ASSIGNMENT_STATUS_TIMED_OUT) == [second]
    progress = progress_of(network, 1)
    assert progress.attempt == 2
    assert progress.fallback_reason.startswith("all 2 provers failed, one of them because ")
    prove_fallback(network, 1)
    agree(network, 1, VERDICT_VALID)
    for index in (first, second):
        prover = schema.PROVERS.require(network.values, operator_key(index).raw)
        assert (prover.status, prover.bond) == (PROVER_STATUS_JAILED, 1_900_000_000)


def test_fewer_provers_than_wanted_begin_and_go_on_alone() -> None:
    network = Network.start(make_genesis(2))
    message = make_run(ALICE, deploy(network))
    message.redundancy = 3
    message.time_limit_s = 100
    network.execute(ALICE, message)
    network.next_block()
    assert len(assigned(network, 1, ASSIGNMENT_STATUS_OFFERED)) == 2
    assert progress_of(network, 1).slots_open == 1
    accept_all(network, 1)
    network.next_block(after_ms=60_000)
    network.next_block()
    progress = progress_of(network, 1)
    assert (progress.status, progress.slots_open) == (TASK_STATUS_RUNNING, 0)
    assert len(assigned(network, 1, ASSIGNMENT_STATUS_ACCEPTED)) == 2


def strike(network: Network, program: bytes) -> int:
    """A task at which the first prover and the fallback fail; the first one's index."""
    task_id = run(network, ALICE, program)
    first = fail_first(network, task_id)
    report(network, accept(network, task_id), task_id)
    assert progress_of(network, task_id).status == TASK_STATUS_FAILED
    return first


def test_strikes_by_distinct_provers_block_a_program(network: Network) -> None:
    program = deploy(network)
    firsts: set[int] = set()
    while len(firsts) < 3:
        assert schema.PROGRAMS.require(network.values, program).status == PROGRAM_STATUS_ACTIVE
        firsts.add(strike(network, program))
        assert len(schema.PROGRAMS.require(network.values, program).strikes) == len(firsts)
    assert schema.PROGRAMS.require(network.values, program).status == PROGRAM_STATUS_BLOCKED
    refuse(network, PROGRAM_NOT_ACTIVE, ALICE, make_run(ALICE, program))


def test_strikes_are_forgotten_after_a_day(network: Network) -> None:
    program = deploy(network)
    while len(schema.PROGRAMS.require(network.values, program).strikes) < 2:
        strike(network, program)
    network.next_block(after_ms=DAY_MS)
    strike(network, program)
    assert len(schema.PROGRAMS.require(network.values, program).strikes) == 1


def test_what_waits_for_a_blocked_program_is_refunded(network: Network) -> None:
    program = deploy(network)
    row = schema.PROGRAMS.require(network.values, program)
    network.execute(ALICE, make_run(ALICE, program))
    row.status = PROGRAM_STATUS_BLOCKED
    schema.PROGRAMS.set(network.values, program, row)
    network.next_block()
    progress = progress_of(network, 1)
    assert (progress.status, progress.reason) == (
        TASK_STATUS_UNSERVED,
        "the program was blocked before a prover was drawn",
    )
