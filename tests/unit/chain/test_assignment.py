"""What the start of a block does with pending and offered tasks: protocol §6.2 and §6.3."""

from __future__ import annotations

import pytest
from proofmill.prover.v1.state_pb2 import PROVER_STATUS_ACTIVE, PROVER_STATUS_JAILED
from proofmill.prover.v1.tx_pb2 import MsgRegisterProver
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_EXPIRED,
    ASSIGNMENT_STATUS_OFFERED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    TASK_STATUS_OFFERED,
    TASK_STATUS_PENDING,
    TASK_STATUS_UNSERVED,
)
from proofmill.task.v1.tx_pb2 import MsgAcceptTasks, MsgRunTask
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.invariants import check_invariants
from chain.params import GIB, default_params
from tests.support.envelope import account_of
from tests.support.life import accept, deploy, make_proof, make_run, make_spec, prover_of, run, task_of
from tests.support.network import ALICE, MILL, Network, endpoint_of, make_genesis, node_key, operator_key


def status_of(network: Network, task_id: int) -> int:
    return task_of(network, task_id).task.progress.status


def big_run(program_id: bytes, cpus: int) -> MsgRunTask:
    message = make_run(ALICE, program_id)
    message.resources.CopyFrom(Resources(cpu_millis=cpus * 1_000, memory_bytes=GIB))
    message.max_fee = 10_000
    return message


def big_program(network: Network) -> bytes:
    """A program whose tasks may ask for more than any prover has."""
    spec = make_spec("big")
    spec.max_resources.cpu_millis = 64_000
    return deploy(network, spec)


