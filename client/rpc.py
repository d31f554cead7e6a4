"""CometBFT's JSON-RPC, as far as we use it, without blocking the event loop.

Every call raises :class:`NodeUnreachable` when there is no usable answer and :class:`RpcFailed` when it is an error.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx
import websockets
from google.protobuf.message import DecodeError, Message

from client import rpc_types
from client.errors import InvalidInput, NodeUnreachable, QueryFailed, RpcFailed, WrongChain
from client.rpc_types import (
    AbciAnswer,
    Block,
    BlockHeader,
    BlockResults,
    BroadcastResult,
    Json,
    NodeStatus,
    TxInfo,
    ValidatorInfo,
)

DEFAULT_NODE = "http://127.0.0.1:26657"
_TX_IN_CACHE = "tx already exists in cache"
_TX_NOT_FOUND = re.compile(r"tx \([0-9A-F]*\) not found")
_SUBSCRIBE = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"query": "tm.event='NewBlockHeader'"}}
)
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)

M = TypeVar("M", bound=Message)
T = TypeVar("T")


class Rpc:
    """One node's RPC. Use as an async context manager, or call :meth:`close`.

    ``url`` is the node's base URL (http, https or tcp). ``timeout_s`` bounds one call.

    ``transport`` replaces the network.
    """

    def __init__(
        self, url: str = DEFAULT_NODE, *, timeout_s: float = 10.0, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = check_url(url)
        self._timeout_s = timeout_s
        # Loading the certificates takes longer than a local call.
        needs_tls = self.url.startswith("https:")
        self._http = httpx.AsyncClient(timeout=timeout_s, transport=transport, trust_env=False, verify=needs_tls)
        self._next_id = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def call(self, method: str, **params: object) -> Json:
        """Any JSON-RPC method; returns its ``result``."""
        self._next_id += 1
        body = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
        try:
            response = await self._http.post(self.url, json=body)
        except (httpx.HTTPError, OSError) as error:
            raise NodeUnreachable(
                f"the node at {self.url} can't be reached ({_reason(error)}); is it running, and is its address right?"
            ) from error
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not ("error" in answer or isinstance(answer.get("result"), dict)):
            raise NodeUnreachable(f"{self.url} doesn't speak CometBFT's JSON-RPC (HTTP status {response.status_code})")
        if refusal := answer.get("error"):
            raise _rpc_error(method, refusal)
        result: Json = answer["result"]
        return result

    async def _parsed(self, parse: Callable[[Json], T], method: str, **params: object) -> T:
        return self._parse(parse, method, await self.call(method, **params))

    def _parse(self, parse: Callable[[Json], T], what: str, result: Json) -> T:
        try:
            return parse(result)
        except _UNREADABLE as error:
            raise NodeUnreachable(f"the node at {self.url} gave an unreadable answer to {what}") from error

    async def status(self) -> NodeStatus:
        return await self._parsed(rpc_types.parse_status, "status")

    async def require_chain(self, chain_id: str) -> NodeStatus:
        """The node's status; raises :class:`WrongChain` unless it follows ``chain_id``."""
        status = await self.status()
        if status.chain_id != chain_id:
            raise WrongChain(f"the node at {self.url} follows chain {status.chain_id!r}, not {chain_id!r}")
        return status

    async def abci_query(self, path: str, data: bytes = b"", *, height: int = 0, prove: bool = False) -> AbciAnswer:
        """``height`` 0 asks for the latest; raises :class:`QueryFailed` with the application's numbered error."""
        try:
            result = await self.call("abci_query", path=path, data=data.hex(), height=str(height), prove=prove)
        except RpcFailed as error:
            # The application's own errors come in the answer.
            raise NodeUnreachable(f"the node at {self.url} can't ask its application: {error.detail}") from error
        code, codespace, log = self._parse(rpc_types.parse_query_error, path, result)
        if code:
            raise QueryFailed(path, codespace, code, log)
        return self._parse(rpc_types.parse_abci_answer, path, result)

    async def query(self, path: str, request: Message, response_type: type[M], *, height: int = 0) -> M:
        """A gRPC method by its path, over ABCI Query."""
        answer = await self.abci_query(path, request.SerializeToString(), height=height)
        try:
            return response_type.FromString(answer.value)
        except DecodeError as error:
            raise NodeUnreachable(f"the node at {self.url} gave an unreadable answer to {path}") from error

    async def broadcast_tx_sync(self, tx: bytes) -> BroadcastResult:
        """Offers ``tx`` to the mempool. A copy of a transaction that the node holds already counts as taken."""
        try:
            return await self._parsed(rpc_types.parse_broadcast, "broadcast_tx_sync", tx=base64.b64encode(tx).decode())
        except RpcFailed as error:
            if _TX_IN_CACHE in error.detail:
                return BroadcastResult(tx_hash(tx), 0, "", "", known=True)
            raise

    async def tx(self, hash_hex: str) -> TxInfo | None:
        """The transaction with this hash, or None while it is in no block that the node has indexed."""
        try:
            encoded = base64.b64encode(bytes.fromhex(hash_hex)).decode()
            return await self._parsed(rpc_types.parse_tx_info, "tx", hash=encoded, prove=False)
        except RpcFailed as error:
            if _TX_NOT_FOUND.search(error.detail):
                return None
            raise

    async def block(self, height: int | None = None) -> Block:
        """The block at ``height``, by default the latest."""
        return await self._parsed(rpc_types.parse_block, "block", **_at(height))

    async def block_time_ms(self, height: int) -> int:
        """The time in the header of block ``height``, or 0 if the node no longer has it."""
        try:
            header = await self._parsed(rpc_types.parse_header_result, "header", height=str(height))
        except RpcFailed:
            return 0
        return header.time_ms if header else 0

    async def block_results(self, height: int) -> BlockResults:
        return await self._parsed(rpc_types.parse_block_results, "block_results", height=str(height))

    async def validators(self, height: int | None = None) -> tuple[ValidatorInfo, ...]:
        """All validators of ``height``, by default the latest."""
        found: tuple[ValidatorInfo, ...] = ()
        page = 1
        while True:
            some, total = await self._parsed(
                rpc_types.parse_validators, "validators", page=str(page), per_page="100", **_at(height)
            )
            found += some
            if len(found) >= total or not some:
                return found
            page += 1

    async def new_blocks(self, *, patience_s: float | None = None) -> AsyncGenerator[BlockHeader, None]:
        """Headers of committed blocks, ascending, from the latest on; connects again by itself when the node goes away.

        Blocks that pass while disconnected are skipped, except the latest. After ``patience_s`` seconds
        without the node it raises :class:`NodeUnreachable`; by default it never gives up.
        """
        loop = asyncio.get_running_loop()
        last, down_since, delay = 0, loop.time(), 0.1
        while True:
            try:
                async with websockets.connect(
                    websocket_url(self.url), open_timeout=self._timeout_s, max_size=None, max_queue=None, proxy=None
                ) as socket:
                    await socket.send(_SUBSCRIBE)
                    # The latest block may have passed before the subscription took effect.
                    header: BlockHeader | None = (await self.block()).header
                    while True:
                        if header and header.height > last:
                            last, delay = header.height, 0.1
                            yield header
                            down_since = loop.time()
                        header = self._parse_event(await socket.recv())
            except (OSError, websockets.WebSocketException, NodeUnreachable, RpcFailed) as error:
                if patience_s is not None and loop.time() - down_since > patience_s:
                    raise NodeUnreachable(f"the node at {self.url} can't be reached ({_reason(error)})") from error
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)

    def _parse_event(self, text: str | bytes) -> BlockHeader | None:
        """The header in an event, or None if it carries none: the subscription's acknowledgement."""
        try:
            message = json.loads(text)
        except ValueError as error:
            raise NodeUnreachable(f"the node at {self.url} sent an unreadable event") from error
        return self._parse(rpc_types.parse_event, "subscribe", message)


def check_url(url: str) -> str:
    """``url`` without a trailing slash; raises :class:`InvalidInput` unless it is an http(s) URL with a host."""
    candidate = "http://" + url.removeprefix("tcp://") if url.startswith("tcp://") else url
    try:
        parts = urlsplit(candidate)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInput(f"{url!r} is not a URL such as {DEFAULT_NODE}")
    return candidate.rstrip("/")


def websocket_url(url: str) -> str:
    """The address of a node's event stream."""
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + "/websocket", "", ""))


def tx_hash(tx: bytes) -> str:
    """A transaction's hash as Cosmos tools print it: sha256 in upper-case hexadecimal."""
    return hashlib.sha256(tx).hexdigest().upper()


def _at(height: int | None) -> dict[str, object]:
    return {} if height is None else {"height": str(height)}


def _rpc_error(method: str, error: object) -> RpcFailed:
    if not isinstance(error, dict):
        return RpcFailed(method, 0, str(error))
    code = error.get("code")
    detail = error.get("data") or error.get("message") or "no reason given"
    return RpcFailed(method, code if isinstance(code, int) else 0, str(detail))


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
