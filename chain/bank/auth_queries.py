"""cosmos.auth.v1beta1.Query: what wallets ask before they sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmos.auth.v1beta1 import query_pb2 as pb
from cosmos.auth.v1beta1.auth_pb2 import BaseAccount, Params
from cosmos.crypto.secp256k1.keys_pb2 import PubKey
from google.protobuf.any_pb2 import Any

from chain import gas, schema
from chain.address import ADDRESS_PREFIX, encode_address
from chain.errors import NOT_FOUND
from chain.fields import check_address
from chain.query_context import map_rows, paginate
from chain.tx import MEMO_MAX, PUB_KEY_URL, SIGNERS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message
    from proofmill.credits.v1.state_pb2 import Account

    from chain.query_context import QueryContext
    from chain.state.kv import KVReader


def query_account(context: QueryContext, request: pb.QueryAccountRequest) -> pb.QueryAccountResponse:
    return pb.QueryAccountResponse(account=_pack(_get_account(context, request.address)))


def query_account_info(context: QueryContext, request: pb.QueryAccountInfoRequest) -> pb.QueryAccountInfoResponse:
    return pb.QueryAccountInfoResponse(info=_get_account(context, request.address))


def query_accounts(context: QueryContext, request: pb.QueryAccountsRequest) -> pb.QueryAccountsResponse:
    page, pagination = paginate(request.pagination, _account_rows(context.kv))
    return pb.QueryAccountsResponse(accounts=[_pack(base) for base in page], pagination=pagination)


def query_params(_context: QueryContext, _request: pb.QueryParamsRequest) -> pb.QueryParamsResponse:
    return pb.QueryParamsResponse(
        params=Params(
            max_memo_characters=MEMO_MAX,
            tx_sig_limit=SIGNERS_MAX,
            tx_size_cost_per_byte=gas.PER_BODY_BYTE,
            sig_verify_cost_secp256k1=gas.PER_SIGNATURE,
        )
    )


def query_bech32_prefix(_context: QueryContext, _request: pb.Bech32PrefixRequest) -> pb.Bech32PrefixResponse:
    return pb.Bech32PrefixResponse(bech32_prefix=ADDRESS_PREFIX)


def _get_account(context: QueryContext, text: str) -> BaseAccount:
    address = check_address(text, "address")
    account = schema.ACCOUNTS.get(context.kv, address)
    if account is None:
        raise NOT_FOUND.error(f"account {text} not found: it exists once it received coins")
    return _base_account(address, account)


def _base_account(address: bytes, account: Account) -> BaseAccount:
    base = BaseAccount(address=encode_address(address), account_number=account.number, sequence=account.sequence)
    if account.pub_key:
        base.pub_key.CopyFrom(
            Any(type_url=PUB_KEY_URL, value=PubKey(key=account.pub_key).SerializeToString(deterministic=True))
        )
    return base


def _account_rows(kv: KVReader) -> Callable[[bytes, bool], Iterator[tuple[bytes, BaseAccount]]]:
    rows = map_rows(schema.ACCOUNTS, kv, 20)

    def base_accounts(start: bytes, reverse: bool) -> Iterator[tuple[bytes, BaseAccount]]:
        for address, account in rows(start, reverse):
            yield address, _base_account(address, account)

    return base_accounts


def _pack(message: Message) -> Any:
    return Any(type_url=f"/{message.DESCRIPTOR.full_name}", value=message.SerializeToString(deterministic=True))
