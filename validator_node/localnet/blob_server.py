"""A small content-addressed file server for a localnet's inputs: PUT, GET and HEAD at /blobs/<sha256>.

Whoever can reach it may store files, so it listens on loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import click
from aiohttp import web

from validator_node.localnet.layout import LOOPBACK
from validator_node.services.listen import ServerError, listen

MAX_BLOB_BYTES = 4 << 30
MAX_STORE_BYTES = 64 << 30

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 18


class BlobStore:
    """Files of one folder, each under its own sha256; what doesn't match its name never gets there."""

    def __init__(self, folder: Path, *, max_blob: int = MAX_BLOB_BYTES, max_store: int = MAX_STORE_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._max_blob = max_blob
        self._max_store = max_store
        for unfinished in folder.glob(".upload-*"):
            unfinished.unlink()
        self._stored = sum(file.stat().st_size for file in folder.iterdir())

    def path(self, digest: str) -> Path:
        """Where a blob lies if it is there. Raises HTTP 400 for what isn't a sha256 in lower-case hex."""
        if _DIGEST.fullmatch(digest) is None:
            raise web.HTTPBadRequest(text=f"{digest[:80]!r} isn't a sha256 in 64 lower-case hexadecimal digits\n")
        return self._folder / digest

    async def put(self, digest: str, content: AsyncIterator[bytes]) -> bool:
        """Store a blob; False if it was there. Raises HTTP 400 if its hash is another, 413 if it is too large."""
        target = self.path(digest)
        if target.exists():
            return False
        hasher = hashlib.sha256()
        size = 0
        with tempfile.NamedTemporaryFile(prefix=".upload-", dir=self._folder, delete=False) as file:
            upload = Path(file.name)
            try:
                async for chunk in content:
                    size += len(chunk)
                    self._require_room(size)
                    hasher.update(chunk)
                    file.write(chunk)
                _require_digest(digest, hasher.hexdigest())
                file.flush()
                upload.rename(target)  # noqa: ASYNC240  (a rename doesn't block)
            except BaseException:
                upload.unlink(missing_ok=True)  # noqa: ASYNC240  (nor does this)
                raise
        self._stored += size
        return True

    def _require_room(self, size: int) -> None:
        limit = min(self._max_blob, self._max_store - self._stored)
        if size > limit:
            raise web.HTTPRequestEntityTooLarge(limit, size, text=f"more than {limit} bytes don't fit here\n")


def _require_digest(named: str, actual: str) -> None:
    if actual != named:
        raise web.HTTPBadRequest(text=f"the sha256 of these bytes is {actual}\n")


def make_app(store: BlobStore) -> web.Application:
    """The HTTP application over a store."""

    async def put(request: web.Request) -> web.Response:
        stored = await store.put(request.match_info["digest"], request.content.iter_chunked(_CHUNK))
        return web.Response(status=201 if stored else 200)

    async def get(request: web.Request) -> web.StreamResponse:
        path = store.path(request.match_info["digest"])
        if not path.is_file():
            raise web.HTTPNotFound(text="no such blob\n")
        return web.FileResponse(path, headers={"Content-Type": "application/octet-stream"})

    async def health(request: web.Request) -> web.Response:
        del request  # there is but one answer
        return web.Response(text="ok\n")

    app = web.Application()
    app.router.add_put("/blobs/{digest}", put)
    app.router.add_get("/blobs/{digest}", get)  # HEAD as well
    app.router.add_get("/health", health)
    return app


async def serve(folder: Path, port: int) -> None:
    """Serve on loopback until SIGTERM or SIGINT. Raises ServerError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        runner = await listen(make_app(BlobStore(folder)), f"{LOOPBACK}:{port}", "blob")
        stack.push_async_callback(runner.cleanup)
        await stop.wait()


@click.command()
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--port", type=click.IntRange(1, 65_535), required=True)
def main(folder: Path, port: int) -> None:
    """Serve a folder of blobs on loopback."""
    try:
        asyncio.run(serve(folder, port))
    except ServerError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
