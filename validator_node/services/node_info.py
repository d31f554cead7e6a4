"""cosmos.base.tendermint.v1beta1.Service: what CometBFT knows of itself, blocks and validators."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from importlib import metadata
from typing import Any, TypeVar

from bech32 import bech32_encode, convertbits
from cosmos.base.tendermint.v1beta1 import query_pb2 as pb, types_pb2 as sdk_types
from cosmos.consensus.v1 import query_pb2 as consensus_pb
from cosmos.crypto.ed25519 import keys_pb2 as ed25519
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from tendermint.abci import types_pb2 as abci
from tendermint.p2p import types_pb2 as p2p
from tendermint.types import block_pb2

from chain.address import ADDRESS_PREFIX
from client.errors import ClientError, NodeUnreachable, RpcFailed
from client.rpc import Rpc
from validator_node.abci_query import answer_query
from validator_node.grpc_status import QueryError, Status
from validator_node.queries import StateQueries
from validator_node.services import comet_json

SERVICE = "/cosmos.base.tendermint.v1beta1.Service"
# Clients choose by it how they read a node's answers; it names the line of Cosmos SDK whose API this node speaks.
COSMOS_SDK_VERSION = "v0.50.0"
_PAGE = 100

T = TypeVar("T")


class NodeInfo:
    """The service's methods; `queries` answers what goes to the state."""

    def __init__(self, rpc: Rpc, queries: StateQueries) -> None:
        self._rpc = rpc
        self._queries = queries

    def methods(self) -> Mapping[str, Callable[..., Awaitable[Message]]]:
        """Handlers by gRPC path."""
        handlers: tuple[Callable[..., Awaitable[Message]], ...] = (
            self.get_node_info,
            self.get_syncing,
            self.get_latest_block,
            self.get_block_by_height,
            self.get_latest_validator_set,
            self.get_validator_set_by_height,
        )
        by_name = {"".join(part.capitalize() for part in one.__name__.split("_")): one for one in handlers}
        methods = {f"{SERVICE}/{name}": one for name, one in by_name.items()}
        return methods | {
            f"{SERVICE}/ABCIQuery": self.abci_query,
            "/cosmos.consensus.v1.Query/Params": self.get_consensus_params,
        }

    async def get_node_info(self, request: pb.GetNodeInfoRequest) -> pb.GetNodeInfoResponse:
        del request  # it has no fields
        info = (await ask(self._rpc, "status"))["node_info"]
        versions = info["protocol_version"]
        other = info.get("other") or {}
        return pb.GetNodeInfoResponse(
            default_node_info=p2p.DefaultNodeInfo(
                protocol_version=p2p.ProtocolVersion(**{key: int(versions[key]) for key in ("p2p", "block", "app")}),
                default_node_id=info["id"],
                listen_addr=info["listen_addr"],
                network=info["network"],
                version=info["version"],
                channels=bytes.fromhex(info["channels"]),
                moniker=info["moniker"],
                other=p2p.DefaultNodeInfoOther(
                    tx_index=other.get("tx_index", ""), rpc_address=other.get("rpc_address", "")
                ),
            ),
            application_version=pb.VersionInfo(
                name="proofmill",
                app_name="mill",
                version=metadata.version("proofmill"),
                cosmos_sdk_version=COSMOS_SDK_VERSION,
            ),
        )

    async def get_syncing(self, request: pb.GetSyncingRequest) -> pb.GetSyncingResponse:
        del request  # it has no fields
        status = await ask(self._rpc, "status")
        return pb.GetSyncingResponse(syncing=bool(status["sync_info"]["catching_up"]))

    async def get_latest_block(self, request: pb.GetLatestBlockRequest) -> pb.GetLatestBlockResponse:
        del request  # it has no fields
        found = await fetch_block(self._rpc, None)
        return pb.GetLatestBlockResponse(block_id=found[0], block=found[1], sdk_block=_sdk_block(found[1]))

    async def get_block_by_height(self, request: pb.GetBlockByHeightRequest) -> pb.GetBlockByHeightResponse:
        found = await fetch_block(self._rpc, request.height)
        return pb.GetBlockByHeightResponse(block_id=found[0], block=found[1], sdk_block=_sdk_block(found[1]))

    async def get_latest_validator_set(
        self, request: pb.GetLatestValidatorSetRequest
    ) -> pb.GetLatestValidatorSetResponse:
        height, validators, total = await self._validators(None, request.pagination)
        response = pb.GetLatestValidatorSetResponse(block_height=height, validators=validators)
        response.pagination.total = total
        return response

    async def get_validator_set_by_height(
        self, request: pb.GetValidatorSetByHeightRequest
    ) -> pb.GetValidatorSetByHeightResponse:
        height, validators, total = await self._validators(request.height, request.pagination)
        response = pb.GetValidatorSetByHeightResponse(block_height=height, validators=validators)
        response.pagination.total = total
        return response

    async def abci_query(self, request: pb.ABCIQueryRequest) -> pb.ABCIQueryResponse:
        """The same as an ABCI Query, on the same state."""
        asked = abci.RequestQuery(data=request.data, path=request.path, height=request.height, prove=request.prove)
        answer = answer_query(self._queries, asked)
        # The messages agree field by field, as Cosmos SDK made its own a copy of CometBFT's.
        return pb.ABCIQueryResponse.FromString(answer.SerializeToString())

    async def get_consensus_params(self, request: consensus_pb.QueryParamsRequest) -> consensus_pb.QueryParamsResponse:
        del request  # it has no fields
        answer = await ask(self._rpc, "consensus_params")
        return consensus_pb.QueryParamsResponse(params=read(comet_json.consensus_params, answer["consensus_params"]))

    async def _validators(self, height: int | None, page: Any) -> tuple[int, list[pb.Validator], int]:
        limit = min(page.limit or _PAGE, _PAGE)
        if page.key or page.offset % limit:
            raise QueryError(Status.INVALID_ARGUMENT, "validators are paged by offset, a multiple of limit")
        number = page.offset // limit + 1
        answer = await ask(self._rpc, "validators", page=str(number), per_page=str(limit), **_at(height))
        return read(_read_validators, answer)


