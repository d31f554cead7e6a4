"""One of CometBFT's connections to the ABCI server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import structlog

from validator_node.abci.dispatch import frame_exception
from validator_node.abci.framing import FrameError, FrameReader


class Connection(asyncio.Protocol):
    """Answers each frame that arrives, in order, with one write for all the frames of a chunk.

    `answer` gives a request body's response frame, and whether the connection can go on after it.
    """

    def __init__(
        self,
        number: int,
        reader: FrameReader,
        answer: Callable[[bytes], tuple[bytes, bool]],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self._reader = reader
        self._answer = answer
        self._on_lost = on_lost
        self._log = structlog.get_logger(__name__).bind(connection=number)
        self._transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._log.info("abci connection opened")

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        replies: list[bytes] = []
        going_on = True
        try:
            for body in self._reader.feed(data):
                reply, going_on = self._answer(body)
                replies.append(reply)
                if not going_on:
                    break
        except FrameError as error:
            self._log.warning("abci stream refused", reason=str(error))
            replies.append(frame_exception(str(error)))
            going_on = False
        transport.write(b"".join(replies))
        if not going_on:
            self.close()

    def eof_received(self) -> bool:
        if self._reader.pending:
            self._log.warning("abci connection ended inside a frame", pending_bytes=self._reader.pending)
        return False  # nothing more will be asked, so nothing more is to be said

    def pause_writing(self) -> None:
        """CometBFT reads more slowly than it asks: take no more questions until it has caught up."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._log.info("abci connection closed", reason=str(exc) if exc else None)
        self._transport = None
        if not self.lost.done():
            self.lost.set_result(None)
        self._on_lost(self)

    def close(self) -> None:
        """Close once everything written has gone out."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()
