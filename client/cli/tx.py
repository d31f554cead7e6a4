"""`mill tx`: looking transactions up."""

from __future__ import annotations

import click
from cosmos.tx.v1beta1.tx_pb2 import AuthInfo, TxBody, TxRaw
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from chain.messages import MESSAGE_TYPES
from client.cli.options import Settings, node_options
from client.cli.output import columns, emit, pairs
from client.cli.session import asking
from client.plain import Plain, flatten, to_plain
from client.rpc_types import TxInfo
from client.sdk import MillClient


@click.group()
def tx() -> None:
    """Look transactions up."""


@tx.command()
@click.argument("tx_hash", metavar="HASH")
@node_options
def show(settings: Settings, tx_hash: str) -> None:
    """Show the transaction with this HASH: its messages, result and events."""

    async def work(client: MillClient) -> None:
        found = await client.tx(tx_hash)
        data = plain_tx(found)
        emit(settings.format, data, lambda: _table(found, data))

    asking(settings, work)


def plain_tx(found: TxInfo) -> dict[str, Plain]:
    """A transaction and its result; messages of unknown type as hexadecimal."""
    body, auth_info = _decode(found.tx)
    events: list[Plain] = [{"type": event.type, "attributes": dict(event.attributes)} for event in found.result.events]
    fee: list[Plain] = [f"{coin.amount}{coin.denom}" for coin in auth_info.fee.amount]
    return {
        "hash": found.hash,
        "height": found.height,
        "index": found.index,
        "code": found.result.code,
        "codespace": found.result.codespace,
        "log": found.result.log,
        "gas_wanted": found.result.gas_wanted,
        "gas_used": found.result.gas_used,
        "fee": fee,
        "memo": body.memo,
        "timeout_height": body.timeout_height,
        "sequences": [signer.sequence for signer in auth_info.signer_infos],
        "messages": [_plain_any(message) for message in body.messages],
        "events": events,
    }


def _decode(tx: bytes) -> tuple[TxBody, AuthInfo]:
    """Body and auth info; empty ones for what a proposer put into a block although it is no transaction."""
    try:
        raw = TxRaw.FromString(tx)
        return TxBody.FromString(raw.body_bytes), AuthInfo.FromString(raw.auth_info_bytes)
    except DecodeError:
        return TxBody(), AuthInfo()


def _plain_any(packed: Any) -> dict[str, Plain]:
    kind = MESSAGE_TYPES.get(packed.type_url)
    if kind is not None:
        try:
            return {"type": packed.type_url, **to_plain(kind.FromString(packed.value))}
        except DecodeError:
            pass
    return {"type": packed.type_url, "value": packed.value.hex()}


def _table(found: TxInfo, data: dict[str, Plain]) -> str:
    result = found.result
    status = "success" if not result.code else f"failed: {result.log} ({result.codespace} {result.code})"
    rows: list[tuple[str, object]] = [
        ("hash", found.hash),
        ("height", f"{found.height}, position {found.index}"),
        ("result", status),
        ("gas", f"{result.gas_used} used of {result.gas_wanted}"),
    ]
    rows += [row for name in ("fee", "memo", "messages") for row in _rows(name, data[name])]
    events = [(event.type, " ".join(f"{key}={value}" for key, value in event.attributes)) for event in result.events]
    return pairs(rows) + ("\n\n" + columns(("event", "attributes"), events) if events else "")


def _rows(name: str, value: Plain) -> list[tuple[str, object]]:
    if isinstance(value, list):
        return [row for one in value for row in _rows(name.removesuffix("s"), one)]
    return [*flatten(value, name)] if value else []
