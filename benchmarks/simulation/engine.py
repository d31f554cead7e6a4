"""Blocks for the simulation: quick ones through the real handlers, and signed ones through the real `apply_block`.

The quick engine runs what `apply_block` runs, `begin_block` and each message's `execute` in a nested layer, and takes
the fees that the ante would take. It leaves out signatures, decoding and the authenticated tree, none of which moves
money. `benchmarks.simulation.calibrate` shows that both engines come to the same state.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor

from benchmarks.simulation.costs import tx_fee, tx_gas
from benchmarks.simulation.rows import Rows
from chain import schema
from chain.ante import check_limits
from chain.bank.ledger import charge_fee
from chain.beacon import compute_beacon
from chain.context import BlockEnv, Context
from chain.errors import WRONG_SEQUENCE, TxError
from chain.genesis import apply_genesis, genesis_json
from chain.messages import MESSAGES
from chain.signatures import SignatureCache
from chain.state.kv import MemoryKV
from chain.state.overlay import Overlay
from chain.transition import BlockInput, apply_block, begin_block, init_chain
from chain.tx import DecodedTx, Signer
from tests.support.network import START_MS, Key, make_tx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.message import Message
    from proofmill.genesis.v1.genesis_pb2 import Genesis

    from chain.events import Event
    from chain.messages import MessageSpec
    from chain.state.kv import KVReader

CHAIN_ID = "simulation-1"


class Wallet(Protocol):
    """Somebody who sends transactions."""

    @property
    def raw(self) -> bytes: ...
    @property
    def address(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Send:
    """A transaction: who signs it, and its messages."""

    wallet: Wallet
    messages: Sequence[Message]
    # A prover's answers to its duties cost nothing, one transaction a block (ADR 10).
    free: bool = False

    @property
    def specs(self) -> tuple[tuple[MessageSpec, Message], ...]:
        return tuple((MESSAGES[f"/{message.DESCRIPTOR.full_name}"], message) for message in self.messages)


class QuietContext(Context):
    """A context that keeps events as messages: flattening them to texts is for wallets, and costs a third of a vote."""

    __slots__ = ()

    def emit(self, event: Message) -> None:
        self.events.append(event)  # type: ignore[arg-type]  # read back by this module only

    @property
    def messages(self) -> list[Message]:
        """The events so far."""
        return cast("list[Message]", self.events)

    def nested(self) -> QuietContext:
        return QuietContext(Overlay(self.kv), self.block, self.params, [], self._versions)


class Engine:
    """The committed state, and blocks on top of it."""

    def __init__(self, seed: int) -> None:
        self.rows = Rows()
        self.height = 0
        self.time_ms = START_MS
        # umill by address.
        self.fees: dict[str, int] = {}
        # Why transactions failed as a whole, by (codespace, code).
        self.failed: dict[tuple[str, int], int] = {}
        # Of the last block: what the ante refused, because a duty that it answers is over.
        self.refused: list[Send] = []
        self.gas = 0
        self.begin_seconds = self.txs_seconds = 0.0
        self._seed = seed

    def next_hash(self) -> bytes:
        """What the next block's hash will be, unless its proposer has other plans."""
        return hashlib.sha256(f"block {self._seed} {self.height + 1}".encode()).digest()

    def block(self, after_ms: int, sends: Sequence[Send], block_hash: bytes | None = None) -> list[Message]:
        """A block so much later; its events, in order."""
        raise NotImplementedError

    def _note_fee(self, wallet: Wallet, gas: int, fee: int) -> None:
        self.gas += gas
        self.fees[wallet.address] = self.fees.get(wallet.address, 0) + fee

    def _note_failure(self, codespace: str, code: int) -> None:
        self.failed[codespace, code] = self.failed.get((codespace, code), 0) + 1


