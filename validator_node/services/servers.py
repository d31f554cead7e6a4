"""The query servers' life: a thread with its own event loop, so that a slow client never delays consensus."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from aiohttp import web

from client.rpc import Rpc
from validator_node.metrics import NodeMetrics
from validator_node.queries import StateQueries
from validator_node.services.catalog import Catalog
from validator_node.services.grpc_server import start_grpc
from validator_node.services.listen import listen
from validator_node.services.node_info import NodeInfo
from validator_node.services.rest_server import start_rest
from validator_node.services.transactions import Transactions
from validator_node.settings import Settings

_GRACE_SECONDS = 1.0


class QueryServers:
    """gRPC, REST and metrics at the addresses of the settings. `rpc_url`: CometBFT's RPC of the same node."""

    def __init__(self, settings: Settings, queries: StateQueries, rpc_url: str, metrics: NodeMetrics) -> None:
        self._settings = settings
        self._queries = queries
        self._rpc_url = rpc_url
        self._metrics = metrics
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._running = AsyncExitStack()

    def start(self) -> None:
        """Listen, then return. Raises ServerError, with nothing left running."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="query-servers", daemon=True)
        self._thread.start()
        self._run(self._start)

    def stop(self) -> None:
        """Finish what is being answered, close the ports and end the thread; harmless if nothing runs."""
        if self._thread is None:
            return
        self._run(self._running.aclose)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._thread = None
        self._loop.close()

    def _run(self, step: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await step()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    async def _start(self) -> None:
        rpc = await self._running.enter_async_context(Rpc(self._rpc_url))
        node_methods = {**Transactions(rpc).methods(), **NodeInfo(rpc, self._queries).methods()}
        catalog = Catalog(self._queries, node_methods)
        settings = self._settings
        if settings.grpc_address:
            server = await start_grpc(catalog, self._metrics, settings.grpc_address)
            self._running.push_async_callback(server.stop, _GRACE_SECONDS)
        if settings.rest_address:
            rest = await start_rest(catalog, self._metrics, settings.rest_address)
            self._running.push_async_callback(rest.cleanup)
        if settings.metrics_address:
            app = web.Application()
            app.router.add_get("/metrics", self._render_metrics)
            runner = await listen(app, settings.metrics_address, "metrics")
            self._running.push_async_callback(runner.cleanup)

    async def _render_metrics(self, http: web.Request) -> web.Response:
        del http  # every request gets all metrics
        return web.Response(body=self._metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})
