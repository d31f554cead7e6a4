"""Binding HTTP servers to their addresses."""

from __future__ import annotations

from aiohttp import web

from client.errors import ClientError
from validator_node.settings import split_address


class ServerError(ClientError):
    """A server can't listen; the message says which and where."""


async def listen(app: web.Application, address: str, what: str) -> web.AppRunner:
    """Serve an application on host:port of the running loop; the runner's cleanup() stops it. Raises ServerError."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    host, port = split_address(address)
    try:
        await web.TCPSite(runner, host, port, reuse_port=False).start()
    except OSError as error:
        await runner.cleanup()
        raise ServerError(f"the {what} server can't listen at {address}: {error.strerror or error}") from error
    return runner
