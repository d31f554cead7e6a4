"""Prover daemons and the chain's capacity tests, with a program that does as told in the place of the real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from proofmill.prover.v1.state_pb2 import PROVER_STATUS_ACTIVE, PROVER_STATUS_JAILED, TEST_RESULT_PASSED, Prover
from proofmill.prover.v1.tx_pb2 import MsgUpdateProver
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from client.messages import send, update_params
from tests.support.behave_program import build_behave
from tests.support.image_archives import file, image_config, oci_layout, tar
from tests.support.network import ALICE, AUTHORITY, MILL, operator_key
from tests.support.prover_bench import Bench
from tests.support.prover_nodes import HOUR_MS, ProverNodes


@pytest.fixture(scope="module")
def behave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layer = tar([file("behave", build_behave(tmp_path_factory.mktemp("behave")), 0o755)])
    path = tmp_path_factory.mktemp("image") / "image.tar"
    oci_layout(path, [layer], image_config([layer], {"Entrypoint": ["/behave"]}))
    return path


def prover(nodes: ProverNodes, index: int) -> Prover:
    with nodes.node.lock:
        return schema.PROVERS.require(nodes.node.network.values, operator_key(index).raw)


def change_params(bench: Bench, **values: object) -> None:
    """What the authority of the network would decide."""
    with bench.nodes.node.lock:
        params = schema.PARAMS.require(bench.nodes.node.network.values)
    for name, value in values.items():
        setattr(params, name, value)
    bench.send(AUTHORITY, update_params(AUTHORITY.address, params))


def test_a_larger_claim_than_the_daemon_is_configured_for_is_tested_and_granted(
    bwrap: Path, behave: Path, tmp_path: Path
) -> None:
    with ProverNodes(tmp_path) as nodes:
        bench = Bench(nodes, behave)
        change_params(bench, capacity_program=bench.behaving("ok"))
        operator = operator_key(0)
        bench.send(ALICE, send(ALICE.address, operator.address, 10 * MILL))
        claim = Resources(cpu_millis=6_000, memory_bytes=8 << 30)
        bench.send(operator, MsgUpdateProver(operator=operator.address, resources=claim))
        nodes.wait(lambda: prover(nodes, 0).test_result == TEST_RESULT_PASSED, "the test is passed")
        assert prover(nodes, 0).resources == claim


def test_a_prover_that_slept_through_a_test_comes_in_again_by_itself(bwrap: Path, behave: Path, tmp_path: Path) -> None:
    with ProverNodes(tmp_path, commit_window_ms=10_000, auto_retest=True) as nodes:
        bench = Bench(nodes, behave)
        change_params(bench, capacity_program=bench.behaving("ok"), capacity_time_limit_s=60, test_retry_ms=1_000)
        nodes.wait(lambda: nodes.seen(0, '"the capacity program is ready"'), "the daemon has the program")
        nodes.kill(0)
        with nodes.node.lock:
            nodes.node.network.time_ms += 4 * HOUR_MS
        nodes.wait(lambda: prover(nodes, 0).status == PROVER_STATUS_JAILED, "it is jailed")
        nodes.start(0)
        nodes.wait(lambda: prover(nodes, 0).status == PROVER_STATUS_ACTIVE, "it is back")
        assert prover(nodes, 0).test_result == TEST_RESULT_PASSED
        assert nodes.seen(0, r'"test 0"')