class QuickEngine(Engine):
    """`begin_block` and the handlers alone."""

    def __init__(self, genesis: Genesis, seed: int) -> None:
        super().__init__(seed)
        overlay = Overlay(MemoryKV())
        apply_genesis(overlay, genesis)
        schema.LAST_BLOCK_HASH.set(overlay, bytes(32))
        self.rows.commit(overlay.writes)

    def open_context(self, height: int, time_ms: int, kv: KVReader) -> QuietContext:
        overlay = Overlay(kv)
        beacon = compute_beacon(schema.LAST_BLOCK_HASH.require(overlay), height)
        return QuietContext(overlay, BlockEnv(CHAIN_ID, height, time_ms, beacon), schema.PARAMS.require(overlay), [])

    def block(self, after_ms: int, sends: Sequence[Send], block_hash: bytes | None = None) -> list[Message]:
        hash_ = self.next_hash() if block_hash is None else block_hash
        self.height += 1
        self.time_ms += after_ms
        self.gas = 0
        self.refused = []
        context = self.open_context(self.height, self.time_ms, self.rows)
        start = time.process_time()
        begin_block(context, (), schema.LAST_BLOCK_TIME.get(context.kv) or 0)
        middle = time.process_time()
        for send in sends:
            self._deliver(context, send)
        end = time.process_time()
        self.begin_seconds, self.txs_seconds = middle - start, end - middle
        schema.LAST_BLOCK_HASH.set(context.kv, hash_)
        schema.LAST_BLOCK_TIME.set(context.kv, self.time_ms)
        self.rows.commit(context.kv.writes)
        return context.messages

    def _deliver(self, context: QuietContext, send: Send) -> None:
        account = schema.ACCOUNTS.require(context.kv, send.wallet.raw)
        gas = tx_gas(send.messages)
        needed = tx_fee(context.params, gas)
        fee = 0 if send.free else needed
        if account.umill < fee:
            raise ValueError(f"{send.wallet.address} can't pay its fees: give it more in the genesis")
        signer = Signer(send.wallet.raw, None, account.sequence, is_direct=True, signature=b"")
        try:
            if any(send.wallet == other.wallet for other in self.refused):
                raise WRONG_SEQUENCE.error("the transaction before this one was refused")
            check_limits(context, DecodedTx(b"", b"", send.specs, (signer,), fee, gas, gas, 0))
        except TxError:
            self.refused.append(send)
            return
        charge_fee(context.kv, account, fee)
        if fee < needed:
            account.free_height = self.height
        account.sequence += 1
        schema.ACCOUNTS.set(context.kv, send.wallet.raw, account)
        self._note_fee(send.wallet, gas, fee)
        layer = context.nested()
        try:
            for spec, message in send.specs:
                spec.execute(layer, message)
        except TxError as error:
            self._note_failure(error.codespace, error.code)
            return
        layer.merge(context)


class SignedEngine(Engine):
    """Signed transactions, `apply_block` and the authenticated tree: what a validator runs."""

    def __init__(self, genesis: Genesis, seed: int) -> None:
        super().__init__(seed)
        result = init_chain(genesis_json(genesis).encode())
        self.tree: dict[bytes, bytes] = {}
        self._signatures = SignatureCache()
        self.app_hash = result.app_hash
        self._take(result.writes, result.nodes)

    def block(self, after_ms: int, sends: Sequence[Send], block_hash: bytes | None = None) -> list[Message]:
        hash_ = self.next_hash() if block_hash is None else block_hash
        self.height += 1
        self.time_ms += after_ms
        self.gas = 0
        self.refused = []
        sequences: dict[bytes, int] = {}
        txs = tuple(self._sign(send, sequences) for send in sends)
        block = BlockInput(CHAIN_ID, self.height, self.time_ms, hash_, txs, bytes(20), ())
        start = time.process_time()
        result = apply_block(self.rows, self.tree, block, self._signatures)
        self.txs_seconds = time.process_time() - start
        params = schema.PARAMS.require(self.rows)
        events = list(result.events)
        for send, tx in zip(sends, result.results, strict=True):
            if not tx.gas_used:
                self.refused.append(send)
                continue
            self._note_fee(send.wallet, tx.gas_used, 0 if send.free else tx_fee(params, tx.gas_used))
            if tx.code:
                self._note_failure(tx.codespace, tx.code)
            events += tx.events
        self.app_hash = result.app_hash
        self._take(result.writes, result.nodes)
        return [read_event(event) for event in events]

    def _sign(self, send: Send, sequences: dict[bytes, int]) -> bytes:
        key = send.wallet
        if not isinstance(key, Key):
            raise TypeError("signed blocks need wallets with keys")
        account = schema.ACCOUNTS.require(self.rows, key.raw)
        sequence = sequences.get(key.raw, account.sequence)
        sequences[key.raw] = sequence + 1
        return make_tx(
            key,
            send.messages,
            account_number=account.number,
            sequence=sequence,
            chain_id=CHAIN_ID,
            fee=0 if send.free else None,
        )

    def _take(self, writes: Mapping[bytes, bytes | None], nodes: Mapping[bytes, bytes | None]) -> None:
        self.rows.commit(writes)
        for key, node in nodes.items():
            if node is None:
                self.tree.pop(key, None)
            else:
                self.tree[key] = node


def read_event(event: Event) -> Message:
    """The message that `chain.events.event_of` flattened."""
    descriptor = descriptor_pool.Default().FindMessageTypeByName(event.type)
    message = message_factory.GetMessageClass(descriptor)()
    for name, text in event.attributes:
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.is_repeated:
            getattr(message, name).extend(text.split(",") if text else ())
        elif field.type == FieldDescriptor.TYPE_BYTES:
            setattr(message, name, bytes.fromhex(text))
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, name, text)
        else:
            setattr(message, name, int(text))
    return message
