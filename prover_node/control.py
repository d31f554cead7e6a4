"""The daemon's private face: what goes on inside it, for its operator alone, on a socket in its home.

The socket's mode and the home's keep others out; nothing of it is on the address that is served to the world.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from client.errors import ClientError

_NAME = "control.sock"
_TIMEOUT_S = 3.0

Report = Callable[[], Mapping[str, object]]


class ControlSocket:
    """Answers ``GET /status`` with what ``report`` gives, on ``control.sock`` in the folder ``home``."""

    def __init__(self, home: Path, report: Report) -> None:
        self._home = home
        self._report = report
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; what an earlier process left is replaced, since the home is locked. ClientError where it can't be."""
        app = web.Application(client_max_size=1024)
        app.router.add_get("/status", self._show)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        old = os.umask(0o177)
        try:
            with _short_path(self._home) as path:
                await web.UnixSite(self._runner, path).start()
        except OSError as error:
            await self.stop()
            raise ClientError(f"the socket {self._home / _NAME} can't be made: {error.strerror}") from error
        finally:
            os.umask(old)

    async def stop(self) -> None:
        """Close, and leave nothing behind."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            with contextlib.suppress(OSError):
                (self._home / _NAME).unlink()

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(dict(self._report()))


async def ask_daemon(home: Path) -> dict[str, Any] | None:
    """What the daemon in the folder ``home`` reports, or ``None`` if none answers."""
    try:
        with _short_path(home) as path:
            transport = httpx.AsyncHTTPTransport(uds=path)
            async with httpx.AsyncClient(transport=transport, timeout=_TIMEOUT_S) as http:
                answer = (await http.get("http://daemon/status")).json()
    except (httpx.HTTPError, OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


@contextlib.contextmanager
def _short_path(home: Path) -> Iterator[str]:
    """The socket's path by way of a descriptor of the folder: a socket's own path may have 107 bytes only."""
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_NAME}"
    finally:
        os.close(descriptor)
