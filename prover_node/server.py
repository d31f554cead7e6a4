"""The node's public face: its proofs, its provers' logs, and how it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from client.errors import ClientError
from prover_node.file_response import serve_file
from prover_node.metrics import Metrics
from prover_node.storage import BlobStore
from prover_node.task_files import TaskFiles

_DIGEST = re.compile(r"[0-9a-f]{64}")
_TASK_ID = re.compile(r"[1-9][0-9]{0,19}")
# What is served was made by strangers' programs: no browser may take it for a page.
_INERT = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
# A task that is proved anew may have another proof.
_ASK_AGAIN = {"Cache-Control": "public, no-cache"}
_TASKS_END = 1 << 64

LIST_DEFAULT = 100
LIST_MAX = 1000
"""Tasks in one answer."""

READY = "ok"
"""The one status in which a node takes part in everything."""

Health = Callable[[], Mapping[str, object]]


class Server:
    """Serves ``/blobs/{sha256}``, ``/tasks``, ``/tasks/{id}/proof|stdout|stderr``, ``/health`` and ``/health/live``.

    ``/metrics`` too, unless :meth:`start` is given another address for them. Only the node's own proofs are served,
    never what it fetched: that may be a user's witness.
    """

    def __init__(self, store: BlobStore, tasks: TaskFiles, metrics: Metrics, health: Health) -> None:
        self._store = store
        self._tasks = tasks
        self._metrics = metrics
        self._health = health
        self._published: set[str] = set(tasks.proofs())
        self._runners: list[web.AppRunner] = []

    def publish(self, digest: str) -> None:
        """Serve the blob ``digest`` (hex) from now on."""
        self._published.add(digest)

    def withdraw(self, digest: str) -> None:
        """Serve it no longer."""
        self._published.discard(digest)

    def app(self, *, metrics: bool = True) -> web.Application:
        """The routes, those of ``metrics`` among them or not."""
        app = web.Application(client_max_size=1024)
        app.router.add_get("/blobs/{digest}", self._blob)
        app.router.add_get("/tasks", self._list)
        app.router.add_get("/tasks/{task_id}/proof", self._proof)
        app.router.add_get("/tasks/{task_id}/{name:stdout|stderr}", self._log)
        app.router.add_get("/health", self._show_health)
        app.router.add_get("/health/live", self._show_life)
        return self._with_metrics(app) if metrics else app

    def _with_metrics(self, app: web.Application) -> web.Application:
        app.router.add_get("/metrics", self._show_metrics)
        return app

    async def start(self, host: str, port: int, metrics: tuple[str, int] | None = None) -> int:
        """Listen, and return the port (of the system's choice for 0); ClientError when an address can't be used."""
        served = await self._listen("http.listen", self.app(metrics=metrics is None), host, port)
        if metrics is not None:
            await self._listen(
                "http.metrics_listen", self._with_metrics(web.Application(client_max_size=1024)), *metrics
            )
        return served

    async def _listen(self, setting: str, app: web.Application, host: str, port: int) -> int:
        runner = web.AppRunner(app, access_log=None)
        self._runners.append(runner)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await self.stop()
            raise ClientError(f"can't listen on {host}:{port}: {error.strerror}; choose another {setting}") from error
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Finish the answers that are under way, and close."""
        for runner in self._runners:
            await runner.cleanup()

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        digest = request.match_info["digest"]
        if not _DIGEST.fullmatch(digest):
            raise web.HTTPBadRequest(text="a blob is named by the 64 lower-case hex digits of its sha256\n")
        return await self._bundle(request, digest, _FOR_EVER)

    async def _list(self, request: web.Request) -> web.Response:
        limit = _number(request, "limit", LIST_DEFAULT)
        if not 1 <= limit <= LIST_MAX:
            raise web.HTTPBadRequest(text=f"limit must be 1 to {LIST_MAX}\n")
        before = _number(request, "before", _TASKS_END)
        found = self._tasks.newest(limit + 1, before)
        tasks = [{"task": task_id, "sha256": digest, "size": self._size(digest)} for task_id, digest in found[:limit]]
        following = found[limit - 1][0] if len(found) > limit else None
        return web.json_response({"tasks": tasks, "before": following})

    async def _proof(self, request: web.Request) -> web.StreamResponse:
        task_id = self._task_id(request)
        digest = self._tasks.proof(task_id)
        if digest is None:
            raise web.HTTPNotFound(text=f"this node made no proof for task {task_id}, or keeps it no longer\n")
        name = {"Content-Disposition": f'attachment; filename="task-{task_id}-proof.tar"'}
        return await self._bundle(request, digest, _ASK_AGAIN | name)

    async def _bundle(self, request: web.Request, digest: str, headers: Mapping[str, str]) -> web.StreamResponse:
        path = self._store.find(digest) if digest in self._published else None
        if path is None:
            raise web.HTTPNotFound(text="this node has no proof with this sha256\n")
        return await serve_file(request, path, digest, {"Content-Type": "application/x-tar", **_INERT, **headers})

    def _size(self, digest: str) -> int | None:
        """Bytes of a proof; ``None`` for one that is gone."""
        try:
            return self._store.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    async def _log(self, request: web.Request) -> web.StreamResponse:
        task_id, name = self._task_id(request), request.match_info["name"]
        path = self._tasks.log(task_id, name)
        if path is None:
            raise web.HTTPNotFound(text=f"this node has no {name} of task {task_id}\n")
        return web.FileResponse(path, headers={"Content-Type": "text/plain; charset=utf-8", **_INERT, **_ASK_AGAIN})

    async def _show_health(self, request: web.Request) -> web.Response:
        health = dict(self._health())
        return web.json_response(health, status=200 if health["status"] == READY else 503)

    async def _show_life(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _show_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @staticmethod
    def _task_id(request: web.Request) -> int:
        text = request.match_info["task_id"]
        if not _TASK_ID.fullmatch(text):
            raise web.HTTPBadRequest(text="a task is named by its number\n")
        return int(text)


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    if text and not _TASK_ID.fullmatch(text):
        raise web.HTTPBadRequest(text=f"{name} must be a number\n")
    return int(text) if text else default
