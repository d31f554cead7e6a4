"""cosmos.tx.v1beta1.Service/Simulate: what a transaction would do to the last committed state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmos.base.abci.v1beta1.abci_pb2 import GasInfo, Result, TxMsgData
from cosmos.tx.v1beta1.service_pb2 import SimulateRequest, SimulateResponse

from chain import schema
from chain.ante import check_gas, decode_sized
from chain.bank.ledger import charge_fee
from chain.beacon import compute_beacon
from chain.context import BlockEnv, Context
from chain.errors import INSUFFICIENT_FUNDS
from chain.state.overlay import Overlay
from chain.transition import execute_messages

if TYPE_CHECKING:
    from chain.query_context import QueryContext
    from chain.tx import DecodedTx


def query_simulate(context: QueryContext, request: SimulateRequest) -> SimulateResponse:
    """Gas and responses, or the TxError that it would end with.

    Signatures and sequences don't matter. A fee is taken if one is stated: what couldn't pay it in a block fails here.
    """
    raw = request.tx_bytes or request.tx.SerializeToString(deterministic=True)
    params = schema.PARAMS.require(context.kv)
    tx = decode_sized(raw, params)
    check_gas(tx.gas)
    height = context.height + 1
    env = BlockEnv(
        context.chain_id, height, context.time_ms, compute_beacon(schema.LAST_BLOCK_HASH.require(context.kv), height)
    )
    layer = Context(Overlay(context.kv), env, params, [])
    if tx.fee:
        _take_fee(layer, tx)
    data = execute_messages(layer, tx)
    events = [
        {"type": event.type, "attributes": [{"key": key, "value": value} for key, value in event.attributes]}
        for event in layer.events
    ]
    result = Result(data=data, msg_responses=TxMsgData.FromString(data).msg_responses, events=events)
    return SimulateResponse(gas_info=GasInfo(gas_wanted=tx.gas, gas_used=tx.gas), result=result)


def _take_fee(context: Context, tx: DecodedTx) -> None:
    payer = tx.signers[0].address
    account = schema.ACCOUNTS.get(context.kv, payer)
    held = account.umill if account is not None else 0
    if account is None or held < tx.fee:
        raise INSUFFICIENT_FUNDS.error(f"the fee is {tx.fee} umill, but the account holds {held} umill")
    charge_fee(context.kv, account, tx.fee)
    schema.ACCOUNTS.set(context.kv, payer, account)
