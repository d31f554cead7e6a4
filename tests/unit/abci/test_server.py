"""The server over a real unix socket, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tendermint.abci import types_pb2 as abci

from tests.support.abci_kv import REFUSED, KvApplication
from validator_node.abci.framing import FrameReader, encode_frame, encode_uvarint
from validator_node.abci.server import AbciServer, AbciServerError

LIMIT = 1 << 20


class Served:
    """A server, what it serves, where, and the fatal reasons that it reported."""

    def __init__(self, path: Path) -> None:
        self.application = KvApplication()
        self.fatal: list[str] = []
        self.path = path
        self.server = AbciServer(self.application, on_fatal=self.fatal.append, max_frame_bytes=LIMIT)
        self._peers: list[Peer] = []

    async def connect(self) -> Peer:
        """A connection on which the server has answered once, so that it is known to be open."""
        peer = Peer(*await asyncio.open_unix_connection(str(self.path)))
        self._peers.append(peer)
        assert await peer.ask(FLUSH) == abci.Response(flush=abci.ResponseFlush())
        return peer

    async def close(self) -> None:
        for peer in self._peers:
            await peer.close()
        await self.server.stop()


class Peer:
    """CometBFT's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._frames = FrameReader(1 << 27)
        self._responses: list[abci.Response] = []
        self.writer = writer

    def send(self, *requests: abci.Request) -> None:
        self.writer.write(b"".join(encode_frame(request.SerializeToString()) for request in requests))

    async def receive(self) -> abci.Response | None:
        """The next response; None once the server has closed the connection."""
        while not self._responses:
            chunk = await self._reader.read(1 << 16)
            if not chunk:
                return None
            self._responses += [abci.Response.FromString(body) for body in self._frames.feed(chunk)]
        return self._responses.pop(0)

    async def ask(self, request: abci.Request) -> abci.Response | None:
        self.send(request)
        return await self.receive()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):  # the server may have closed it first
            await self.writer.wait_closed()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    it = Served(tmp_path / "abci.sock")
    await it.server.start(it.path)
    yield it
    await it.close()


def echo(text: str) -> abci.Request:
    return abci.Request(echo=abci.RequestEcho(message=text))


def check(tx: bytes) -> abci.Request:
    return abci.Request(check_tx=abci.RequestCheckTx(tx=tx))


FLUSH = abci.Request(flush=abci.RequestFlush())


async def test_echo_and_flush_are_answered_by_the_server(served: Served) -> None:
    peer = await served.connect()
    assert await peer.ask(echo("hello")) == abci.Response(echo=abci.ResponseEcho(message="hello"))
    assert await peer.ask(FLUSH) == abci.Response(flush=abci.ResponseFlush())
    assert served.application.calls == []


async def test_every_request_reaches_its_method_and_gets_its_response(served: Served) -> None:
    peer = await served.connect()
    for field in abci.Request.DESCRIPTOR.oneofs_by_name["value"].fields:
        if field.name == "commit":
            continue  # legal only after finalize_block, below
        request = abci.Request()
        getattr(request, field.name).SetInParent()
        response = await peer.ask(request)
        assert response is not None
        assert response.WhichOneof("value") == field.name
        if field.name not in {"echo", "flush"}:
            assert served.application.calls[-1] == field.name
    committed = await peer.ask(abci.Request(commit=abci.RequestCommit()))
    assert committed == abci.Response(commit=abci.ResponseCommit())


async def test_a_request_split_at_every_byte_is_answered(served: Served) -> None:
    peer = await served.connect()
    frame = encode_frame(check(b"key=" + b"v" * 200).SerializeToString())
    for at in range(1, len(frame)):
        peer.writer.write(frame[:at])
        await asyncio.sleep(0)
        peer.writer.write(frame[at:])
        assert await peer.receive() == abci.Response(check_tx=abci.ResponseCheckTx(gas_wanted=1))


async def test_pipelined_requests_are_answered_in_order(served: Served) -> None:
    peer = await served.connect()
    count = 2_000
    peer.send(*(request for n in range(count) for request in (echo(str(n)), check(b"k=v" if n % 3 else b"bad"), FLUSH)))
    for n in range(count):
        assert await peer.receive() == abci.Response(echo=abci.ResponseEcho(message=str(n)))
        checked = await peer.receive()
        assert checked is not None
        assert checked.check_tx.code == (0 if n % 3 else REFUSED)
        flushed = await peer.receive()
        assert flushed is not None
        assert flushed.WhichOneof("value") == "flush"


async def test_four_connections_are_served_at_once(served: Served) -> None:
    peers = [await served.connect() for _ in range(4)]
    for n, peer in enumerate(peers):
        peer.send(*(echo(f"{n}/{m}") for m in range(300)))
    for n, peer in reversed(list(enumerate(peers))):
        for m in range(300):
            assert await peer.receive() == abci.Response(echo=abci.ResponseEcho(message=f"{n}/{m}"))


async def test_large_requests_and_responses_pass(served: Served) -> None:
    peer = await served.connect()
    txs = [b"k%d=" % n + bytes(50_000) for n in range(20)]
    response = await peer.ask(abci.Request(prepare_proposal=abci.RequestPrepareProposal(txs=txs)))
    assert response is not None
    assert list(response.prepare_proposal.txs) == txs


