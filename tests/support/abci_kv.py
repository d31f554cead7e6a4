"""A small key-value application that records the calls it gets: enough state to run blocks on."""

from __future__ import annotations

import hashlib

from tendermint.abci import types_pb2 as abci

REFUSED = 1


class KvApplication:
    """Transactions are `key=value`; the app hash commits to all pairs. `calls` names each request in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.committed: dict[bytes, bytes] = {}
        self.height = 0
        self._next: tuple[int, dict[bytes, bytes]] | None = None

    def app_hash(self, pairs: dict[bytes, bytes]) -> bytes:
        digest = hashlib.sha256()
        for key in sorted(pairs):
            digest.update(hashlib.sha256(key).digest() + hashlib.sha256(pairs[key]).digest())
        return digest.digest()

    def info(self, request: abci.RequestInfo) -> abci.ResponseInfo:
        self.calls.append("info")
        return abci.ResponseInfo(
            data="kv",
            version=request.version,
            app_version=1,
            last_block_height=self.height,
            last_block_app_hash=self.app_hash(self.committed) if self.height else b"",
        )

    def init_chain(self, request: abci.RequestInitChain) -> abci.ResponseInitChain:
        self.calls.append("init_chain")
        return abci.ResponseInitChain(app_hash=self.app_hash({}), validators=request.validators)

    def query(self, request: abci.RequestQuery) -> abci.ResponseQuery:
        self.calls.append("query")
        return abci.ResponseQuery(key=request.data, value=self.committed.get(request.data, b""), height=self.height)

    def check_tx(self, request: abci.RequestCheckTx) -> abci.ResponseCheckTx:
        self.calls.append("recheck_tx" if request.type == abci.RECHECK else "check_tx")
        if b"=" not in request.tx:
            return abci.ResponseCheckTx(code=REFUSED, codespace="kv", log="a transaction is key=value")
        return abci.ResponseCheckTx(gas_wanted=1)

    def prepare_proposal(self, request: abci.RequestPrepareProposal) -> abci.ResponsePrepareProposal:
        self.calls.append("prepare_proposal")
        return abci.ResponsePrepareProposal(txs=request.txs)

    def process_proposal(self, request: abci.RequestProcessProposal) -> abci.ResponseProcessProposal:
        self.calls.append("process_proposal")
        valid = all(b"=" in tx for tx in request.txs)
        verdict = abci.ResponseProcessProposal.ACCEPT if valid else abci.ResponseProcessProposal.REJECT
        return abci.ResponseProcessProposal(status=verdict)

    def finalize_block(self, request: abci.RequestFinalizeBlock) -> abci.ResponseFinalizeBlock:
        self.calls.append("finalize_block")
        pairs = dict(self.committed)
        results = []
        for tx in request.txs:
            key, _, value = tx.partition(b"=")
            pairs[key] = value
            attributes = [abci.EventAttribute(key="key", value=key.decode(), index=True)]
            results.append(abci.ExecTxResult(gas_used=1, events=[abci.Event(type="set", attributes=attributes)]))
        self._next = (request.height, pairs)
        return abci.ResponseFinalizeBlock(tx_results=results, app_hash=self.app_hash(pairs))

    def commit(self, request: abci.RequestCommit) -> abci.ResponseCommit:
        del request
        self.calls.append("commit")
        if self._next is None:
            raise RuntimeError("Commit came without a block")
        self.height, self.committed = self._next
        self._next = None
        return abci.ResponseCommit()

    def extend_vote(self, request: abci.RequestExtendVote) -> abci.ResponseExtendVote:
        self.calls.append("extend_vote")
        return abci.ResponseExtendVote(vote_extension=request.hash)

    def verify_vote_extension(self, request: abci.RequestVerifyVoteExtension) -> abci.ResponseVerifyVoteExtension:
        self.calls.append("verify_vote_extension")
        valid = request.vote_extension == request.hash
        verdict = abci.ResponseVerifyVoteExtension.ACCEPT if valid else abci.ResponseVerifyVoteExtension.REJECT
        return abci.ResponseVerifyVoteExtension(status=verdict)

    def list_snapshots(self, request: abci.RequestListSnapshots) -> abci.ResponseListSnapshots:
        del request
        self.calls.append("list_snapshots")
        return abci.ResponseListSnapshots()

    def offer_snapshot(self, request: abci.RequestOfferSnapshot) -> abci.ResponseOfferSnapshot:
        del request
        self.calls.append("offer_snapshot")
        return abci.ResponseOfferSnapshot(result=abci.ResponseOfferSnapshot.ABORT)

    def load_snapshot_chunk(self, request: abci.RequestLoadSnapshotChunk) -> abci.ResponseLoadSnapshotChunk:
        del request
        self.calls.append("load_snapshot_chunk")
        return abci.ResponseLoadSnapshotChunk()

    def apply_snapshot_chunk(self, request: abci.RequestApplySnapshotChunk) -> abci.ResponseApplySnapshotChunk:
        del request
        self.calls.append("apply_snapshot_chunk")
        return abci.ResponseApplySnapshotChunk(result=abci.ResponseApplySnapshotChunk.ABORT)