def test_a_prover_is_drawn_in_the_next_block(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    assert [event.type for event in network.events] == ["proofmill.task.v1.EventTaskOffered"]
    answer = task_of(network, task_id)
    assert answer.task.progress.status == TASK_STATUS_OFFERED
    (assignment,) = answer.assignments
    assert assignment.status == ASSIGNMENT_STATUS_OFFERED
    assert (assignment.offered_height, assignment.accept_by_height) == (network.height, network.height + 3)
    assert answer.prover_endpoints == [endpoint_of(prover_of(network, task_id))]
    prover = schema.PROVERS.require(network.values, operator_key(prover_of(network, task_id)).raw)
    assert prover.used == Resources(cpu_millis=1_000, memory_bytes=2 * GIB)


def test_silence_is_a_miss_and_another_prover_is_drawn_in_the_same_block(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    first = prover_of(network, task_id)
    for _ in range(3):
        network.next_block()
        assert prover_of(network, task_id) == first
    network.next_block()
    assert [event.type.rpartition(".")[2] for event in network.events] == [
        "EventProverMissed",
        "EventOfferExpired",
        "EventTaskOffered",
    ]
    assert status_of(network, task_id) == TASK_STATUS_OFFERED
    assert prover_of(network, task_id) != first
    statuses = {row.prover: row.status for row in task_of(network, task_id).assignments}
    assert statuses[operator_key(first).address] == ASSIGNMENT_STATUS_EXPIRED
    prover = schema.PROVERS.require(network.values, operator_key(first).raw)
    assert list(prover.misses_ms) == [network.time_ms]
    assert not prover.used.ListFields()


def test_misses_are_counted_for_a_day_only_and_no_further_than_they_matter() -> None:
    network = Network.start(make_genesis(1))
    program_id = deploy(network)
    for _ in range(2):
        run(network, ALICE, program_id)
        for _ in range(5):
            network.next_block()
    raw = operator_key(0).raw
    assert len(schema.PROVERS.require(network.values, raw).misses_ms) == 2
    network.next_block(after_ms=24 * 3_600_000)
    run(network, ALICE, program_id)
    for _ in range(5):
        network.next_block()
    prover = schema.PROVERS.require(network.values, raw)
    assert (len(prover.misses_ms), prover.status) == (1, PROVER_STATUS_ACTIVE)


def test_the_third_miss_in_a_day_jails() -> None:
    network = Network.start(make_genesis(1))
    program_id = deploy(network)
    for _ in range(3):
        run(network, ALICE, program_id)
        for _ in range(5):
            network.next_block()
    prover = schema.PROVERS.require(network.values, operator_key(0).raw)
    assert prover.status == PROVER_STATUS_JAILED
    assert prover.jail_reason == "missed 3 tasks within 1440 min"
    task_id = run(network, ALICE, program_id)
    network.next_block()
    assert status_of(network, task_id) == TASK_STATUS_PENDING
    check_invariants(network.values)


def test_nobody_there_ends_unserved_with_all_refunded() -> None:
    network = Network.start(make_genesis(0))
    before = account_of(network, ALICE).ucredit
    task_id = run(network, ALICE, deploy(network))
    network.next_block(after_ms=59_000)
    assert status_of(network, task_id) == TASK_STATUS_PENDING
    network.next_block(after_ms=1_000)
    network.next_block()
    assert status_of(network, task_id) == TASK_STATUS_UNSERVED
    assert account_of(network, ALICE).ucredit == before
    check_invariants(network.values)


def test_even_the_shortest_queue_timeout_gets_a_draw(network: Network) -> None:
    message = make_run(ALICE, deploy(network))
    message.queue_timeout_s = 1
    network.execute(ALICE, message)
    network.next_block(after_ms=60_000)
    assert status_of(network, 1) == TASK_STATUS_OFFERED


def test_offers_that_nobody_answers_end_with_the_queue_timeout(network: Network) -> None:
    message = make_run(ALICE, deploy(network))
    message.queue_timeout_s = 6
    network.execute(ALICE, message)
    for _ in range(12):
        network.next_block()
    progress = task_of(network, 1).task.progress
    assert progress.status == TASK_STATUS_UNSERVED
    # Two offers of four blocks each outlasted six seconds; the other three provers never had one.
    assert len(task_of(network, 1).assignments) == 2
    check_invariants(network.values)


def test_the_deadline_of_the_proof_passes(network: Network) -> None:
    before = account_of(network, ALICE).ucredit
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    index = accept(network, task_id)
    network.next_block(after_ms=40_000)
    network.next_block()
    answer = task_of(network, task_id)
    assert answer.task.progress.attempt == 2
    assert answer.task.progress.fallback_reason == "the prover missed the deadline"
    (late,) = [row for row in answer.assignments if row.attempt == 1]
    assert (late.status, late.held_fault) == (ASSIGNMENT_STATUS_TIMED_OUT, True)
    # Half goes back at once, and a fallback is offered the task in the same block.
    assert account_of(network, ALICE).ucredit == before - 9
    assert answer.task.progress.status == TASK_STATUS_OFFERED
    assert schema.PROVERS.require(network.values, operator_key(index).raw).tasks_failed == 1
    check_invariants(network.values)


def test_the_prover_of_the_last_block_rests_while_others_are_eligible(network: Network) -> None:
    program_id = deploy(network)
    for _ in range(15):
        # Each task is proved at once, so that resources never decide.
        task_id = run(network, ALICE, program_id)
        network.send(ALICE, make_run(ALICE, program_id))
        network.next_block()
        drawn = prover_of(network, task_id)
        network.next_block()
        following = prover_of(network, task_id + 1)
        assert following != drawn
        for index, task in ((drawn, task_id), (following, task_id + 1)):
            node = node_key(index)
            network.send(node, MsgAcceptTasks(node=node.address, task_ids=[task]), make_proof(node, task))
        network.next_block()


def test_the_only_prover_may_be_drawn_block_after_block() -> None:
    network = Network.start(make_genesis(1))
    program_id = deploy(network)
    for task_id in (1, 2, 3):
        run(network, ALICE, program_id)
        if task_id > 1:
            assert prover_of(network, task_id - 1) == 0
    network.next_block()
    assert prover_of(network, 3) == 0


def test_a_prover_does_several_tasks_while_its_resources_last() -> None:
    network = Network.start(make_genesis(2))
    program_id = deploy(network)
    network.execute(ALICE, *[make_run(ALICE, program_id) for _ in range(9)])
    network.next_block()
    offered = [task_id for task_id in range(1, 10) if status_of(network, task_id) == TASK_STATUS_OFFERED]
    # Four of 2 GiB on each of two provers of 8 GiB; the youngest waits.
    assert offered == list(range(1, 9))
    index = prover_of(network, 1)
    network.execute(
        node_key(index), MsgAcceptTasks(node=node_key(index).address, task_ids=[1]), make_proof(node_key(index), 1)
    )
    network.next_block()
    assert status_of(network, 9) == TASK_STATUS_OFFERED
    assert prover_of(network, 9) == index
    check_invariants(network.values)


def test_pending_tasks_go_by_program_then_by_age_as_many_as_the_parameters_allow() -> None:
    params = default_params()
    params.assignments_per_block_max = 2
    network = Network.start(make_genesis(5, params))
    first, second = sorted((deploy(network, make_spec("a")), deploy(network, make_spec("b"))))
    network.execute(ALICE, *[make_run(ALICE, program) for program in (second, first, second, first, first)])
    order = []
    for _ in range(3):
        network.next_block()
        order += [
            int(dict(event.attributes)["task_id"])
            for event in network.events
            if event.type.endswith("EventTaskOffered")
        ]
    assert order == [2, 4, 5, 1, 3]


def test_many_tasks_that_nobody_can_serve_do_not_keep_others_waiting_for_ever() -> None:
    params = default_params()
    params.assignments_per_block_max = 1  # so that a block looks at four tasks
    network = Network.start(make_genesis(3, params))
    program_id = big_program(network)
    network.execute(ALICE, *[big_run(program_id, 64) for _ in range(9)], big_run(program_id, 1))
    network.next_block()
    assert schema.PENDING_NEXT.require(network.values)[3] == 5
    network.next_block()
    assert status_of(network, 10) == TASK_STATUS_PENDING
    network.next_block()
    assert status_of(network, 10) == TASK_STATUS_OFFERED
    assert schema.PENDING_NEXT.get(network.values) is None
    check_invariants(network.values)


def test_looking_goes_round_the_whole_queue() -> None:
    params = default_params()
    params.assignments_per_block_max = 1
    network = Network.start(make_genesis(3, params))
    program_id = big_program(network)
    network.execute(ALICE, *[big_run(program_id, 64) for _ in range(6)])
    starts = []
    for _ in range(6):
        network.next_block()
        row = schema.PENDING_NEXT.get(network.values)
        starts.append(row[3] if row else 0)
    assert starts == [5, 3, 1, 5, 3, 1]


def test_a_queue_of_deadlines_is_worked_off_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chain.task.deadlines._DUE_MAX", 2)
    network = Network.start(make_genesis(0))
    program_id = deploy(network)
    network.execute(ALICE, *[make_run(ALICE, program_id) for _ in range(5)])
    network.next_block(after_ms=60_000)
    left = []
    for _ in range(4):
        network.next_block()
        left.append(len(list(schema.DEADLINES.keys(network.values))))
        check_invariants(network.values)
    assert left == [3, 1, 0, 0]
    assert {status_of(network, task_id) for task_id in range(1, 6)} == {TASK_STATUS_UNSERVED}


def test_draws_look_at_a_bounded_number_of_provers() -> None:
    params = default_params()
    params.draw_looks_max = 1
    params.assignments_per_block_max = 1
    genesis = make_genesis(4, params)
    for prover in genesis.provers[1:]:
        prover.resources.cpu_millis = 500
    network = Network.start(genesis)
    task_id = run(network, ALICE, deploy(network))
    # One look a block: sooner or later it falls on the only prover that fits.
    for _ in range(60):
        network.next_block()
        if status_of(network, task_id) == TASK_STATUS_OFFERED:
            break
    assert prover_of(network, task_id) == 0


def test_joining_provers_are_never_drawn() -> None:
    network = Network.start(make_genesis(0))
    network.execute(
        ALICE,
        MsgRegisterProver(
            operator=ALICE.address,
            node=node_key(9).address,
            resources=Resources(cpu_millis=8_000, memory_bytes=16 * GIB),
            endpoints=["https://prover.example"],
            bond=1_000 * MILL,
        ),
    )
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    assert status_of(network, task_id) == TASK_STATUS_PENDING


def test_nobody_can_know_the_draw_before_the_block_that_includes_the_task() -> None:
    """The draw follows from the hash of that block; nothing known earlier decides it, nothing later changes it."""

    def drawn(including: bytes, following: bytes, after_ms: int) -> int:
        network = Network.start(make_genesis())
        network.send(ALICE, make_run(ALICE, deploy(network)))
        network.next_block(block_hash=including)
        network.next_block(block_hash=following, after_ms=after_ms)
        return prover_of(network, 1)

    assert len({drawn(bytes([number]) * 32, bytes(32), 1_000) for number in range(16)}) > 2
    assert len({drawn(b"\x01" * 32, bytes([number]) * 32, 1_000 + number) for number in range(8)}) == 1
