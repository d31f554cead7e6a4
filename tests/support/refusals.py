"""Checks that what is refused has its number and one clear sentence, and changed nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cosmos.base.abci.v1beta1.abci_pb2 import TxMsgData
from proofmill.task.v1.tx_pb2 import EntryResult, MsgAcceptTasksResponse

from chain import schema
from chain.state.kv import MemoryKV
from chain.transition import apply_block

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from chain.errors import ErrorCode
    from chain.transition import TxResult
    from tests.support.network import Key, Network


def expect(result: TxResult, error: ErrorCode) -> None:
    """The result carries the error's number and a sentence."""
    assert (result.codespace, result.code) == (error.codespace, error.code), result.log
    assert 10 < len(result.log) < 1_000
    assert result.data == b""
    assert result.events == ()


def refuse(network: Network, error: ErrorCode, key: Key, *messages: Message, **changes: Any) -> TxResult:
    """Deliver a transaction whose messages must fail: it costs fee and sequence number, and changes nothing else."""
    result = network.deliver(key, *messages, **changes)
    expect(result, error)
    assert result.gas_used > 0
    assert_only(network, {schema.ACCOUNTS.prefix + key.raw, schema.POOLS.prefix})
    return result


def refuse_raw(network: Network, error: ErrorCode, raw: bytes) -> TxResult:
    """Deliver bytes that the ante must refuse: nothing changes at all, and no gas is counted."""
    network.send_raw(raw)
    (result,) = network.next_block()
    expect(result, error)
    assert (result.gas_wanted, result.gas_used) == (0, 0)
    assert_only(network, set())
    return result


def assert_only(network: Network, keys: set[bytes]) -> None:
    """The last block wrote what an empty one would have written in its place, and besides at most these rows."""
    assert network.last is not None
    # The tree plays no part: any will do.
    empty = apply_block(network.before, MemoryKV(), replace(network.blocks[-1], txs=()), network.signatures)
    written = empty.writes.keys() | network.last.writes.keys()
    before = network.before
    changed = {
        key
        for key in written
        if empty.writes.get(key, before.get(key)) != network.last.writes.get(key, before.get(key))
    }
    assert changed <= keys, sorted(key.hex() for key in changed - keys)


def entries(result: TxResult) -> list[EntryResult]:
    """The entry results of a transaction's batch messages."""
    assert result.code == 0, result.log
    return [entry for packed in TxMsgData.FromString(result.data).msg_responses for entry in _results(packed.value)]


def _results(response: bytes) -> list[EntryResult]:
    # The responses of all batch messages have one shape.
    return list(MsgAcceptTasksResponse.FromString(response).results)


def reject(network: Network, error: ErrorCode, key: Key, message: Message) -> EntryResult:
    """Deliver a batch message of one entry that must be rejected: it changes nothing, and an event says why."""
    result = network.deliver(key, message)
    (entry,) = entries(result)
    assert (entry.codespace, entry.code) == (error.codespace, error.code), entry.log
    assert 10 < len(entry.log) < 1_000
    (event,) = result.events
    assert event.type == "proofmill.task.v1.EventEntryRejected"
    attributes = dict(event.attributes)
    assert attributes["codespace"] == error.codespace
    assert attributes["code"] == str(error.code)
    assert_only(network, {schema.ACCOUNTS.prefix + key.raw, schema.POOLS.prefix})
    return entry


def take(network: Network, key: Key, message: Message) -> TxResult:
    """Deliver a batch message all of whose entries must be taken."""
    result = network.deliver(key, message)
    for entry in entries(result):
        assert entry.code == 0, entry.log
    return result


def repeat(network: Network, key: Key, message: Message) -> None:
    """Deliver a batch message again: a success without effect and without events."""
    result = take(network, key, message)
    assert result.events == ()
    assert_only(network, {schema.ACCOUNTS.prefix + key.raw, schema.POOLS.prefix})
