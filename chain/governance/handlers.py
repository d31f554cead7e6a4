"""MsgUpdateParams: the authority of a permissioned network changes the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.params.v1.event_pb2 import EventParamsUpdated
from proofmill.params.v1.state_pb2 import Params
from proofmill.params.v1.tx_pb2 import MsgUpdateParams, MsgUpdateParamsResponse

from chain import schema
from chain.errors import PARAMS_INVALID, PARAMS_VERSION, UNAUTHORIZED
from chain.fields import check_address
from chain.params import ParamsError, validate_params

if TYPE_CHECKING:
    from chain.context import Context


def validate_update_params(message: MsgUpdateParams) -> None:
    check_address(message.authority, "authority")
    try:
        validate_params(message.params)
    except ParamsError as error:
        raise PARAMS_INVALID.error(str(error)) from None


def execute_update_params(context: Context, message: MsgUpdateParams) -> MsgUpdateParamsResponse:
    """In force from the next block on: all of a block runs under the same parameters."""
    # A copy: the decoded message is remembered from the mempool's check to the block.
    kv, params = context.kv, Params()
    params.CopyFrom(message.params)
    authority = schema.AUTHORITY.get(kv)
    if message.authority != authority:
        raise UNAUTHORIZED.error(
            f"only the authority {authority or '(none in this genesis)'} may change the parameters"
        )
    current = schema.PARAMS.require(kv).version
    if params.version != current:
        raise PARAMS_VERSION.error(
            f"these parameters were made from version {params.version}, but version {current} is in force: "
            "look at that one and change it"
        )
    if params.capacity_program and not schema.PROGRAMS.has(kv, params.capacity_program):
        raise PARAMS_INVALID.error(
            f"capacity_program is {params.capacity_program.hex()}, which isn't deployed: deploy it first"
        )
    params.version = current + 1
    schema.PARAMS.set(kv, params)
    schema.PARAMS_VERSIONS.set(kv, params.version, params)
    context.emit(EventParamsUpdated(version=params.version))
    return MsgUpdateParamsResponse(version=params.version)
