"""Plays CometBFT for the real application over a real store: every request in its order, without a network."""

from __future__ import annotations

import hashlib
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from proofmill.genesis.v1.genesis_pb2 import Genesis
from tendermint.abci import types_pb2 as abci
from tendermint.types import validator_pb2

from chain.genesis import genesis_json
from tests.support.network import CHAIN_ID, START_MS
from validator_node.application import Application
from validator_node.metrics import NodeMetrics
from validator_node.store import Store

VALIDATOR = bytes(range(20))


def block_hash(height: int) -> bytes:
    """The same at every run."""
    return hashlib.sha256(b"block" + height.to_bytes(8, "big")).digest()


def block_time(height: int) -> Timestamp:
    """A second after the block before it."""
    return Timestamp(seconds=START_MS // 1_000 + height)


class Consensus:
    """One node: `application` may be thrown away with crash() at any point, and what was committed stays."""

    def __init__(self, folder: Path, genesis: Genesis, *, retain_blocks: int = 100) -> None:
        self.folder = folder
        self.genesis = genesis
        self.metrics = NodeMetrics()
        self._retain_blocks = retain_blocks
        self.open()

    def open(self) -> None:
        """Start the application on what is on disk."""
        self.store = Store.open(self.folder)
        self.application = Application(
            self.store,
            chain_id=CHAIN_ID,
            retain_blocks=self._retain_blocks,
            signature_cache=1_000,
            metrics=self.metrics,
        )

    def crash(self) -> None:
        """Lose everything that isn't committed, and start again."""
        self.store.close()
        self.metrics = NodeMetrics()
        self.open()

    @property
    def height(self) -> int:
        return self.application.info(abci.RequestInfo()).last_block_height

    @property
    def app_hash(self) -> bytes:
        return self.application.info(abci.RequestInfo()).last_block_app_hash

    def init_chain(self, **changes: object) -> abci.ResponseInitChain:
        request = abci.RequestInitChain(
            time=block_time(0),
            chain_id=CHAIN_ID,
            app_state_bytes=genesis_json(self.genesis).encode(),
            initial_height=1,
        )
        request.MergeFrom(abci.RequestInitChain(**changes))  # type: ignore[arg-type]  # fields by name
        return self.application.init_chain(request)

    def finalize(self, height: int, *txs: bytes) -> abci.ResponseFinalizeBlock:
        vote = abci.VoteInfo(
            validator=abci.Validator(address=VALIDATOR, power=10), block_id_flag=validator_pb2.BLOCK_ID_FLAG_COMMIT
        )
        return self.application.finalize_block(
            abci.RequestFinalizeBlock(
                txs=txs,
                decided_last_commit=abci.CommitInfo(votes=[vote] if height > 1 else []),
                hash=block_hash(height),
                height=height,
                time=block_time(height),
                proposer_address=VALIDATOR,
            )
        )

    def commit(self) -> abci.ResponseCommit:
        return self.application.commit(abci.RequestCommit())

    def block(self, *txs: bytes) -> abci.ResponseFinalizeBlock:
        """Finalize and commit the next block."""
        result = self.finalize(self.height + 1, *txs)
        self.commit()
        return result

    def check(self, tx: bytes, *, recheck: bool = False) -> abci.ResponseCheckTx:
        kind = abci.RECHECK if recheck else abci.NEW
        return self.application.check_tx(abci.RequestCheckTx(tx=tx, type=kind))

    def propose(self, *txs: bytes, max_tx_bytes: int = 1 << 20) -> list[bytes]:
        height = self.height + 1
        response = self.application.prepare_proposal(
            abci.RequestPrepareProposal(max_tx_bytes=max_tx_bytes, txs=txs, height=height, time=block_time(height))
        )
        return list(response.txs)

    def query(self, path: str, data: bytes = b"", *, height: int = 0, prove: bool = False) -> abci.ResponseQuery:
        return self.application.query(abci.RequestQuery(path=path, data=data, height=height, prove=prove))
