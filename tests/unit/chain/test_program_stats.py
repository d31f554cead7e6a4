"""How runs of a program went, and the advice made of it."""

from __future__ import annotations

import pytest
from proofmill.program.v1.query_pb2 import QueryProgramStatsRequest, QueryProgramStatsResponse
from proofmill.program.v1.state_pb2 import ProgramStats
from proofmill.task.v1.query_pb2 import QueryEstimateRequest, QueryEstimateResponse
from proofmill.task.v1.state_pb2 import FAILURE_REASON_EXIT_CODE, VERDICT_VALID
from proofmill.task.v1.tx_pb2 import MsgReportFailure
from proofmill.types.v1.types_pb2 import Resources

from chain.params import GIB
from chain.program.stats import compute_advised_time_limit_s, compute_cpu_class
from tests.support.life import accept, committee_of, deploy, fail_first, make_run, prove, run, task_of, vote
from tests.support.network import ALICE, Network, node_key


def estimate(network: Network, program: bytes, redundancy: int = 1) -> QueryEstimateResponse:
    request = QueryEstimateRequest(program_id=program.hex(), time_limit_s=10, redundancy=redundancy)
    answer: QueryEstimateResponse = network.query("/proofmill.task.v1.Query/Estimate", request, QueryEstimateResponse)
    return answer


def stats_of(network: Network, program: bytes) -> list[ProgramStats]:
    request = QueryProgramStatsRequest(program_id=program.hex())
    answer: QueryProgramStatsResponse = network.query(
        "/proofmill.program.v1.Query/ProgramStats", request, QueryProgramStatsResponse
    )
    return list(answer.stats)


def succeed(network: Network, program: bytes) -> None:
    task_id = run(network, ALICE, program)
    prove(network, task_id)
    vote(network, task_id, dict.fromkeys(committee_of(network, task_id), VERDICT_VALID))
    network.next_block()


def test_runs_are_counted_by_class(network: Network) -> None:
    program = deploy(network)
    assert not stats_of(network, program)
    for _ in range(2):
        succeed(network, program)
    (stats,) = stats_of(network, program)
    assert (stats.cpu_class, stats.gpus, stats.succeeded, stats.failed) == (0, 0, 2, 0)
    assert (list(stats.wall_ms), stats.peak_memory_bytes) == ([400, 400], 50_000_000)
    answer = estimate(network, program)
    assert (answer.stats, answer.advised_time_limit_s) == (stats, 1)


def test_a_task_that_failed_twice_counts_as_one_failure(network: Network) -> None:
    program = deploy(network)
    task_id = run(network, ALICE, program)
    fail_first(network, task_id)
    node = node_key(accept(network, task_id))
    network.execute(node, MsgReportFailure(node=node.address, task_id=task_id, reason=FAILURE_REASON_EXIT_CODE))
    (stats,) = stats_of(network, program)
    assert (stats.succeeded, stats.failed) == (0, 1)
    assert estimate(network, program).advised_time_limit_s == 0


@pytest.mark.parametrize("redundancy", [1, 2, 3, 5])
def test_an_estimate_is_what_is_charged(network: Network, redundancy: int) -> None:
    program = deploy(network)
    message = make_run(ALICE, program)
    message.redundancy = redundancy
    network.execute(ALICE, message)
    assert estimate(network, program, redundancy).fee == task_of(network, 1).task.task.fee


@pytest.mark.parametrize(
    ("millis", "expected"), [(1, 0), (1_000, 0), (1_001, 1), (2_000, 1), (2_001, 2), (4_000, 2), (96_000, 7)]
)
def test_classes_double(millis: int, expected: int) -> None:
    assert compute_cpu_class(Resources(cpu_millis=millis, memory_bytes=GIB)) == expected


@pytest.mark.parametrize(
    ("walls", "expected"),
    [
        ([], 0),
        ([1], 1),
        ([2_000], 3),
        ([2_001], 4),
        # One in forty is an outlier; the slowest of the rest decides.
        ([1_000] * 39 + [900_000], 2),
        ([1_000] * 37 + [4_000] * 2 + [900_000], 6),
    ],
)
def test_the_advice_is_half_as_much_again_as_the_slowest_twentieth(walls: list[int], expected: int) -> None:
    assert compute_advised_time_limit_s(ProgramStats(wall_ms=walls)) == expected
