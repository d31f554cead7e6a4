"""A connection takes what arrives off the socket, answers it some at a time, and bounds what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from validator_node.abci import connection as module
from validator_node.abci.connection import Connection
from validator_node.abci.framing import FrameReader, encode_frame


class RecordingTransport(asyncio.Transport):
    """Keeps what is written and whether more may be read."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.reading = True
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def connect(answer: Callable[[bytes], tuple[bytes, bool]]) -> tuple[Connection, RecordingTransport]:
    connection = Connection(1, FrameReader(1 << 20), answer, lambda _lost: None)
    transport = RecordingTransport()
    connection.connection_made(transport)
    return connection, transport


def echo(body: bytes) -> tuple[bytes, bool]:
    return body, True


def state(transport: RecordingTransport) -> dict[str, bool]:
    return {"reading": transport.reading, "closed": transport.closed}


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_many_frames_are_answered_in_order_over_several_turns() -> None:
    connection, transport = connect(echo)
    bodies = [b"%04d" % number for number in range(1_000)]
    connection.data_received(b"".join(encode_frame(body) for body in bodies))
    assert transport.writes == []
    await turns(1)
    assert b"".join(transport.writes) == b"".join(bodies[:64])
    await turns(20)
    assert b"".join(transport.writes) == b"".join(bodies)


async def test_nothing_is_answered_while_comet_does_not_read() -> None:
    connection, transport = connect(echo)
    connection.pause_writing()
    connection.data_received(encode_frame(b"asked"))
    await turns(3)
    assert transport.writes == []
    connection.resume_writing()
    await turns(3)
    assert b"".join(transport.writes) == b"asked"


async def test_reading_stops_while_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 1_000)
    monkeypatch.setattr(module, "_FEW_WAITING", 500)
    connection, transport = connect(echo)
    connection.data_received(encode_frame(b"x" * 10) * 101)
    assert state(transport) == {"reading": False, "closed": False}
    await turns(10)
    assert state(transport) == {"reading": True, "closed": False}
    assert b"".join(transport.writes) == b"x" * 1_010


async def test_what_was_asked_before_the_end_is_answered_before_closing() -> None:
    connection, transport = connect(echo)
    connection.data_received(encode_frame(b"x") * 200)
    assert connection.eof_received()
    await turns(1)
    assert state(transport) == {"reading": True, "closed": False}
    await turns(10)
    assert transport.closed
    assert b"".join(transport.writes) == b"x" * 200


async def test_nothing_after_a_refused_request_is_answered() -> None:
    connection, transport = connect(lambda body: (body, body != b"bad"))
    connection.data_received(encode_frame(b"one") + encode_frame(b"bad") + encode_frame(b"two"))
    await turns(3)
    assert transport.closed
    assert b"".join(transport.writes) == b"onebad"
