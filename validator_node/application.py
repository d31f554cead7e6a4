"""The ABCI application: the chain's transition functions over the store.

It keeps no state of its own but what a block in progress needs: after a crash at any point the store has the last
committed height, and CometBFT sends the blocks since then again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

import structlog
from google.protobuf.timestamp_pb2 import Timestamp
from tendermint.abci import types_pb2 as abci
from tendermint.types import validator_pb2

from chain import schema, transition
from chain.errors import INTERNAL
from chain.events import Event
from chain.signatures import SignatureCache
from chain.state.kv import Getter, KVReader, MemoryKV
from chain.validator.rewards import CommitVote
from validator_node.abci_query import answer_query
from validator_node.metrics import NodeMetrics
from validator_node.queries import StateQueries
from validator_node.store import Store

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

log = structlog.get_logger(__name__)

APP_VERSION = 1


class ApplicationError(Exception):
    """CometBFT asks for something that can't be right; the node has to stop."""


@dataclass(frozen=True)
class _State:
    """A version of the state to execute on: committed, or the genesis state that waits for the first Commit."""

    height: int
    values: KVReader
    nodes: Getter


@dataclass(frozen=True)
class _Decided:
    """A block that FinalizeBlock executed and Commit hasn't written yet."""

    height: int
    time_ms: int
    result: transition.BlockResult


class Application:
    """Implements validator_node.abci.application.Application for one chain and one store.

    Every method runs to its end before the next is called. An exception ends the node.
    """

    def __init__(
        self,
        store: Store,
        *,
        chain_id: str,
        retain_blocks: int,
        signature_cache: int,
        metrics: NodeMetrics,
    ) -> None:
        self.queries = StateQueries(store, chain_id)
        self._store = store
        self._chain_id = chain_id
        self._retain_blocks = retain_blocks
        self._metrics = metrics
        self._signatures = SignatureCache(signature_cache)
        self._genesis: transition.BlockResult | None = None
        self._decided: _Decided | None = None
        self._state: _State | None = None
        self._checks: transition.CheckState | None = None
        metrics.watch_signatures(lambda: self._signatures.hits, lambda: self._signatures.misses)
        height, _ = store.latest()
        if height:
            self._adopt(_State(height, store.values, store.nodes), _last_block_time(store.values))

    # Info and genesis

    def info(self, request: abci.RequestInfo) -> abci.ResponseInfo:
        """Where we are. Height 0 asks for InitChain: a genesis that was never committed is forgotten."""
        height, app_hash = self._store.latest()
        log.info("CometBFT asks where we are", height=height, app_hash=app_hash.hex(), abci=request.abci_version)
        return abci.ResponseInfo(
            data="proofmill",
            version=metadata.version("proofmill"),
            app_version=APP_VERSION,
            last_block_height=height,
            last_block_app_hash=app_hash,
        )

    def init_chain(self, request: abci.RequestInitChain) -> abci.ResponseInitChain:
        """Build the genesis state, in memory: the first Commit writes it along with the first block."""
        height, _ = self._store.latest()
        if height:
            raise ApplicationError(f"InitChain came at height {height}: this home's state is of another chain's life")
        if request.chain_id != self._chain_id:
            raise ApplicationError(
                f"InitChain is for chain {request.chain_id!r}, but the genesis file says {self._chain_id!r}"
            )
        genesis = transition.init_chain(request.app_state_bytes)
        self._genesis = genesis
        self._decided = None
        values, nodes = _in_memory(genesis.writes), _in_memory(genesis.nodes)
        self._adopt(_State(request.initial_height - 1, values, nodes), _milliseconds(request.time))
        return abci.ResponseInitChain(app_hash=genesis.app_hash)

    # Mempool

    def check_tx(self, request: abci.RequestCheckTx) -> abci.ResponseCheckTx:
        recheck = request.type == abci.RECHECK
        if self._checks is None:
            raise ApplicationError("CheckTx came before the state of any height was known")
        result = self._checks.check(request.tx, recheck=recheck)
        self._metrics.count_check(recheck=recheck, accepted=result.code == 0)
        return abci.ResponseCheckTx(
            code=result.code,
            codespace=result.codespace,
            log=result.log,
            gas_wanted=result.gas_wanted,
            gas_used=result.gas_used,
        )

    # Blocks

    def prepare_proposal(self, request: abci.RequestPrepareProposal) -> abci.ResponsePrepareProposal:
        """Fill a block from the mempool on a throw-away layer of writes."""
        with self._metrics.time_step("prepare_proposal"):
            txs = transition.prepare_proposal(
                self._current.values,
                self._chain_id,
                request.height,
                _milliseconds(request.time),
                tuple(request.txs),
                request.max_tx_bytes,
                self._signatures,
            )
        return abci.ResponsePrepareProposal(txs=txs)

    def process_proposal(self, request: abci.RequestProcessProposal) -> abci.ResponseProcessProposal:
        """Vote for any block within the limits; a transaction in it that fails harms nobody but its sender."""
        with self._metrics.time_step("process_proposal"):
            accepted = transition.process_proposal(tuple(request.txs))
        if not accepted:
            log.warning("proposal rejected: its transactions use more gas than a block may", height=request.height)
        verdict = abci.ResponseProcessProposal
        return verdict(status=verdict.ACCEPT if accepted else verdict.REJECT)

    def finalize_block(self, request: abci.RequestFinalizeBlock) -> abci.ResponseFinalizeBlock:
        """Execute a block on the committed state; asked again for the same height, do it all anew."""
        state = self._current
        if request.height != state.height + 1:
            raise ApplicationError(f"block {request.height} came while the state is that of height {state.height}")
        block = transition.BlockInput(
            chain_id=self._chain_id,
            height=request.height,
            time_ms=_milliseconds(request.time),
            hash=request.hash,
            txs=tuple(request.txs),
            proposer=request.proposer_address,
            votes=tuple(_votes(request.decided_last_commit)),
        )
        with self._metrics.time_step("finalize_block"):
            result = transition.apply_block(state.values, state.nodes, block, self._signatures)
        self._decided = _Decided(request.height, block.time_ms, result)
        for position, one in enumerate(result.results):
            if one.codespace == INTERNAL.codespace:
                log.error("a transaction met a bug", height=request.height, position=position, reason=one.log)
        with self._metrics.time_step("encode_results"):
            return _encode_result(result)

    def commit(self, request: abci.RequestCommit) -> abci.ResponseCommit:
        """Write what FinalizeBlock decided, in one synced batch; the first time with the genesis state below it."""
        del request  # it has no fields
        decided = self._decided
        if decided is None:
            raise ApplicationError("Commit came without a FinalizeBlock before it")
        result = decided.result
        values, nodes = result.writes, result.nodes
        if self._genesis is not None:
            values, nodes = {**self._genesis.writes, **values}, {**self._genesis.nodes, **nodes}
        with self._metrics.time_step("commit"):
            self._store.commit(decided.height, values, nodes, result.app_hash, self._retain_blocks)
        self._genesis = None
        self._decided = None
        self._metrics.count_block(decided.height, result.results)
        self._adopt(_State(decided.height, self._store.values, self._store.nodes), decided.time_ms)
        log.info("committed", height=decided.height, txs=len(result.results), app_hash=result.app_hash.hex())
        return abci.ResponseCommit()

    # Queries

    def query(self, request: abci.RequestQuery) -> abci.ResponseQuery:
        return answer_query(self.queries, request)

    # Vote extensions are off: CometBFT asks for them only from a height that the consensus parameters name.

    def extend_vote(self, request: abci.RequestExtendVote) -> abci.ResponseExtendVote:
        raise ApplicationError(
            f"CometBFT asks to extend a vote at height {request.height}, but vote extensions are off"
        )

    def verify_vote_extension(self, request: abci.RequestVerifyVoteExtension) -> abci.ResponseVerifyVoteExtension:
        """Nobody may attach anything to a vote."""
        verdict = abci.ResponseVerifyVoteExtension
        return verdict(status=verdict.REJECT if request.vote_extension else verdict.ACCEPT)

    # State sync: this application makes no snapshots and restores none.

    def list_snapshots(self, request: abci.RequestListSnapshots) -> abci.ResponseListSnapshots:
        del request  # it has no fields
        return abci.ResponseListSnapshots()

    def offer_snapshot(self, request: abci.RequestOfferSnapshot) -> abci.ResponseOfferSnapshot:
        log.warning(
            "snapshot refused: restoring is not supported; sync from the blocks", height=request.snapshot.height
        )
        return abci.ResponseOfferSnapshot(result=abci.ResponseOfferSnapshot.ABORT)

    def load_snapshot_chunk(self, request: abci.RequestLoadSnapshotChunk) -> abci.ResponseLoadSnapshotChunk:
        log.warning("asked for a chunk of a snapshot that doesn't exist", height=request.height, chunk=request.chunk)
        return abci.ResponseLoadSnapshotChunk()

    def apply_snapshot_chunk(self, request: abci.RequestApplySnapshotChunk) -> abci.ResponseApplySnapshotChunk:
        log.warning("chunk of a snapshot refused: none was accepted", sender=request.sender)
        return abci.ResponseApplySnapshotChunk(result=abci.ResponseApplySnapshotChunk.ABORT)

    # What a step of consensus starts from

    @property
    def _current(self) -> _State:
        if self._state is None:
            raise ApplicationError("a block came before the state of any height was known")
        return self._state

    def _adopt(self, state: _State, time_ms: int) -> None:
        """Go on from this state, with a fresh view of it for the mempool."""
        self._state = state
        self._checks = transition.CheckState(state.values, self._chain_id, state.height, time_ms, self._signatures)


