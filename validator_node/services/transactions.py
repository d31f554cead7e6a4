"""cosmos.tx.v1beta1.Service: sending transactions and finding them again. Simulate is the state's to answer."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cosmos.base.abci.v1beta1 import abci_pb2
from cosmos.base.query.v1beta1.pagination_pb2 import PageResponse
from cosmos.tx.v1beta1 import service_pb2 as pb, tx_pb2
from google.protobuf.message import DecodeError, Message

from client.rpc import Rpc
from validator_node.grpc_status import QueryError, Status
from validator_node.services import comet_json
from validator_node.services.node_info import ask, fetch_block, read

SERVICE = "/cosmos.tx.v1beta1.Service"
_HASH = re.compile(r"(0x)?([0-9A-Fa-f]{64})")
_PER_PAGE = 30
_PER_PAGE_MAX = 100
_KNOWN = "tx already exists in cache"
# Cosmos's own numbers for a transaction that the mempool has already, or has no room for.
_TX_IN_MEMPOOL = ("sdk", 19)
_MEMPOOL_FULL = ("sdk", 20)


class Transactions:
    """The service's methods but Simulate."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._block_times: dict[int, str] = {}

    def methods(self) -> Mapping[str, Callable[..., Awaitable[Message]]]:
        """Handlers by gRPC path."""
        return {
            f"{SERVICE}/GetTx": self.get_tx,
            f"{SERVICE}/BroadcastTx": self.broadcast_tx,
            f"{SERVICE}/GetTxsEvent": self.get_txs_event,
            f"{SERVICE}/GetBlockWithTxs": self.get_block_with_txs,
        }

    async def get_tx(self, request: pb.GetTxRequest) -> pb.GetTxResponse:
        found = _HASH.fullmatch(request.hash)
        if found is None:
            raise QueryError(Status.INVALID_ARGUMENT, f"{request.hash!r} isn't a hash: 64 hexadecimal digits")
        encoded = base64.b64encode(bytes.fromhex(found[2])).decode()
        try:
            answer = await ask(self._rpc, "tx", hash=encoded, prove=False)
        except QueryError as error:
            if error.status is Status.NOT_FOUND:
                # The wording by which clients that wait for a transaction know that it may still come.
                raise QueryError(Status.NOT_FOUND, f"tx not found: {found[2].upper()}") from None
            raise
        tx, response = await self._read(answer)
        return pb.GetTxResponse(tx=tx, tx_response=response)

    async def broadcast_tx(self, request: pb.BroadcastTxRequest) -> pb.BroadcastTxResponse:
        if not request.tx_bytes:
            raise QueryError(Status.INVALID_ARGUMENT, "tx_bytes is empty: it must hold a signed transaction")
        at_once = request.mode == pb.BROADCAST_MODE_ASYNC
        method = "broadcast_tx_async" if at_once else "broadcast_tx_sync"
        response = abci_pb2.TxResponse(txhash=hashlib.sha256(request.tx_bytes).hexdigest().upper())
        try:
            answer = await ask(self._rpc, method, tx=base64.b64encode(request.tx_bytes).decode())
        except QueryError as error:
            refusal = _TX_IN_MEMPOOL if _KNOWN in error.message else _MEMPOOL_FULL if "full" in error.message else None
            if refusal is None:
                raise
            response.codespace, response.code = refusal
            response.raw_log = error.message
            return pb.BroadcastTxResponse(tx_response=response)
        response.code = int(answer.get("code") or 0)
        response.codespace = answer.get("codespace") or ""
        response.raw_log = answer.get("log") or ""
        response.data = base64.b64decode(answer.get("data") or "").hex().upper()
        return pb.BroadcastTxResponse(tx_response=response)

    async def get_txs_event(self, request: pb.GetTxsEventRequest) -> pb.GetTxsEventResponse:
        query = request.query or " AND ".join(request.events)
        if not query:
            raise QueryError(Status.INVALID_ARGUMENT, "say what to look for in query, such as tx.height=5")
        limit = min(request.limit or request.pagination.limit or _PER_PAGE, _PER_PAGE_MAX)
        page = request.page or request.pagination.offset // limit + 1
        answer = await ask(
            self._rpc,
            "tx_search",
            query=query,
            prove=False,
            page=str(page),
            per_page=str(limit),
            order_by="desc" if request.order_by == pb.ORDER_BY_DESC else "asc",
        )
        response = pb.GetTxsEventResponse(total=int(answer["total_count"]))
        response.pagination.total = response.total
        for one in answer.get("txs") or ():
            tx, tx_response = await self._read(one)
            response.txs.append(tx)
            response.tx_responses.append(tx_response)
        return response

    async def get_block_with_txs(self, request: pb.GetBlockWithTxsRequest) -> pb.GetBlockWithTxsResponse:
        if request.pagination.key:
            raise QueryError(Status.INVALID_ARGUMENT, "a block's transactions are paged by offset, not by key")
        block_id, block = await fetch_block(self._rpc, request.height)
        start = request.pagination.offset
        txs = block.data.txs[start : start + (request.pagination.limit or _PER_PAGE)]
        return pb.GetBlockWithTxsResponse(
            txs=[decode_tx(raw) for raw in txs],
            block_id=block_id,
            block=block,
            pagination=PageResponse(total=len(block.data.txs)),
        )

    async def _read(self, answer: comet_json.Json) -> tuple[tx_pb2.Tx, abci_pb2.TxResponse]:
        raw, response = read(_read_tx, answer)
        response.timestamp = await self._block_time(response.height)
        tx = decode_tx(raw)
        response.tx.Pack(tx, type_url_prefix="/")
        return tx, response

    async def _block_time(self, height: int) -> str:
        known = self._block_times.get(height)
        if known is None:
            header = (await ask(self._rpc, "header", height=str(height)))["header"]
            known = header["time"].split(".")[0].removesuffix("Z") + "Z"
            if len(self._block_times) >= _PER_PAGE_MAX:
                self._block_times.clear()
            self._block_times[height] = known
        return known


def _read_tx(answer: comet_json.Json) -> tuple[bytes, abci_pb2.TxResponse]:
    result: Any = answer["tx_result"]
    raw = base64.b64decode(answer["tx"])
    return raw, abci_pb2.TxResponse(
        height=int(answer["height"]),
        txhash=str(answer["hash"]).upper(),
        codespace=result.get("codespace") or "",
        code=int(result.get("code") or 0),
        data=base64.b64decode(result.get("data") or "").hex().upper(),
        raw_log=result.get("log") or "",
        info=result.get("info") or "",
        gas_wanted=int(result.get("gas_wanted") or 0),
        gas_used=int(result.get("gas_used") or 0),
        events=comet_json.events(result.get("events")),
    )


def decode_tx(raw: bytes) -> tx_pb2.Tx:
    """A transaction's parts; one whose bytes don't decode, as a block may hold, has none."""
    try:
        return tx_pb2.Tx.FromString(raw)
    except DecodeError:
        return tx_pb2.Tx()
