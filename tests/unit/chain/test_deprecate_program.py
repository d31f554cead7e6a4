"""proofmill.program.v1.MsgDeprecateProgram."""

from __future__ import annotations

import pytest
from proofmill.program.v1.state_pb2 import PROGRAM_STATUS_BLOCKED, PROGRAM_STATUS_DEPRECATED
from proofmill.program.v1.tx_pb2 import MsgDeprecateProgram
from proofmill.task.v1.state_pb2 import TASK_STATUS_OFFERED

from chain import schema
from chain.errors import (
    INVALID_ADDRESS,
    NOT_DEPLOYER,
    PROGRAM_INVALID,
    PROGRAM_NOT_ACTIVE,
    PROGRAM_NOT_FOUND,
)
from tests.support.life import deploy, make_run, run, task_of
from tests.support.network import ALICE, DEPLOYER, Key, Network, make_tx
from tests.support.refusals import refuse, refuse_raw


def make_deprecate(deployer: Key, program_id: bytes) -> MsgDeprecateProgram:
    return MsgDeprecateProgram(deployer=deployer.address, program_id=program_id)


def test_basic(network: Network) -> None:
    program_id = deploy(network)
    task_id = run(network, ALICE, program_id)
    result = network.deliver(DEPLOYER, make_deprecate(DEPLOYER, program_id))
    assert [event.type for event in result.events] == ["proofmill.program.v1.EventProgramDeprecated"]
    assert schema.PROGRAMS.require(network.values, program_id).status == PROGRAM_STATUS_DEPRECATED
    # What was asked for before goes on; new tasks aren't taken.
    assert task_of(network, task_id).task.progress.status == TASK_STATUS_OFFERED
    refuse(network, PROGRAM_NOT_ACTIVE, ALICE, make_run(ALICE, program_id))


def test_basic_repeat(network: Network) -> None:
    program_id = deploy(network)
    network.execute(DEPLOYER, make_deprecate(DEPLOYER, program_id))
    result = network.deliver(DEPLOYER, make_deprecate(DEPLOYER, program_id))
    assert (result.code, result.events) == (0, ())


def test_invalid_deployer(network: Network) -> None:
    result = refuse(network, NOT_DEPLOYER, ALICE, make_deprecate(ALICE, deploy(network)))
    assert DEPLOYER.address in result.log


def test_invalid_program_unknown(network: Network) -> None:
    refuse(network, PROGRAM_NOT_FOUND, DEPLOYER, make_deprecate(DEPLOYER, bytes(32)))


def test_invalid_blocked(network: Network) -> None:
    program_id = deploy(network)
    program = schema.PROGRAMS.require(network.values, program_id)
    program.status = PROGRAM_STATUS_BLOCKED
    schema.PROGRAMS.set(network.values, program_id, program)
    refuse(network, PROGRAM_NOT_ACTIVE, DEPLOYER, make_deprecate(DEPLOYER, program_id))


@pytest.mark.parametrize("program_id", [b"", bytes(31), bytes(33)], ids=len)
def test_invalid_program_id(network: Network, program_id: bytes) -> None:
    message = make_deprecate(DEPLOYER, program_id)
    refuse_raw(network, PROGRAM_INVALID, make_tx(DEPLOYER, [message], account_number=3, sequence=0))


def test_invalid_address(network: Network) -> None:
    message = MsgDeprecateProgram(deployer="nobody", program_id=bytes(32))
    refuse_raw(network, INVALID_ADDRESS, make_tx(DEPLOYER, [message], account_number=3, sequence=0))
