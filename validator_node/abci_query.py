"""ABCI Query: gRPC methods by their path, and raw rows of the state with ICS-23 proofs.

A request's height is that of the header which carries the state's root, one above the block that made the state; so is
a response's. 0 asks for the latest.
"""

from __future__ import annotations

from tendermint.abci import types_pb2 as abci
from tendermint.crypto import proof_pb2 as crypto

from chain.errors import INVALID_REQUEST, TxError
from validator_node.grpc_status import as_status
from validator_node.queries import StateQueries

STORE_PATH = "/store"
# Of the kind "ics23:<what the proof is about>", as Cosmos tools name their proof operations.
PROOF_TYPE = "ics23:mill"


def answer_query(queries: StateQueries, request: abci.RequestQuery) -> abci.ResponseQuery:
    """The response to any query; what is wrong with one is its code, codespace and log."""
    try:
        if request.height < 0:
            raise INVALID_REQUEST.error(f"the height {request.height} is negative; 0 asks for the latest state")
        height = request.height - 1 if request.height else None
        if request.path == STORE_PATH or request.path.startswith(STORE_PATH + "/"):
            return _read_row(queries, request, height)
        if request.prove:
            raise INVALID_REQUEST.error(f"{request.path} can't be proved; ask for the rows with {STORE_PATH}/<key>")
        answer = queries.ask(request.path, request.data, height)
        return abci.ResponseQuery(value=answer.value, height=answer.height + 1)
    except TxError as error:
        return abci.ResponseQuery(code=error.code, codespace=error.codespace, log=_log_of(error))


def _log_of(error: TxError) -> str:
    """The message; where something doesn't exist, in the form by which CosmJS recognises that."""
    status = as_status(error)
    return f"rpc error: code = NotFound desc = {error.message}" if status.name == "NOT_FOUND" else error.message


def _read_row(queries: StateQueries, request: abci.RequestQuery, height: int | None) -> abci.ResponseQuery:
    text = request.path[len(STORE_PATH) + 1 :]
    try:
        key = bytes.fromhex(text) if text else request.data
    except ValueError:
        raise INVALID_REQUEST.error(f"{text!r} isn't a key in hexadecimal digits") from None
    if not key:
        raise INVALID_REQUEST.error(
            f"no key: ask for {STORE_PATH}/<hexadecimal key>, or {STORE_PATH} with the key as data"
        )
    row = queries.read(key, height, with_proof=request.prove)
    response = abci.ResponseQuery(key=key, value=row.value or b"", height=row.height + 1)
    if row.proof is not None:
        operation = crypto.ProofOp(type=PROOF_TYPE, key=key, data=row.proof.SerializeToString(deterministic=True))
        response.proof_ops.ops.append(operation)
    return response
