"""One of CometBFT's connections to the ABCI server."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

import structlog

from validator_node.abci.dispatch import frame_exception
from validator_node.abci.framing import FrameError, FrameReader

# Requests answered before the loop looks at the sockets again: some milliseconds of CheckTx.
_TURN = 64
# Bytes of waiting requests above which a connection takes no more, and below which it goes on.
_MOST_WAITING = 32 << 20
_FEW_WAITING = 16 << 20


class Connection(asyncio.Protocol):
    """Answers each frame that arrives, in order, some frames a turn with one write for all of them.

    Frames are taken off the socket faster than they are answered. While it can't write, CometBFT's client looks at its
    flush timer every 20 nanoseconds, and under load that took a third of all that CometBFT does.

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
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._scheduled = False
        self._stream_error: FrameError | None = None
        self._ended = False
        self._can_write = True
        self.lost: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._log.info("abci connection opened")

    def data_received(self, data: bytes) -> None:
        if self._stream_error is not None:
            return
        try:
            for body in self._reader.feed(data):
                self._waiting.append(body)
                self._waiting_bytes += len(body)
        except FrameError as error:
            self._stream_error = error
        if self._waiting_bytes > _MOST_WAITING and self._transport is not None:
            self._transport.pause_reading()
        self._schedule()

    def eof_received(self) -> bool:
        if self._reader.pending:
            self._log.warning("abci connection ended inside a frame", pending_bytes=self._reader.pending)
        self._ended = True
        self._schedule()
        return True  # the last turn closes, once what was asked has been answered

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Answer some of the waiting frames."""
        self._scheduled = False
        transport = self._transport
        if transport is None or transport.is_closing() or not self._can_write:
            return
        replies: list[bytes] = []
        going_on = True
        while self._waiting and going_on and len(replies) < _TURN:
            body = self._waiting.popleft()
            self._waiting_bytes -= len(body)
            reply, going_on = self._answer(body)
            replies.append(reply)
        if going_on and not self._waiting and self._stream_error is not None:
            self._log.warning("abci stream refused", reason=str(self._stream_error))
            replies.append(frame_exception(str(self._stream_error)))
            going_on = False
        transport.write(b"".join(replies))
        if not going_on or (self._ended and not self._waiting):
            self.close()
            return
        if self._waiting:
            self._schedule()
        if self._waiting_bytes < _FEW_WAITING:
            transport.resume_reading()

    def pause_writing(self) -> None:
        """CometBFT reads more slowly than it asks: answer no more questions until it has caught up."""
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        self._log.info("abci connection closed", reason=str(exc) if exc else None)
        self._transport = None
        self._waiting.clear()
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
