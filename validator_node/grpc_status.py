"""Which gRPC status, and which HTTP status, says best what the chain's numbered error says."""

from __future__ import annotations

from enum import IntEnum

from chain import errors
from chain.errors import ErrorCode, TxError


class Status(IntEnum):
    """gRPC's numbers, as far as we use them."""

    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


HTTP_STATUS = {
    Status.UNKNOWN: 500,
    Status.INVALID_ARGUMENT: 400,
    Status.NOT_FOUND: 404,
    Status.UNIMPLEMENTED: 501,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
}

_NOT_FOUND: tuple[ErrorCode, ...] = (
    errors.UNKNOWN_ADDRESS,
    errors.NOT_FOUND,
    errors.PROGRAM_NOT_FOUND,
    errors.PROVER_NOT_FOUND,
    errors.TASK_NOT_FOUND,
)


class QueryError(Exception):
    """A query that can't be answered; `status` says what kind of failure it is, the text why."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def as_status(error: TxError) -> Status:
    """The status of a query that the chain refused."""
    pair = ErrorCode(error.codespace, error.code)
    if pair in _NOT_FOUND:
        return Status.NOT_FOUND
    if pair == errors.INTERNAL:
        return Status.INTERNAL
    return Status.INVALID_ARGUMENT
