"""The ABCI socket server (CometBFT's `proxy_app = "unix://…"`)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

from validator_node.abci.application import Application
from validator_node.abci.connection import Connection
from validator_node.abci.dispatch import (
    ApplicationFailed,
    Dispatcher,
    UndecodableRequest,
    UnknownRequest,
    frame_exception,
)
from validator_node.abci.framing import FrameReader

# CometBFT's largest block is 100 MiB; its FinalizeBlock adds votes and framing.
MAX_FRAME_BYTES = 128 << 20
# A unix socket's name has 108 bytes in the kernel, one of them the end mark.
MAX_PATH_BYTES = 107
DRAIN_SECONDS = 2.0

log = structlog.get_logger(__name__)


class AbciServerError(Exception):
    """The server can't listen; the message says why and what to do."""


class AbciServer:
    """Serves one application to CometBFT's four connections (consensus, mempool, query, snapshot), on the running loop.

    Requests are handled as their bytes arrive, each to its end, so the application never sees two at once; every
    connection gets its responses in the order of its requests. If the application raises, its state can't be relied on:
    that request and all later ones are answered with an exception response, and `on_fatal` is called once, with the
    reason.
    """

    def __init__(
        self, application: Application, *, on_fatal: Callable[[str], None], max_frame_bytes: int = MAX_FRAME_BYTES
    ) -> None:
        self._dispatch = Dispatcher(application)
        self._on_fatal = on_fatal
        self._max_frame_bytes = max_frame_bytes
        self._failure: str | None = None
        self._listener: asyncio.Server | None = None
        self._path: Path | None = None
        self._opened = 0
        self._connections: set[Connection] = set()

    async def start(self, path: Path) -> None:
        """Listen at `path`, open to this user only. A socket file that nobody serves any more is replaced.

        Raises AbciServerError if the path is taken or can't be a socket's.
        """
        clear_stale_socket(path)
        bound = bind_private_socket(path)
        self._path = path
        self._listener = await asyncio.get_running_loop().create_unix_server(self._connect, sock=bound)
        log.info("abci server listens", path=str(path))

    async def stop(self) -> None:
        """Stop listening, close the connections once what is written has gone out, remove the socket file."""
        if self._listener is None or self._path is None:
            return
        self._listener.close()
        open_connections = tuple(self._connections)
        for connection in open_connections:
            connection.close()
        if open_connections:
            await asyncio.wait([connection.lost for connection in open_connections], timeout=DRAIN_SECONDS)
        for connection in tuple(self._connections):
            connection.abort()
        await self._listener.wait_closed()
        self._path.unlink(missing_ok=True)
        self._listener = self._path = None
        log.info("abci server stopped")

    def _connect(self) -> Connection:
        self._opened += 1
        connection = Connection(
            self._opened, FrameReader(self._max_frame_bytes), self._answer, self._connections.discard
        )
        self._connections.add(connection)
        return connection

    def _answer(self, body: bytes) -> tuple[bytes, bool]:
        if self._failure is not None:
            return frame_exception(self._failure), False
        try:
            return self._dispatch(body), True
        except UnknownRequest as error:
            log.warning("abci request refused", reason=str(error))
            return frame_exception(str(error)), True
        except UndecodableRequest as error:
            log.warning("abci stream refused", reason=str(error))
            return frame_exception(str(error)), False
        except ApplicationFailed as error:
            self._failure = str(error)
            log.exception("abci application failed")
            self._on_fatal(self._failure)
            return frame_exception(self._failure), False


def clear_stale_socket(path: Path) -> None:
    """Remove the socket file that a killed server left at `path`; asyncio would remove a living one's too.

    Raises AbciServerError if the path is too long for a socket, holds something else, or is being served.
    """
    if len(str(path).encode()) > MAX_PATH_BYTES:
        raise AbciServerError(f"the socket path {path} is longer than {MAX_PATH_BYTES} bytes: choose a shorter home")
    if not path.exists():
        return
    if not path.is_socket():
        raise AbciServerError(f"{path} is in the way of the ABCI socket and isn't one: move it or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise AbciServerError(f"can't tell whether {path} is in use: {error.strerror}") from error
    raise AbciServerError(f"another process already serves {path}: stop it or choose another path")


def bind_private_socket(path: Path) -> socket.socket:
    """A socket bound to `path` that only this user may connect to, not yet listening.

    Raises AbciServerError if the system refuses.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(path))
        path.chmod(0o600)
    except OSError as error:
        bound.close()
        raise AbciServerError(f"can't listen for CometBFT at {path}: {error.strerror}") from error
    return bound
