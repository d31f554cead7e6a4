"""The state machine: a block in, results and writes out. Nothing here touches the disk, the clock or the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cosmos.base.abci.v1beta1.abci_pb2 import TxMsgData

from chain import schema
from chain.ante import decode_sized, process_ante
from chain.beacon import compute_beacon
from chain.capacity.schedule import begin_tests, check_idle, draw_tests
from chain.context import BlockEnv, Context
from chain.errors import INTERNAL, TxError
from chain.gas import BLOCK_MAX_GAS
from chain.genesis import apply_genesis, parse_genesis
from chain.prover.lifecycle import ProverDeadline, complete_exit, take_due_provers
from chain.settlement.failure import give_up_queueing, miss_proof_deadline
from chain.settlement.settle import settle_decided
from chain.state.errors import StateError
from chain.state.kv import MemoryKV
from chain.state.merkle import Tree
from chain.state.overlay import Overlay
from chain.task.assign import assign_pending, expire_offers
from chain.task.deadlines import Deadline, take, take_due
from chain.tx import decode_tx
from chain.validator.rewards import CommitVote, pay_validators
from chain.verification.rounds import draw_committees, end_commit_window, end_reveal_window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chain.events import Event
    from chain.signatures import SignatureCache
    from chain.state.kv import Getter, KVReader
    from chain.tx import DecodedTx

# What a node can't survive is never a transaction's result: results must be the same on every machine.
_FATAL = (MemoryError, RecursionError, OSError, StateError)
_NO_BLOCK_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class BlockInput:
    """A decided block, as FinalizeBlock hands it over."""

    chain_id: str
    height: int
    # Unix milliseconds of the header.
    time_ms: int
    # 32 bytes.
    hash: bytes
    txs: tuple[bytes, ...]
    # Consensus address.
    proposer: bytes
    # Who signed the previous block.
    votes: tuple[CommitVote, ...]


@dataclass(frozen=True, slots=True)
class TxResult:
    """What became of a transaction. `data` is a TxMsgData; code 0 is success."""

    code: int = 0
    codespace: str = ""
    log: str = ""
    data: bytes = b""
    gas_wanted: int = 0
    gas_used: int = 0
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class BlockResult:
    """All that Commit has to store and FinalizeBlock has to answer."""

    results: tuple[TxResult, ...]
    events: tuple[Event, ...]
    app_hash: bytes
    writes: Mapping[bytes, bytes | None]
    nodes: Mapping[bytes, bytes | None]


def init_chain(app_state: bytes) -> BlockResult:
    """The first state from genesis.json's app_state; GenesisError if it can't be."""
    overlay = Overlay(MemoryKV())
    apply_genesis(overlay, parse_genesis(app_state))
    if schema.LAST_BLOCK_HASH.get(overlay) is None:
        schema.LAST_BLOCK_HASH.set(overlay, _NO_BLOCK_HASH)
    return _finish(overlay, MemoryKV(), (), ())


def apply_block(values: KVReader, nodes: Getter, block: BlockInput, signatures: SignatureCache) -> BlockResult:
    """A block on the committed state (its values and tree nodes): protocol §6, the whole life of a block."""
    overlay = Overlay(values)
    context = _block_context(overlay, block.chain_id, block.height, block.time_ms)
    begin_block(context, block.votes, schema.LAST_BLOCK_TIME.get(overlay) or 0)
    results = tuple(deliver_tx(context, raw, signatures) for raw in block.txs)
    schema.LAST_BLOCK_HASH.set(overlay, block.hash)
    schema.LAST_BLOCK_TIME.set(overlay, block.time_ms)
    return _finish(overlay, nodes, results, tuple(context.events))


def begin_block(context: Context, votes: tuple[CommitVote, ...], due_ms: int) -> None:
    """All that becomes due with a new block, before its transactions.

    What is due is what the last block's time, `due_ms`, had reached: so after a deadline was set, and however long the
    chain stood still since, there is a block in which it can still be met.
    """
    pay_validators(context, votes)
    settle_decided(context)
    # First, so that a task whose offers outlasted its queue timeout ends instead of being offered on and on.
    expire_offers(context)
    for row in take_due(context.kv, due_ms):
        if take(context.kv, row):
            _meet_deadline(context, row)
    for what, operator in take_due_provers(context.kv, due_ms):
        if what == ProverDeadline.IDLE:
            check_idle(context, operator)
        elif what == ProverDeadline.EXIT:
            complete_exit(context, operator)
    draw_committees(context)
    begin_tests(context)
    draw_tests(context)
    assign_pending(context)


def _meet_deadline(context: Context, row: tuple[int, Deadline, int, bytes]) -> None:
    _, deadline, task_id, prover = row
    if deadline == Deadline.QUEUE:
        give_up_queueing(context, task_id)
    elif deadline == Deadline.PROOF:
        miss_proof_deadline(context, task_id, prover)
    elif deadline == Deadline.COMMIT:
        end_commit_window(context, task_id, prover)
    elif deadline == Deadline.REVEAL:
        end_reveal_window(context, task_id, prover)


def deliver_tx(context: Context, raw: bytes, signatures: SignatureCache) -> TxResult:
    """One transaction: fee and sequence persist once the ante passed, messages take effect all or none."""
    try:
        tx = admit_tx(context, raw, signatures)
    except TxError as error:
        return _failure(error)
    layer = context.nested()
    try:
        data = execute_messages(layer, tx)
    except TxError as error:
        return _failure(error, tx)
    except _FATAL:
        raise
    except Exception as error:  # noqa: BLE001  # a bug in a handler fails its transaction, the same on every machine
        return _failure(_internal(error), tx)
    result = TxResult(data=data, gas_wanted=tx.gas_limit, gas_used=tx.gas, events=tuple(layer.events))
    layer.kv.merge_into_parent()
    return result


def admit_tx(context: Context, raw: bytes, signatures: SignatureCache | None) -> DecodedTx:
    """Decode a transaction and carry out its ante, all or nothing; TxError if it is refused, a bug included."""
    layer = context.nested()
    try:
        tx = decode_sized(raw, context.params)
        process_ante(layer, tx, signatures)
    except (TxError, *_FATAL):
        raise
    except Exception as error:
        raise _internal(error) from error
    layer.kv.merge_into_parent()
    return tx


def execute_messages(context: Context, tx: DecodedTx) -> bytes:
    """Carry out a transaction's messages; the encoded TxMsgData with a response each."""
    data = TxMsgData()
    for spec, message in tx.messages:
        response = spec.execute(context, message)
        packed = data.msg_responses.add()
        packed.type_url = f"/{response.DESCRIPTOR.full_name}"
        packed.value = response.SerializeToString(deterministic=True)
    return data.SerializeToString(deterministic=True)


