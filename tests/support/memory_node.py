"""A CometBFT node in memory: its JSON-RPC in front of the real state machine, with a mempool and blocks on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from chain.errors import TxError
from chain.query import QueryContext, query
from chain.transition import CheckState, TxResult
from tests.support.network import CHAIN_ID, Network

if TYPE_CHECKING:
    from collections.abc import Callable


class RpcRefusal(Exception):
    """A JSON-RPC error to answer with."""


class MemoryNode:
    """``instant``: a transaction that the mempool takes is in a block at once; else each `status` makes a block.

    Faults, by method: ``lose_requests`` so many never arrive, ``lose_answers`` so many are carried out and the answer
    is lost. ``forget`` makes the mempool drop so many transactions that it took. ``indexed`` False: `tx` knows nothing.
    """

    def __init__(self, network: Network, *, instant: bool = True, chain_id: str = CHAIN_ID) -> None:
        self.network = network
        self.instant = instant
        self.chain_id = chain_id
        self.indexed = True
        self.lose_requests: Counter[str] = Counter()
        self.lose_answers: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.forget = 0
        self.mempool: list[bytes] = []
        self.broadcasts: list[bytes] = []
        self.on_block: Callable[[dict[str, Any]], None] = lambda header: None
        self._blocks: dict[int, tuple[tuple[bytes, ...], tuple[TxResult, ...], int]] = {}
        self._check = self._new_check()
        self.lock = threading.RLock()

    def make_block(self) -> None:
        """A block with everything in the mempool."""
        with self.lock:
            txs = tuple(self.mempool)
            for raw in txs:
                self.network.send_raw(raw)
            self.commit(txs)

    def commit(self, txs: tuple[bytes, ...] = ()) -> None:
        """The network's next block, of transactions that were sent to it."""
        with self.lock:
            results = self.network.next_block()
            self.record(txs, results)

    def record(self, txs: tuple[bytes, ...], results: tuple[TxResult, ...]) -> None:
        """Takes note of the block that the network has just made."""
        self._blocks[self.network.height] = (txs, results, self.network.time_ms)
        self.mempool = [raw for raw in self.mempool if raw not in txs]
        self._check = self._new_check()
        self.mempool = [raw for raw in self.mempool if not self._check.check(raw, recheck=True).code]
        self.on_block(self.header(self.network.height))

    def header(self, height: int) -> dict[str, Any]:
        time_ms = self._blocks[height][2] if height in self._blocks else self.network.time_ms
        return {
            "chain_id": self.chain_id,
            "height": str(height),
            "time": rfc3339(time_ms),
            "app_hash": self.network.app_hash.hex().upper(),
            "proposer_address": "00" * 20,
        }

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """A method's result; RpcRefusal for a JSON-RPC error."""
        with self.lock:
            handler = getattr(self, f"_{method}", None)
            if handler is None:
                raise RpcRefusal(f"no method {method}")
            result: dict[str, Any] = handler(**params)
            return result

    def _status(self) -> dict[str, Any]:
        if not self.instant:
            self.make_block()
        return {
            "node_info": {"network": self.chain_id, "moniker": "memory"},
            "sync_info": {
                "latest_block_height": str(self.network.height),
                "latest_block_time": rfc3339(self.network.time_ms),
                "earliest_block_height": "1",
                "catching_up": False,
            },
        }

    def _abci_query(self, path: str, data: str, height: str, prove: bool) -> dict[str, Any]:
        context = QueryContext(self.network.values, self.chain_id, self.network.height, self.network.time_ms)
        try:
            value = query(context, path, bytes.fromhex(data))
        except TxError as error:
            return {"response": {"code": error.code, "codespace": error.codespace, "log": error.message}}
        return {"response": {"value": base64.b64encode(value).decode(), "height": str(self.network.height)}}

    def _broadcast_tx_sync(self, tx: str) -> dict[str, Any]:
        raw = base64.b64decode(tx)
        self.broadcasts.append(raw)
        if raw in self.mempool:
            raise RpcRefusal("tx already exists in cache")
        result = self._check.check(raw, recheck=False)
        if not result.code:
            if self.forget:
                self.forget -= 1
            else:
                self.mempool.append(raw)
            if self.instant:
                self.make_block()
        answer = {"code": result.code, "codespace": result.codespace, "log": result.log, "hash": hash_hex(raw)}
        return answer | {"data": ""}

    def _tx(self, hash: str, prove: bool) -> dict[str, Any]:  # noqa: A002  CometBFT's name
        wanted = base64.b64decode(hash).hex().upper()
        for height, (txs, results, _) in self._blocks.items():
            for index, raw in enumerate(txs):
                if self.indexed and hash_hex(raw) == wanted:
                    found = {"hash": wanted, "height": str(height), "index": index}
                    return found | {"tx": base64.b64encode(raw).decode(), "tx_result": plain_result(results[index])}
        raise RpcRefusal(f"tx ({wanted}) not found")

    def _block(self, height: str | None = None) -> dict[str, Any]:
        at = int(height) if height else self.network.height
        txs = self._blocks[at][0] if at in self._blocks else ()
        encoded = [base64.b64encode(raw).decode() for raw in txs]
        return {"block_id": {"hash": "AB" * 32}, "block": {"header": self.header(at), "data": {"txs": encoded or None}}}

    def _header(self, height: str) -> dict[str, Any]:
        if int(height) > self.network.height:
            raise RpcRefusal("height must be less than or equal to the current blockchain height")
        return {"header": self.header(int(height))}

    def _block_results(self, height: str) -> dict[str, Any]:
        results = [plain_result(result) for result in self._blocks[int(height)][1]]
        return {"height": height, "txs_results": results, "finalize_block_events": []}

    def _new_check(self) -> CheckState:
        network = self.network
        return CheckState(network.values, self.chain_id, network.height, network.time_ms, network.signatures)


class MemoryTransport(httpx.AsyncBaseTransport):
    """Carries httpx requests to a :class:`MemoryNode`, or loses them."""

    def __init__(self, node: MemoryNode) -> None:
        self.node = node

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call = json.loads(await request.aread())
        method = call["method"]
        self.node.calls[method] += 1
        if self.node.lose_requests[method] > 0:
            self.node.lose_requests[method] -= 1
            raise httpx.ConnectError("connection refused", request=request)
        response = respond(self.node, call)
        if self.node.lose_answers[method] > 0:
            self.node.lose_answers[method] -= 1
            raise httpx.ReadError("connection reset", request=request)
        return httpx.Response(200, json=response)


def respond(node: MemoryNode, call: dict[str, Any]) -> dict[str, Any]:
    """A JSON-RPC call's whole answer."""
    try:
        return {"jsonrpc": "2.0", "id": call["id"], "result": node.answer(call["method"], call["params"])}
    except RpcRefusal as error:
        refusal = {"code": -32603, "message": "Internal error", "data": str(error)}
        return {"jsonrpc": "2.0", "id": call["id"], "error": refusal}


def plain_result(result: TxResult) -> dict[str, Any]:
    return {
        "code": result.code,
        "codespace": result.codespace,
        "log": result.log,
        "data": base64.b64encode(result.data).decode(),
        "gas_wanted": str(result.gas_wanted),
        "gas_used": str(result.gas_used),
        "events": [
            {"type": event.type, "attributes": [{"key": key, "value": value} for key, value in event.attributes]}
            for event in result.events
        ],
    }


def hash_hex(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest().upper()


def rfc3339(time_ms: int) -> str:
    seconds = datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{seconds}.{time_ms % 1000:03d}456789Z"
