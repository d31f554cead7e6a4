"""cosmos.bank.v1beta1.Query, the pools and the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmos.bank.v1beta1 import query_pb2 as pb
from cosmos.bank.v1beta1.bank_pb2 import DenomUnit, Metadata, Params
from cosmos.base.query.v1beta1.pagination_pb2 import PageResponse
from cosmos.base.v1beta1.coin_pb2 import Coin
from proofmill.credits.v1 import query_pb2 as credits_pb
from proofmill.params.v1 import query_pb2 as params_pb

from chain import schema
from chain.amount import UCREDIT, UMILL
from chain.bank.ledger import get_pools
from chain.errors import NOT_FOUND
from chain.fields import check_address

if TYPE_CHECKING:
    from chain.query_context import QueryContext
    from chain.state.kv import KVReader


def query_balance(context: QueryContext, request: pb.QueryBalanceRequest) -> pb.QueryBalanceResponse:
    held = {coin.denom: coin.amount for coin in _balances(context.kv, request.address)}
    return pb.QueryBalanceResponse(balance=Coin(denom=request.denom, amount=held.get(request.denom, "0")))


def query_all_balances(context: QueryContext, request: pb.QueryAllBalancesRequest) -> pb.QueryAllBalancesResponse:
    coins = _balances(context.kv, request.address)
    return pb.QueryAllBalancesResponse(balances=coins, pagination=PageResponse(total=len(coins)))


def query_spendable_balances(
    context: QueryContext, request: pb.QuerySpendableBalancesRequest
) -> pb.QuerySpendableBalancesResponse:
    coins = _balances(context.kv, request.address)
    return pb.QuerySpendableBalancesResponse(balances=coins, pagination=PageResponse(total=len(coins)))


def query_total_supply(context: QueryContext, _request: pb.QueryTotalSupplyRequest) -> pb.QueryTotalSupplyResponse:
    coins = _supply(context.kv)
    return pb.QueryTotalSupplyResponse(supply=coins, pagination=PageResponse(total=len(coins)))


def query_supply_of(context: QueryContext, request: pb.QuerySupplyOfRequest) -> pb.QuerySupplyOfResponse:
    supply = {coin.denom: coin.amount for coin in _supply(context.kv)}
    return pb.QuerySupplyOfResponse(amount=Coin(denom=request.denom, amount=supply.get(request.denom, "0")))


def query_params(_context: QueryContext, _request: pb.QueryParamsRequest) -> pb.QueryParamsResponse:
    return pb.QueryParamsResponse(params=Params(default_send_enabled=True))


def query_denom_metadata(
    _context: QueryContext, request: pb.QueryDenomMetadataRequest
) -> pb.QueryDenomMetadataResponse:
    for metadata in _metadata():
        if metadata.base == request.denom:
            return pb.QueryDenomMetadataResponse(metadata=metadata)
    raise NOT_FOUND.error(f"there is no coin {request.denom[:40]!r}: this chain has {UMILL} and {UCREDIT}")


def query_denoms_metadata(
    _context: QueryContext, _request: pb.QueryDenomsMetadataRequest
) -> pb.QueryDenomsMetadataResponse:
    metadata = _metadata()
    return pb.QueryDenomsMetadataResponse(metadatas=metadata, pagination=PageResponse(total=len(metadata)))


def query_pools(context: QueryContext, _request: credits_pb.QueryPoolsRequest) -> credits_pb.QueryPoolsResponse:
    return credits_pb.QueryPoolsResponse(pools=get_pools(context.kv))


def query_chain_params(context: QueryContext, request: params_pb.QueryParamsRequest) -> params_pb.QueryParamsResponse:
    if not request.version:
        return params_pb.QueryParamsResponse(params=schema.PARAMS.require(context.kv))
    params = schema.PARAMS_VERSIONS.get(context.kv, request.version)
    if params is None:
        raise NOT_FOUND.error(f"there is no version {request.version} of the parameters")
    return params_pb.QueryParamsResponse(params=params)


def _balances(kv: KVReader, address: str) -> list[Coin]:
    account = schema.ACCOUNTS.get(kv, check_address(address, "address"))
    return [] if account is None else _coins(account.ucredit, account.umill)


def _supply(kv: KVReader) -> list[Coin]:
    pools = get_pools(kv)
    return _coins(pools.ucredit_supply, pools.umill_supply)


def _coins(ucredit: int, umill: int) -> list[Coin]:
    """Without zeros, sorted by denomination, as Cosmos clients expect."""
    return [Coin(denom=denom, amount=str(amount)) for denom, amount in ((UCREDIT, ucredit), (UMILL, umill)) if amount]


def _metadata() -> tuple[Metadata, Metadata]:
    return (
        Metadata(
            description="Prepaid compute: 1 credit is worth 1 US dollar. Not transferable.",
            denom_units=[DenomUnit(denom=UCREDIT, exponent=0), DenomUnit(denom="credit", exponent=6)],
            base=UCREDIT,
            display="credit",
            name="Proofmill credit",
            symbol="CREDIT",
        ),
        Metadata(
            description="The native token: bonds, transaction fees, rewards.",
            denom_units=[DenomUnit(denom=UMILL, exponent=0), DenomUnit(denom="mill", exponent=6)],
            base=UMILL,
            display="mill",
            name="Mill",
            symbol="MILL",
        ),
    )