class CheckState:
    """The mempool's view: the committed state plus the fees and sequences of the transactions it has taken."""

    def __init__(self, values: KVReader, chain_id: str, height: int, time_ms: int, signatures: SignatureCache) -> None:
        """`height` and `time_ms` are those of the last committed block."""
        self._context = _block_context(Overlay(values), chain_id, height + 1, time_ms)
        self._signatures = signatures

    def check(self, raw: bytes, *, recheck: bool) -> TxResult:
        """Whether a transaction may (still) wait in the mempool. On a recheck its signature isn't verified again."""
        try:
            tx = admit_tx(self._context, raw, None if recheck else self._signatures)
        except TxError as error:
            return _failure(error)
        return TxResult(gas_wanted=tx.gas_limit, gas_used=tx.gas)


def prepare_proposal(
    values: KVReader,
    chain_id: str,
    height: int,
    time_ms: int,
    txs: tuple[bytes, ...],
    max_bytes: int,
    signatures: SignatureCache,
) -> list[bytes]:
    """Those of the mempool's transactions that pass the ante, in their order, while bytes and gas last."""
    context = _block_context(Overlay(values), chain_id, height, time_ms)
    chosen: list[bytes] = []
    size = gas = 0
    for raw in txs:
        # A transaction in a block is a length-prefixed field: a tag and at most five bytes of length.
        if size + len(raw) + 6 > max_bytes:
            break
        try:
            tx = admit_tx(context, raw, signatures)
        except TxError:
            continue
        if gas + tx.gas > BLOCK_MAX_GAS:
            break
        chosen.append(raw)
        size += len(raw) + 6
        gas += tx.gas
    return chosen


def process_proposal(txs: tuple[bytes, ...]) -> bool:
    """Whether a proposed block keeps to the gas limit. A bad transaction merely fails later and uses none."""
    gas = 0
    for raw in txs:
        try:
            gas += decode_tx(raw).gas
        except _FATAL:
            raise
        except Exception:  # noqa: BLE001, S112  # what doesn't decode, a bug included, does no work in its block either
            continue
    return gas <= BLOCK_MAX_GAS


def _block_context(overlay: Overlay, chain_id: str, height: int, time_ms: int) -> Context:
    beacon = compute_beacon(schema.LAST_BLOCK_HASH.require(overlay), height)
    return Context(overlay, BlockEnv(chain_id, height, time_ms, beacon), schema.PARAMS.require(overlay), [])


def _finish(overlay: Overlay, nodes: Getter, results: tuple[TxResult, ...], events: tuple[Event, ...]) -> BlockResult:
    update = Tree(nodes).apply(overlay.writes)
    return BlockResult(results, events, update.root, overlay.writes, update.nodes)


def _internal(error: Exception) -> TxError:
    return INTERNAL.error(f"internal error ({type(error).__name__})")


def _failure(error: TxError, tx: DecodedTx | None = None) -> TxResult:
    gas_wanted, gas_used = (tx.gas_limit, tx.gas) if tx else (0, 0)
    return TxResult(error.code, error.codespace, error.message, b"", gas_wanted, gas_used)
