"""A chain in memory: real transactions through the real state machine, block by block, without CometBFT.

It keeps a model of nothing: what it knows it reads from the state, as a node would.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from coincurve import PrivateKey
from coincurve.ecdsa import deserialize_recoverable, recoverable_convert, serialize_compact
from cosmos.base.abci.v1beta1.abci_pb2 import TxMsgData
from cosmos.base.v1beta1.coin_pb2 import Coin
from cosmos.crypto.secp256k1.keys_pb2 import PubKey
from cosmos.tx.signing.v1beta1.signing_pb2 import SIGN_MODE_DIRECT
from cosmos.tx.v1beta1.tx_pb2 import AuthInfo, Fee, ModeInfo, SignerInfo, TxBody, TxRaw
from google.protobuf.any_pb2 import Any as AnyMessage
from proofmill.genesis.v1.genesis_pb2 import Genesis, GenesisAccount, GenesisProver
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.address import address_bytes_of, encode_address
from chain.gas import compute_fee, compute_tx_gas
from chain.genesis import genesis_json
from chain.messages import MESSAGES
from chain.params import GIB, default_params
from chain.query import QueryContext, query
from chain.signatures import SignatureCache
from chain.state.kv import MemoryKV
from chain.transition import BlockInput, BlockResult, TxResult, apply_block, init_chain
from chain.tx import sign_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.message import Message
    from proofmill.params.v1.state_pb2 import Params

    from chain.validator.rewards import CommitVote

CHAIN_ID = "test-1"
START_MS = 1_700_000_000_000
MILL = 1_000_000
RICH = 1_000_000 * MILL


class Key:
    """A secp256k1 key derived from a name, so that tests are the same on every run."""

    def __init__(self, name: str) -> None:
        self._key = PrivateKey(hashlib.sha256(name.encode()).digest())
        self.name = name
        self.pub_key = self._key.public_key.format(compressed=True)
        self.raw = address_bytes_of(self.pub_key)
        self.address = encode_address(self.raw)

    def sign(self, data: bytes) -> bytes:
        """64 bytes r ‖ s over sha256(data)."""
        recoverable = deserialize_recoverable(self._key.sign_recoverable(data))
        return bytes(serialize_compact(recoverable_convert(recoverable)))


def pack(message: Message) -> AnyMessage:
    return AnyMessage(type_url=f"/{message.DESCRIPTOR.full_name}", value=message.SerializeToString(deterministic=True))


def make_tx(  # every field that a test may want to falsify
    key: Key,
    messages: Iterable[Message],
    *,
    account_number: int,
    sequence: int,
    chain_id: str = CHAIN_ID,
    gas_price: int = 25,
    gas_limit: int | None = None,
    fee: int | None = None,
    timeout_height: int = 0,
    memo: str = "",
) -> bytes:
    """A signed TxRaw that uses exactly the gas it needs, unless told otherwise."""
    packed = list(messages)
    body = TxBody(messages=[pack(m) for m in packed], memo=memo, timeout_height=timeout_height).SerializeToString()
    if gas_limit is None:
        gas_limit = compute_tx_gas(len(body), 1, sum(MESSAGES[f"/{m.DESCRIPTOR.full_name}"].gas(m) for m in packed))
    amount = compute_fee(gas_limit, gas_price) if fee is None else fee
    auth_info = AuthInfo(
        signer_infos=[
            SignerInfo(
                public_key=pack(PubKey(key=key.pub_key)),
                mode_info=ModeInfo(single=ModeInfo.Single(mode=SIGN_MODE_DIRECT)),
                sequence=sequence,
            )
        ],
        fee=Fee(amount=[Coin(denom="umill", amount=str(amount))] if amount else [], gas_limit=gas_limit),
    ).SerializeToString()
    signature = key.sign(sign_bytes(body, auth_info, chain_id, account_number))
    return TxRaw(body_bytes=body, auth_info_bytes=auth_info, signatures=[signature]).SerializeToString()


@dataclass
class Network:
    """Committed state and the blocks that made it."""

    values: MemoryKV
    nodes: MemoryKV
    app_hash: bytes
    height: int = 0
    time_ms: int = START_MS
    signatures: SignatureCache = field(default_factory=SignatureCache)
    blocks: list[BlockInput] = field(default_factory=list)
    app_hashes: list[bytes] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    last: BlockResult | None = None
    # The values before the last block.
    before: MemoryKV = field(default_factory=MemoryKV)
    _pending: list[bytes] = field(default_factory=list)
    _sequences: dict[bytes, int] = field(default_factory=dict)

    @classmethod
    def start(cls, genesis: Genesis) -> Self:
        return cls.start_from(genesis_json(genesis).encode())

    @classmethod
    def start_from(cls, app_state: bytes) -> Self:
        result = init_chain(app_state)
        network = cls(MemoryKV(), MemoryKV(), result.app_hash)
        network.commit(result)
        return network

    def send(self, key: Key, *messages: Message, **changes: Any) -> None:
        """Sign a transaction for the next block."""
        account = schema.ACCOUNTS.get(self.values, key.raw)
        number, committed = (account.number, account.sequence) if account else (0, 0)
        sequence = self._sequences.get(key.raw, committed)
        self._pending.append(make_tx(key, messages, **{"account_number": number, "sequence": sequence} | changes))
        self._sequences[key.raw] = sequence + 1

    def send_raw(self, raw: bytes) -> None:
        self._pending.append(raw)

    def next_block(
        self, *, after_ms: int = 1_000, votes: tuple[CommitVote, ...] = (), block_hash: bytes = b""
    ) -> tuple[TxResult, ...]:
        """Apply and commit a block with everything that was sent; its transactions' results."""
        self.height += 1
        self.time_ms += after_ms
        block = BlockInput(
            chain_id=CHAIN_ID,
            height=self.height,
            time_ms=self.time_ms,
            hash=block_hash or hashlib.sha256(b"block" + self.height.to_bytes(8, "big")).digest(),
            txs=tuple(self._pending),
            proposer=bytes(20),
            votes=votes,
        )
        self._pending.clear()
        self._sequences.clear()
        result = self.apply(block)
        self.before = _copy(self.values)
        self.commit(result)
        self.app_hash = result.app_hash
        self.blocks.append(block)
        self.app_hashes.append(result.app_hash)
        self.events = [*result.events, *(event for tx in result.results for event in tx.events)]
        self.last = result
        return result.results

    def apply(self, block: BlockInput) -> BlockResult:
        """What a block does to the committed state; nothing is committed by it."""
        return apply_block(self.values, self.nodes, block, self.signatures)

    def deliver(self, key: Key, *messages: Message, **changes: Any) -> TxResult:
        """A block with one transaction."""
        self.send(key, *messages, **changes)
        return self.next_block()[0]

    def execute(self, key: Key, *messages: Message) -> list[bytes]:
        """A block with one transaction that must succeed; its encoded responses."""
        result = self.deliver(key, *messages)
        assert result.code == 0, f"{result.codespace}/{result.code}: {result.log}"
        return [bytes(response.value) for response in TxMsgData.FromString(result.data).msg_responses]

    def query(self, path: str, request: Message, answer: type[Any]) -> Any:
        context = QueryContext(self.values, CHAIN_ID, self.height, self.time_ms)
        return answer.FromString(query(context, path, request.SerializeToString()))

    def commit(self, result: BlockResult) -> None:
        _apply(self.values, result.writes)
        _apply(self.nodes, result.nodes)


