"""One ABCI request in, one response out: the decoding, the call and the encoding. No I/O here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from tendermint.abci import types_pb2 as abci

from validator_node.abci.application import Application
from validator_node.abci.framing import encode_frame, encode_uvarint

LENGTH_DELIMITED = 2  # protobuf's wire type of an embedded message


class UndecodableRequest(Exception):
    """A frame that isn't a protobuf message: whoever sent it doesn't speak ABCI."""


class UnknownRequest(Exception):
    """A well-formed request for something that this server doesn't do."""


class ApplicationFailed(Exception):
    """The application raised while it handled a request: its state can't be relied on any more."""


def response_tag(kind: str) -> bytes:
    """The bytes that stand in front of the length of a Response's one field."""
    return encode_uvarint(abci.Response.DESCRIPTOR.fields_by_name[kind].number << 3 | LENGTH_DELIMITED)


def frame_response(tag: bytes, response: Message) -> bytes:
    """`response` as a frame that holds a Response: written by hand, because setting a oneof copies the message."""
    body = response.SerializeToString()
    return encode_frame(tag + encode_uvarint(len(body)) + body)


EXCEPTION_TAG = response_tag("exception")


def frame_exception(reason: str) -> bytes:
    """A frame with the exception response, upon which CometBFT stops."""
    return frame_response(EXCEPTION_TAG, abci.ResponseException(error=reason))


def echo(request: abci.RequestEcho) -> abci.ResponseEcho:
    return abci.ResponseEcho(message=request.message)


def flush(request: abci.RequestFlush) -> abci.ResponseFlush:
    del request  # nothing in it; and nothing to do, as responses are never held back
    return abci.ResponseFlush()


class Dispatcher:
    """Calls an application with the requests in frames' bodies."""

    def __init__(self, application: Application) -> None:
        handlers: dict[str, Callable[[Any], Message]] = {"echo": echo, "flush": flush}
        for field in abci.Request.DESCRIPTOR.oneofs_by_name["value"].fields:
            if field.name not in handlers:
                handlers[field.name] = getattr(application, field.name)
        self._handlers = {kind: (handler, response_tag(kind)) for kind, handler in handlers.items()}

    def __call__(self, body: bytes) -> bytes:
        """The frame that answers the request in a frame's body.

        Raises UndecodableRequest, UnknownRequest or ApplicationFailed.
        """
        try:
            request = abci.Request.FromString(body)
        except DecodeError as error:
            raise UndecodableRequest(f"a frame of {len(body)} bytes isn't an ABCI request") from error
        kind = request.WhichOneof("value")
        if kind is None:
            unknown = UnknownFieldSet(request)
            numbers = ", ".join(str(unknown[index].field_number) for index in range(len(unknown)))
            raise UnknownRequest(
                f"this server doesn't know the request with field number {numbers}" if numbers else "a request is empty"
            )
        handler, tag = self._handlers[kind]
        try:
            return frame_response(tag, handler(getattr(request, kind)))
        except Exception as error:
            raise ApplicationFailed(f"the application failed in {kind}: {type(error).__name__}: {error}") from error
