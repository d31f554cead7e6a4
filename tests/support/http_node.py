"""A :class:`MemoryNode` behind a real HTTP server on loopback, with CometBFT's event stream and a folder of blobs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from typing import Any, Self

from aiohttp import WSMsgType, web

from tests.support.memory_node import MemoryNode, respond


class HttpNode:
    """Use as a context manager: a server in a thread of its own, at :attr:`url`.

    `PUT` and `GET` of `/blobs/{sha256}` keep :attr:`blobs`; other paths answer with :attr:`files`. While :attr:`hangs`,
    calls are taken and never answered.
    """

    def __init__(self, node: MemoryNode) -> None:
        self.node = node
        self.blobs: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.url = ""
        self.hangs = False
        self._sockets: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        self.node.on_block = self._publish
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def drop_connections(self) -> None:
        """Cuts all event streams, as a restarting node does."""

        async def close() -> None:
            for socket in list(self._sockets):
                await socket.close()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result()

    def _publish(self, header: dict[str, Any]) -> None:
        event = {"id": 1, "result": {"query": "tm.event='NewBlockHeader'", "data": {"value": {"header": header}}}}

        async def send() -> None:
            for socket in list(self._sockets):
                if not socket.closed:
                    await socket.send_str(json.dumps(event))

        asyncio.run_coroutine_threadsafe(send(), self._loop)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run())
        self._loop.close()

    async def _run(self) -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/", self._call)
        app.router.add_get("/websocket", self._events)
        app.router.add_put("/blobs/{sha256}", self._put)
        app.router.add_get("/{path:.*}", self._get)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        for socket in list(self._sockets):
            await socket.close()
        await runner.cleanup()

    async def _call(self, request: web.Request) -> web.Response:
        call = await request.json()
        if self.hangs:
            await self._stop.wait()
        self.node.calls[call["method"]] += 1
        return web.json_response(respond(self.node, call))

    async def _events(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(json.dumps({"jsonrpc": "2.0", "id": 1, "result": {}}))
                self._sockets.add(socket)
        self._sockets.discard(socket)
        return socket

    async def _put(self, request: web.Request) -> web.Response:
        data = await request.read()
        sha256 = request.match_info["sha256"]
        if hashlib.sha256(data).hexdigest() != sha256:
            return web.Response(status=400, text="the body has another sha256")
        self.blobs[sha256] = data
        return web.Response(status=201)

    async def _get(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        data = self.blobs.get(path.removeprefix("blobs/")) or self.files.get(path)
        return web.Response(status=404) if data is None else web.Response(body=data)