def _last_block_time(values: KVReader) -> int:
    return schema.LAST_BLOCK_TIME.get(values) or 0


def _in_memory(rows: Mapping[bytes, bytes | None]) -> MemoryKV:
    memory = MemoryKV()
    for key, value in rows.items():
        if value is not None:
            memory.set(key, value)
    return memory


def _milliseconds(time: Timestamp) -> int:
    return time.seconds * 1_000 + time.nanos // 1_000_000


def _votes(commit: abci.CommitInfo) -> Iterator[CommitVote]:
    """Who signed the last block; a vote for nil counts, as it shows the validator at work."""
    for vote in commit.votes:
        yield vote.validator.address, vote.validator.power, vote.block_id_flag != validator_pb2.BLOCK_ID_FLAG_ABSENT


def _encode_result(result: transition.BlockResult) -> abci.ResponseFinalizeBlock:
    """Filled in place: messages given to a constructor are copied, which took twice as long."""
    response = abci.ResponseFinalizeBlock(app_hash=result.app_hash)
    _add_events(response.events, result.events)
    for one in result.results:
        tx_result = response.tx_results.add(
            code=one.code,
            codespace=one.codespace,
            log=one.log,
            data=one.data,
            gas_wanted=one.gas_wanted,
            gas_used=one.gas_used,
        )
        _add_events(tx_result.events, one.events)
    return response


def _add_events(target: RepeatedCompositeFieldContainer[abci.Event], events: Iterable[Event]) -> None:
    for event in events:
        add_attribute = target.add(type=event.type).attributes.add
        for key, value in event.attributes:
            add_attribute(key=key, value=value, index=True)
