"""The messages that users send, from plain arguments."""

from __future__ import annotations

from collections.abc import Sequence

from cosmos.bank.v1beta1.tx_pb2 import MsgSend
from cosmos.base.v1beta1.coin_pb2 import Coin
from proofmill.credits.v1.tx_pb2 import MsgGrantCredits
from proofmill.params.v1.state_pb2 import Params
from proofmill.params.v1.tx_pb2 import MsgUpdateParams
from proofmill.program.v1.state_pb2 import ProgramSpec
from proofmill.program.v1.tx_pb2 import MsgDeployProgram, MsgDeprecateProgram
from proofmill.task.v1.state_pb2 import Input
from proofmill.task.v1.tx_pb2 import MsgCancelTask, MsgRunTask
from proofmill.types.v1.types_pb2 import Resources

from chain.address import AddressError, decode_address
from chain.amount import UMILL
from client.errors import InvalidInput

DEFAULT_QUEUE_TIMEOUT_S = 600


def send(sender: str, recipient: str, umill: int) -> MsgSend:
    """Moves ``umill`` from ``sender`` to ``recipient``."""
    check_address(recipient)
    _check_positive(umill)
    return MsgSend(from_address=sender, to_address=recipient, amount=[Coin(denom=UMILL, amount=str(umill))])


def grant_credits(authority: str, recipient: str, ucredit: int) -> MsgGrantCredits:
    """Mints ``ucredit`` to ``recipient``; only the genesis authority may."""
    check_address(recipient)
    _check_positive(ucredit)
    return MsgGrantCredits(authority=authority, recipient=recipient, amount=ucredit)


def deploy_program(deployer: str, spec: ProgramSpec) -> MsgDeployProgram:
    return MsgDeployProgram(deployer=deployer, spec=spec)


def deprecate_program(deployer: str, program_id: bytes) -> MsgDeprecateProgram:
    return MsgDeprecateProgram(deployer=deployer, program_id=program_id)


def run_task(
    user: str,
    program_id: bytes,
    inputs: Sequence[Input],
    *,
    resources: Resources | None,
    time_limit_s: int,
    max_fee: int,
    redundancy: int = 1,
    queue_timeout_s: int = DEFAULT_QUEUE_TIMEOUT_S,
) -> MsgRunTask:
    """``max_fee`` in ucredit, for all ``redundancy`` provers; without ``resources`` the program's defaults apply."""
    return MsgRunTask(
        user=user,
        program_id=program_id,
        inputs=inputs,
        resources=resources,
        time_limit_s=time_limit_s,
        redundancy=redundancy,
        max_fee=max_fee,
        queue_timeout_s=queue_timeout_s,
    )


def cancel_task(user: str, task_id: int) -> MsgCancelTask:
    return MsgCancelTask(user=user, task_id=task_id)


def update_params(authority: str, params: Params) -> MsgUpdateParams:
    """``params`` with the version that they were made from; only the genesis authority may."""
    return MsgUpdateParams(authority=authority, params=params)


def check_address(address: str) -> str:
    """``address`` itself; :class:`InvalidInput` unless it is one of this chain's."""
    try:
        decode_address(address)
    except AddressError as error:
        raise InvalidInput(str(error)) from None
    return address


def _check_positive(amount: int) -> None:
    if amount <= 0:
        raise InvalidInput("the amount must be more than zero")