def _read_validators(answer: comet_json.Json) -> tuple[int, list[pb.Validator], int]:
    validators = []
    for one in answer["validators"]:
        key = AnyMessage(type_url="/cosmos.crypto.ed25519.PubKey")
        key.value = ed25519.PubKey(key=base64.b64decode(one["pub_key"]["value"])).SerializeToString()
        validators.append(
            pb.Validator(
                address=consensus_address(bytes.fromhex(one["address"])),
                pub_key=key,
                voting_power=int(one["voting_power"]),
                proposer_priority=int(one["proposer_priority"]),
            )
        )
    return int(answer["block_height"]), validators, int(answer["total"])


async def fetch_block(rpc: Rpc, height: int | None) -> tuple[Any, block_pb2.Block]:
    """A block's id and the block, by default the latest. Raises QueryError."""
    answer = await ask(rpc, "block", **_at(height))
    if not (answer.get("block_id") or {}).get("hash"):
        raise QueryError(Status.NOT_FOUND, f"there is no block at height {height}")
    return read(lambda data: (comet_json.block_id(data["block_id"]), comet_json.block(data["block"])), answer)


async def ask(rpc: Rpc, method: str, **params: object) -> Any:
    """One call of CometBFT's RPC; its failures as QueryError."""
    try:
        return await rpc.call(method, **params)
    except NodeUnreachable:
        raise QueryError(Status.UNAVAILABLE, "this node's CometBFT doesn't answer now; try again") from None
    except RpcFailed as error:
        missing = "not found" in error.detail or "must be less than" in error.detail or "not available" in error.detail
        raise QueryError(Status.NOT_FOUND if missing else Status.INVALID_ARGUMENT, error.detail) from None
    except ClientError as error:
        raise QueryError(Status.INTERNAL, str(error)) from None


def read(parse: Callable[[Any], T], answer: Any) -> T:
    """Parse an answer of CometBFT; one that can't be read is a QueryError."""
    try:
        return parse(answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise QueryError(Status.INTERNAL, f"CometBFT's answer can't be read: {error!r}") from None


def consensus_address(raw: bytes) -> str:
    """A validator's consensus address (20 bytes) as text."""
    return str(bech32_encode(f"{ADDRESS_PREFIX}valcons", convertbits(raw, 8, 5) or []))


def _sdk_block(block: block_pb2.Block) -> sdk_types.Block:
    """The same block with the proposer's address as text; the field numbers of both agree."""
    result = sdk_types.Block(data=block.data, evidence=block.evidence, last_commit=block.last_commit)
    header = block.header
    proposer = header.proposer_address
    for field, value in header.ListFields():
        if field.name != "proposer_address":
            target = getattr(result.header, field.name)
            if hasattr(target, "CopyFrom"):
                target.CopyFrom(value)
            else:
                setattr(result.header, field.name, value)
    result.header.proposer_address = consensus_address(proposer)
    return result


def _at(height: int | None) -> dict[str, object]:
    return {} if height is None else {"height": str(height)}