def _copy(rows: MemoryKV) -> MemoryKV:
    copy = MemoryKV()
    for key, value in rows.iterate(b"", b"\xff"):
        copy.set(key, value)
    return copy


def _apply(rows: MemoryKV, writes: Mapping[bytes, bytes | None]) -> None:
    for key, value in writes.items():
        if value is None:
            rows.delete(key)
        else:
            rows.set(key, value)


AUTHORITY = Key("authority")
ALICE = Key("alice")
BOB = Key("bob")
DEPLOYER = Key("deployer")


def operator_key(index: int) -> Key:
    return Key(f"operator{index}")


def node_key(index: int) -> Key:
    return Key(f"node{index}")


def endpoint_of(index: int) -> str:
    """Where nothing answers: on ports so low nothing listens, whatever else runs on this machine."""
    return f"http://127.0.0.1:{1 + index}"


def make_genesis(provers: int = 5, params: Params | None = None) -> Genesis:
    """Rich users, an authority, and so many active provers of 4 cores and 8 GiB."""
    accounts = [
        GenesisAccount(address=key.address, umill=RICH, ucredit=100 * MILL) for key in (AUTHORITY, ALICE, BOB, DEPLOYER)
    ]
    accounts += [GenesisAccount(address=node_key(index).address, umill=RICH) for index in range(provers)]
    return Genesis(
        params=params or default_params(),
        authority=AUTHORITY.address,
        accounts=accounts,
        provers=[
            GenesisProver(
                operator=operator_key(index).address,
                node=node_key(index).address,
                resources=Resources(cpu_millis=4_000, memory_bytes=8 * GIB),
                endpoints=[endpoint_of(index)],
                region="test",
                bond=2_000 * MILL,
            )
            for index in range(provers)
        ],
        network_pool=1_000 * MILL,
    )