async def test_a_peer_that_asks_without_reading_is_made_to_wait(served: Served) -> None:
    peer = await served.connect()
    text = "x" * 100_000
    count = 200
    for n in range(count):
        peer.send(echo(f"{n}{text}"))
    for n in range(count):
        assert await peer.receive() == abci.Response(echo=abci.ResponseEcho(message=f"{n}{text}"))


async def test_invalid_empty_request_gets_an_exception_and_the_stream_goes_on(served: Served) -> None:
    peer = await served.connect()
    with capture_logs() as logs:
        response = await peer.ask(abci.Request())
    assert response is not None
    assert "empty" in response.exception.error
    assert [entry["event"] for entry in logs] == ["abci request refused"]
    assert await peer.ask(FLUSH) == abci.Response(flush=abci.ResponseFlush())


async def test_invalid_unknown_request_is_named_by_its_number(served: Served) -> None:
    peer = await served.connect()
    peer.writer.write(encode_frame(b"\xaa\x01\x00"))  # field 21, insert_tx
    response = await peer.receive()
    assert response is not None
    assert "field number 21" in response.exception.error
    assert served.fatal == []


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (encode_frame(b"\xff\xff\xff"), "isn't an ABCI request"),
        (encode_frame(b"GET / HTTP/1.1\r\n"), "isn't an ABCI request"),
        (b"\xff" * 20, "more than 10 bytes"),
        (encode_uvarint(LIMIT + 1) + bytes(1000), "over the limit"),
    ],
    ids=["garbage", "http", "length", "oversize"],
)
async def test_invalid_stream_gets_an_exception_and_is_closed(served: Served, stream: bytes, reason: str) -> None:
    peer, other = await served.connect(), await served.connect()
    with capture_logs() as logs:
        peer.send(echo("before"))
        peer.writer.write(stream)
        before = await peer.receive()
        response = await peer.receive()
        assert await peer.receive() is None
    assert before is not None
    assert before.echo.message == "before"
    assert response is not None
    assert reason in response.exception.error
    assert [entry["reason"] for entry in logs if entry["log_level"] == "warning"] == [response.exception.error]
    assert await other.ask(FLUSH) is not None
    assert served.fatal == []


async def test_invalid_end_inside_a_frame_is_logged(served: Served) -> None:
    peer = await served.connect()
    with capture_logs() as logs:
        peer.writer.write(encode_frame(bytes(20))[:13])
        peer.writer.write_eof()
        assert await peer.receive() is None
    assert [entry["pending_bytes"] for entry in logs if entry["log_level"] == "warning"] == [13]


async def test_an_application_that_raises_ends_everything_once(served: Served) -> None:
    peer, other = await served.connect(), await served.connect()
    with capture_logs() as logs:
        peer.send(abci.Request(commit=abci.RequestCommit()), check(b"k=v"))
        response = await peer.receive()
        assert await peer.receive() is None
        refused = await other.ask(check(b"k=v"))
        assert await other.receive() is None
    assert response is not None
    assert response.exception.error == "the application failed in commit: RuntimeError: Commit came without a block"
    assert served.fatal == [response.exception.error]
    assert refused == response
    assert served.application.calls == ["commit"]
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["abci application failed"]


async def test_the_socket_is_private_and_goes_away_at_stop(served: Served) -> None:
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600
    peer = await served.connect()
    await served.server.stop()
    assert await peer.receive() is None
    assert not served.path.exists()
    await served.server.stop()


async def test_a_stopped_server_can_start_again(served: Served) -> None:
    await served.server.stop()
    await served.server.start(served.path)
    await served.connect()


async def test_a_dead_servers_socket_file_is_replaced(tmp_path: Path) -> None:
    left = tmp_path / "abci.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
        dead.listen()
    assert left.is_socket()
    it = Served(left)
    await it.server.start(left)
    await it.connect()
    await it.close()


def a_living_server(path: Path) -> socket.socket:
    living = socket.socket(socket.AF_UNIX)
    living.bind(str(path))
    living.listen()
    return living


async def test_invalid_start_where_another_server_lives(tmp_path: Path) -> None:
    it = Served(tmp_path / "abci.sock")
    with a_living_server(it.path):
        with pytest.raises(AbciServerError, match="another process already serves"):
            await it.server.start(it.path)
        assert it.path.is_socket()


def a_file(path: Path) -> None:
    path.write_text("precious")


@pytest.mark.parametrize(
    ("prepare", "name", "reason"),
    [
        (a_file, "abci.sock", "isn't one"),
        (lambda _: None, "no/such/folder", "No such file"),
        (lambda _: None, "x" * 120, "longer than 107 bytes"),
    ],
    ids=["file", "folder", "long"],
)
async def test_invalid_start_at_a_bad_path(
    tmp_path: Path, prepare: Callable[[Path], None], name: str, reason: str
) -> None:
    it = Served(tmp_path / name)
    prepare(it.path)
    with pytest.raises(AbciServerError, match=reason):
        await it.server.start(it.path)
