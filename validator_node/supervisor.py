"""One validator: the application, its query servers and CometBFT, which live and end together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from client.errors import ClientError
from validator_node.abci.server import MAX_PATH_BYTES, AbciServer, AbciServerError
from validator_node.application import Application
from validator_node.comet import Comet, CometError, stop_node, stop_orphan
from validator_node.home import NodeHome
from validator_node.metrics import NodeMetrics
from validator_node.services.listen import ServerError
from validator_node.services.servers import QueryServers
from validator_node.settings import Settings
from validator_node.setup import rpc_url
from validator_node.store import Store, StoreError

log = structlog.get_logger(__name__)

_TAIL_BYTES = 4096


class NodeFailed(ClientError):
    """The node had to stop; the message says which part failed and why."""


async def run_node(home: NodeHome, settings: Settings, comet: Comet) -> None:
    """Run until SIGTERM or SIGINT; all parts are stopped on return. Raises NodeFailed if one of them failed."""
    genesis = home.read_genesis()
    metrics = NodeMetrics()
    metrics.watch_store(home.app_db)
    try:
        store = Store.open(home.app_db)
    except (StoreError, OSError) as error:
        raise NodeFailed(f"can't open the state in {home.app_db}: {error}") from error
    try:
        # Only now: the open database says that no other node works in this home.
        if await asyncio.to_thread(stop_orphan, home):
            log.warning("stopped a CometBFT that an earlier, killed node had left behind")
        application = Application(
            store,
            chain_id=genesis["chain_id"],
            retain_blocks=settings.retain_blocks,
            signature_cache=settings.signature_cache,
            metrics=metrics,
        )
        with _socket_path(home) as socket_path:
            await _serve(home, settings, comet, application, metrics, socket_path)
    except (AbciServerError, CometError, ServerError) as error:
        raise NodeFailed(str(error)) from error
    finally:
        store.close()


async def _serve(
    home: NodeHome,
    settings: Settings,
    comet: Comet,
    application: Application,
    metrics: NodeMetrics,
    socket_path: Path,
) -> None:
    ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    def end(reason: str | None) -> None:
        if not ended.done():
            ended.set_result(reason)

    server = AbciServer(application, on_fatal=end)
    await server.start(socket_path)
    servers = QueryServers(settings, application.queries, rpc_url(home.comet_config), metrics)
    try:
        with _stop_signals(lambda: end(None)):
            # Before gRPC has threads: it doesn't like to be forked.
            process = await comet.start(home, f"unix://{socket_path}")
            watcher = asyncio.create_task(_watch(process, home, end))
            try:
                await asyncio.to_thread(servers.start)
                log.info("node started", comet=comet.version, comet_pid=process.pid, home=str(home.root))
                reason = await ended
                log.info("node stops", reason=reason or "asked to")
            finally:
                watcher.cancel()
                await stop_node(process, home)
    finally:
        await asyncio.to_thread(servers.stop)
        await server.stop()
    if reason is not None:
        raise NodeFailed(reason)


async def _watch(process: asyncio.subprocess.Process, home: NodeHome, end: Callable[[str], None]) -> None:
    status = await process.wait()
    end(f"CometBFT ended with status {status}: {_last_words(home.logs / 'cometbft.log')}")


def _last_words(log_file: Path) -> str:
    """The last error that CometBFT logged, else its last line."""
    with log_file.open("rb") as file:
        file.seek(max(0, log_file.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()
    errors = [line for line in lines if line.startswith(("E[", "panic", "ERROR", "failed"))]
    return (errors or lines or ["it logged nothing"])[-1]


@contextlib.contextmanager
def _stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _socket_path(home: NodeHome) -> Iterator[Path]:
    """Where CometBFT finds the application: in the home, or elsewhere if the home's path is too long."""
    path = home.root.absolute() / "abci.sock"
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="mill-") as directory:
        yield Path(directory) / "abci.sock"
