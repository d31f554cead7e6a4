"""proofmill.params.v1.MsgUpdateParams (protocol §9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from proofmill.params.v1.tx_pb2 import MsgUpdateParams, MsgUpdateParamsResponse
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE, VERDICT_VALID

from chain import schema
from chain.errors import INVALID_ADDRESS, PARAMS_INVALID, PARAMS_VERSION, UNAUTHORIZED
from chain.invariants import check_invariants
from tests.support.life import committee_of, deploy, make_run, prove, run, task_of, vote
from tests.support.network import ALICE, AUTHORITY, Key, Network, make_tx
from tests.support.refusals import refuse, refuse_raw

if TYPE_CHECKING:
    from proofmill.params.v1.state_pb2 import Params


def now_in_force(network: Network) -> Params:
    return schema.PARAMS.require(network.values)


def make_update(params: Params, authority: Key = AUTHORITY) -> MsgUpdateParams:
    return MsgUpdateParams(authority=authority.address, params=params)


def test_basic(network: Network) -> None:
    params = now_in_force(network)
    params.accept_window_blocks = 7
    result = network.deliver(AUTHORITY, make_update(params))
    assert [event.type for event in result.events] == ["proofmill.params.v1.EventParamsUpdated"]
    assert now_in_force(network).accept_window_blocks == 7
    assert now_in_force(network).version == 2
    assert schema.PARAMS_VERSIONS.require(network.values, 1).accept_window_blocks == 3
    assert schema.PARAMS_VERSIONS.require(network.values, 2) == now_in_force(network)
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    (row,) = task_of(network, task_id).assignments
    assert row.accept_by_height == row.offered_height + 7


def test_basic_all_of_a_block_runs_under_the_same(network: Network) -> None:
    """Also what comes after the update in its own block."""
    program, params = deploy(network), now_in_force(network)
    params.cpu_node.ucredit_per_hour *= 2
    network.send(AUTHORITY, make_update(params))
    network.send(ALICE, make_run(ALICE, program))
    network.next_block()
    network.execute(ALICE, make_run(ALICE, program))
    tasks = [task_of(network, task_id).task.task for task_id in (1, 2)]
    assert [(task.fee, task.params_version) for task in tasks] == [(18, 1), (36, 2)]


def test_basic_a_task_keeps_what_it_was_escrowed_under(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    params = now_in_force(network)
    params.prover_share_bp, params.verifier_share_bp, params.network_share_bp = 1_000, 8_000, 1_000
    params.verdict_quorum_bp = 10_000
    params.committee_min = 1
    params.credit_price_umill = 7_000_000
    network.execute(AUTHORITY, make_update(params))
    from_prover = prove_now(network, task_id)
    members = committee_of(network, task_id)
    assert len(members) == 4
    vote(network, task_id, dict.fromkeys(members, VERDICT_VALID))
    network.next_block()
    progress = task_of(network, task_id).task.progress
    assert progress.status == TASK_STATUS_DONE
    assert [(one.recipient, one.ucredit, one.umill) for one in progress.payouts if one.umill] == [(from_prover, 16, 16)]
    check_invariants(network.values)


def prove_now(network: Network, task_id: int) -> str:
    """The prover's address; the offer stands already."""
    prove(network, task_id)
    return task_of(network, task_id).task.progress.prover


def test_invalid_authority(network: Network) -> None:
    refuse(network, UNAUTHORIZED, ALICE, make_update(now_in_force(network), ALICE))


@pytest.mark.parametrize("version", [0, 2])
def test_invalid_version(network: Network, version: int) -> None:
    params = now_in_force(network)
    params.version = version
    result = refuse(network, PARAMS_VERSION, AUTHORITY, make_update(params))
    assert "version 1 is in force" in result.log


def test_invalid_update_made_from_an_older_version(network: Network) -> None:
    update = make_update(now_in_force(network))
    network.execute(AUTHORITY, update)
    refuse(network, PARAMS_VERSION, AUTHORITY, update)


def test_invalid_capacity_program(network: Network) -> None:
    params = now_in_force(network)
    params.capacity_program = bytes(32)
    refuse(network, PARAMS_INVALID, AUTHORITY, make_update(params))
    params.capacity_program = deploy(network)
    network.execute(AUTHORITY, make_update(params))


def test_invalid_params(network: Network) -> None:
    params = now_in_force(network)
    params.network_share_bp += 1
    raw = make_tx(AUTHORITY, [make_update(params)], account_number=0, sequence=0)
    refuse_raw(network, PARAMS_INVALID, raw)
    refuse_raw(
        network,
        PARAMS_INVALID,
        make_tx(AUTHORITY, [MsgUpdateParams(authority=AUTHORITY.address)], account_number=0, sequence=0),
    )


def test_invalid_address(network: Network) -> None:
    message = MsgUpdateParams(authority="x", params=now_in_force(network))
    refuse_raw(network, INVALID_ADDRESS, make_tx(AUTHORITY, [message], account_number=0, sequence=0))


def test_basic_the_response_tells_the_version(network: Network) -> None:
    (response,) = network.execute(AUTHORITY, make_update(now_in_force(network)))
    assert MsgUpdateParamsResponse.FromString(response).version == 2
