"""Every method that a node answers, and who answers it: the state, or what CometBFT knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError, Message

from chain.errors import TxError
from chain.query import QUERY_PATHS
from validator_node.grpc_status import QueryError, Status, as_status
from validator_node.queries import Answer, StateQueries
from validator_node.services.description import Method, describe_methods

# How callers of both servers name the committed block after which the state is meant.
HEIGHT_HEADER = "x-cosmos-block-height"


def parse_height(text: str | None) -> int | None:
    """The height that a caller asks for; None for the latest. Raises QueryError."""
    if not text or text == "0":
        return None
    if not text.isdecimal() or len(text) > 18:
        raise QueryError(Status.INVALID_ARGUMENT, f"{HEIGHT_HEADER} must be a block height, not {text!r}")
    return int(text)


@dataclass(frozen=True)
class Catalog:
    """The methods of a node. `node_methods`: path to handler, for what isn't in the state."""

    queries: StateQueries
    node_methods: Mapping[str, Callable[..., Awaitable[Message]]]

    def methods(self) -> tuple[Method, ...]:
        """All methods, sorted by path."""
        return describe_methods(sorted({*QUERY_PATHS, *self.node_methods}))

    async def answer(self, method: Method, request: bytes, height: int | None) -> Answer:
        """The encoded response of a method, and the height it is of. Raises QueryError."""
        own = self.node_methods.get(method.path)
        if own is None:
            try:
                return self.queries.ask(method.path, request, height)
            except TxError as error:
                raise QueryError(as_status(error), error.message) from None
        try:
            message = method.request.FromString(request)
        except DecodeError:
            raise QueryError(
                Status.INVALID_ARGUMENT, f"the request isn't a {method.request.DESCRIPTOR.full_name}"
            ) from None
        response = await own(message)
        return Answer(response.SerializeToString(), self.queries.height)
