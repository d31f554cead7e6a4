"""What CometBFT's JSON-RPC answers, typed, and how it is read from JSON.

The parsers raise KeyError, TypeError, ValueError or AttributeError on an answer of another shape.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]
# How the application tells Cosmos clients, which read the log, that something doesn't exist.
_GRPC_STATUS = re.compile(r"^rpc error: code = \w+ desc = ")


@dataclass(frozen=True)
class NodeStatus:
    """``latest_height`` is the last committed block's, ``latest_time_ms`` its header's time."""

    chain_id: str
    moniker: str
    latest_height: int
    latest_time_ms: int
    earliest_height: int
    catching_up: bool


@dataclass(frozen=True)
class BlockHeader:
    chain_id: str
    height: int
    time_ms: int
    app_hash: bytes
    proposer: bytes


@dataclass(frozen=True)
class Block:
    """``txs`` are the raw transactions, in their order."""

    header: BlockHeader
    hash: bytes
    txs: tuple[bytes, ...]


@dataclass(frozen=True)
class TxEvent:
    type: str
    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ExecResult:
    """One transaction's result in a block; ``data`` is an encoded ``TxMsgData``."""

    code: int
    codespace: str
    log: str
    data: bytes
    gas_wanted: int
    gas_used: int
    events: tuple[TxEvent, ...]


@dataclass(frozen=True)
class TxInfo:
    """A transaction found in a block; ``hash`` is upper-case hexadecimal, ``tx`` the raw bytes."""

    hash: str
    height: int
    index: int
    tx: bytes
    result: ExecResult


@dataclass(frozen=True)
class BroadcastResult:
    """What the node's mempool said; ``known`` is true if it had the very same transaction already."""

    hash: str
    code: int
    codespace: str
    log: str
    known: bool = False


@dataclass(frozen=True)
class BlockResults:
    height: int
    txs: tuple[ExecResult, ...]
    block_events: tuple[TxEvent, ...]


@dataclass(frozen=True)
class AbciAnswer:
    """``height`` is the header height that carries the queried state's root; ``proof_ops`` are (type, key, data)."""

    height: int
    key: bytes
    value: bytes
    proof_ops: tuple[tuple[str, bytes, bytes], ...]


@dataclass(frozen=True)
class ValidatorInfo:
    address: bytes
    pub_key: bytes
    power: int


def parse_time_ms(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time with up to nine decimals, cut off to the millisecond."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 1000 + int((fraction + "000")[:3])


def decode_base64(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def parse_header(header: Json) -> BlockHeader:
    return BlockHeader(
        chain_id=header["chain_id"],
        height=int(header["height"]),
        time_ms=parse_time_ms(header["time"]),
        app_hash=bytes.fromhex(header["app_hash"]),
        proposer=bytes.fromhex(header["proposer_address"]),
    )


def parse_events(events: list[Json] | None) -> tuple[TxEvent, ...]:
    return tuple(
        TxEvent(
            event["type"],
            tuple((pair["key"], pair.get("value") or "") for pair in event.get("attributes") or ()),
        )
        for event in events or ()
    )


def parse_exec_result(result: Json) -> ExecResult:
    return ExecResult(
        code=int(result.get("code") or 0),
        codespace=result.get("codespace") or "",
        log=result.get("log") or "",
        data=decode_base64(result.get("data")),
        gas_wanted=int(result.get("gas_wanted") or 0),
        gas_used=int(result.get("gas_used") or 0),
        events=parse_events(result.get("events")),
    )


def parse_tx_info(result: Json) -> TxInfo:
    return TxInfo(
        hash=str(result["hash"]).upper(),
        height=int(result["height"]),
        index=int(result.get("index") or 0),
        tx=decode_base64(result["tx"]),
        result=parse_exec_result(result["tx_result"]),
    )


def parse_status(result: Json) -> NodeStatus:
    sync = result["sync_info"]
    return NodeStatus(
        chain_id=result["node_info"]["network"],
        moniker=result["node_info"]["moniker"],
        latest_height=int(sync["latest_block_height"]),
        latest_time_ms=parse_time_ms(sync["latest_block_time"]),
        earliest_height=int(sync["earliest_block_height"]),
        catching_up=bool(sync["catching_up"]),
    )


def parse_abci_answer(result: Json) -> AbciAnswer:
    response = result["response"]
    ops = (response.get("proofOps") or {}).get("ops") or ()
    return AbciAnswer(
        height=int(response.get("height") or 0),
        key=decode_base64(response.get("key")),
        value=decode_base64(response.get("value")),
        proof_ops=tuple((op["type"], decode_base64(op.get("key")), decode_base64(op.get("data"))) for op in ops),
    )


def parse_broadcast(result: Json) -> BroadcastResult:
    return BroadcastResult(
        str(result["hash"]).upper(), int(result["code"]), result.get("codespace") or "", result.get("log") or ""
    )


def parse_block(result: Json) -> Block:
    block = result["block"]
    txs = tuple(decode_base64(tx) for tx in block["data"].get("txs") or ())
    return Block(parse_header(block["header"]), bytes.fromhex(result["block_id"]["hash"]), txs)


def parse_header_result(result: Json) -> BlockHeader | None:
    """None for a block that the node doesn't have."""
    return parse_header(result["header"]) if result.get("header") else None


def parse_block_results(result: Json) -> BlockResults:
    return BlockResults(
        int(result["height"]),
        tuple(parse_exec_result(one) for one in result.get("txs_results") or ()),
        parse_events(result.get("finalize_block_events")),
    )


def parse_validators(result: Json) -> tuple[tuple[ValidatorInfo, ...], int]:
    return tuple(
        ValidatorInfo(bytes.fromhex(one["address"]), decode_base64(one["pub_key"]["value"]), int(one["voting_power"]))
        for one in result["validators"]
    ), int(result["total"])


def parse_query_error(result: Json) -> tuple[int, str, str]:
    """An ABCI Query's (code, codespace, log); code 0 is success."""
    response = result["response"]
    log = _GRPC_STATUS.sub("", response.get("log") or "")
    return int(response.get("code") or 0), response.get("codespace") or "", log


def parse_event(message: Json) -> BlockHeader | None:
    """A subscription message's block header; None for the acknowledgement, ValueError for the subscription's end."""
    if error := message.get("error"):
        raise ValueError(f"the subscription ended: {error}")
    data = (message.get("result") or {}).get("data")
    return parse_header(data["value"]["header"]) if data else None
