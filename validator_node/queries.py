"""Answers questions about committed state, from any thread: each works on one immutable version of it."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from cosmos.ics23.v1 import proofs_pb2 as ics23

from chain import schema
from chain.errors import INTERNAL, INVALID_REQUEST, NOT_FOUND, TxError
from chain.query import QueryContext, query
from chain.state.errors import StateError
from chain.state.proofs import prove
from validator_node.store import HeightUnavailable, Store
from validator_node.store_view import StoreView

log = structlog.get_logger(__name__)

# What says that this machine or its database is failing, whatever was asked: the node must not go on.
_FATAL = (MemoryError, RecursionError, OSError, StateError)


@dataclass(frozen=True)
class Answer:
    """A gRPC method's encoded response, and the height after whose block the state was as it says."""

    value: bytes
    height: int


@dataclass(frozen=True)
class StoredValue:
    """A row of the state (None: there is none) and, if asked for, the proof against the app hash after `height`."""

    value: bytes | None
    proof: ics23.CommitmentProof | None
    height: int


class StateQueries:
    """The state of one chain as clients may ask about it. Heights count committed blocks; None means the latest."""

    def __init__(self, store: Store, chain_id: str) -> None:
        self._store = store
        self.chain_id = chain_id

    @property
    def height(self) -> int:
        """Height of the last committed block, 0 before the first."""
        return self._store.latest()[0]

    def ask(self, path: str, request: bytes, height: int | None = None) -> Answer:
        """Answer a gRPC method by its path, such as "/cosmos.bank.v1beta1.Query/Balance". Raises TxError."""
        with self._view(height) as view:
            time_ms = schema.LAST_BLOCK_TIME.get(view.values) or 0
            context = QueryContext(view.values, self.chain_id, view.height, time_ms)
            try:
                return Answer(query(context, path, request), view.height)
            except (TxError, *_FATAL):
                raise
            except Exception as error:
                # A stranger's question that meets a bug of ours must not stop the node.
                log.exception("a query failed", path=path)
                raise INTERNAL.error("internal error: the node's log says more") from error

    def read(self, key: bytes, height: int | None = None, *, with_proof: bool = False) -> StoredValue:
        """The row under a raw key. Raises TxError."""
        with self._view(height) as view:
            proof = prove(view.nodes, key, view.values) if with_proof else None
            return StoredValue(view.values.get(key), proof, view.height)

    def _view(self, height: int | None) -> StoreView:
        if height is not None and height < 1:
            raise INVALID_REQUEST.error(f"height {height} has no state; the first block's height is 1")
        try:
            return self._store.view(height)
        except HeightUnavailable as error:
            raise NOT_FOUND.error(str(error)) from None
