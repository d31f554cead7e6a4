"""Fetching by hash from real HTTP servers on loopback that misbehave."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import ResolveResult

from prover_node.duties import FileKind, FileRef
from prover_node.fetcher import Fetcher, FetchError
from prover_node.public_http import FetchPolicy
from prover_node.storage import BlobStore, StoreError

DATA = b"proving key " * 1000
PATIENCE_S = 5.0
DIGEST = hashlib.sha256(DATA).hexdigest()


@dataclass
class Files:
    """A server of files and faults, and how often it was asked for each."""

    url: str = ""
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.path.removeprefix("/")
        self.asked.append(name)
        match name:
            case "good":
                return web.Response(body=DATA)
            case "slow-start":
                return web.Response(status=503) if self.asked.count(name) < 3 else web.Response(body=DATA)
            case "wrong":
                return web.Response(body=DATA[:-1] + b"X")
            case "short":
                return web.Response(body=DATA[:-1])
            case "endless":
                return await self._endless(request)
            case "cut":
                return await self._cut(request)
            case "moved":
                raise web.HTTPFound("/good")
            case "circle":
                raise web.HTTPFound("/circle")
            case "inward":
                raise web.HTTPFound("file:///etc/passwd")
            case "to":
                raise web.HTTPFound(request.query["url"])
            case "gzip":
                return web.Response(body=DATA, headers={"Content-Encoding": "gzip"})
        raise web.HTTPNotFound

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(1 << 16))
        except ConnectionError:
            return response

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(DATA))})
        await response.prepare(request)
        await response.write(DATA[:100])
        if request.transport is not None:
            request.transport.abort()
        return response


@pytest.fixture
async def files() -> AsyncIterator[Files]:
    served = Files()
    app = web.Application()
    app.router.add_get("/{name:.*}", served.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = site.name
    host, port = runner.addresses[0][:2]
    served.url = f"http://{host}:{port}"
    yield served
    await runner.cleanup()


def ref(*urls: str, inline: bytes | None = None, digest: str = DIGEST, size: int = len(DATA)) -> FileRef:
    return FileRef(FileKind.INPUT, "key.bin", digest, size, urls, inline)


@asynccontextmanager
async def fetching(root: Path, *, allow_private: bool = True) -> AsyncIterator[Fetcher]:
    store = BlobStore(root, 1 << 20)
    async with Fetcher(store, FetchPolicy(allow_private)) as fetcher:
        yield fetcher


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def fetched(root: Path, wanted: FileRef) -> bytes:
    async with fetching(root) as fetcher:
        await fetcher.fetch(wanted, PATIENCE_S)
    return (root / wanted.sha256[:2] / wanted.sha256).read_bytes()


@pytest.mark.parametrize("name", ["good", "slow-start", "moved", "gzip"])
async def test_the_right_bytes_arrive(files: Files, tmp_path: Path, name: str) -> None:
    assert await fetched(tmp_path, ref(f"{files.url}/{name}")) == DATA


async def test_one_good_url_among_bad_ones_is_enough(files: Files, tmp_path: Path) -> None:
    names = ("wrong", "missing", "short", "endless", "cut", "inward", "good")
    assert await fetched(tmp_path, ref(*(f"{files.url}/{name}" for name in names))) == DATA


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("wrong", "the bytes have the sha256"),
        ("short", "it has 11999 bytes instead of the 12000 stated"),
        ("endless", "more than the 12000 bytes stated"),
        ("missing", "the server answers 404"),
        ("circle", "more than 5 redirects"),
        ("inward", "only http and https URLs"),
    ],
)
async def test_what_cannot_be_had_is_said_with_the_reason(files: Files, tmp_path: Path, name: str, why: str) -> None:
    async with fetching(tmp_path) as fetcher:
        with pytest.raises(FetchError, match=f"the input key.bin can't be fetched .*{why}"):
            await fetcher.fetch(ref(f"{files.url}/{name}"), PATIENCE_S)
    assert files_below(tmp_path) == []


async def test_a_wrong_file_is_not_asked_for_again(files: Files, tmp_path: Path) -> None:
    async with fetching(tmp_path) as fetcher:
        with pytest.raises(FetchError):
            await fetcher.fetch(ref(f"{files.url}/wrong"), PATIENCE_S)
    assert files.asked == ["wrong"]


async def test_an_unreachable_server_is_given_up_in_the_end(tmp_path: Path) -> None:
    async with fetching(tmp_path) as fetcher:
        with pytest.raises(FetchError, match=r"127\.0\.0\.1:9"):
            await fetcher.fetch(ref("http://127.0.0.1:9/file"), 0)


async def test_no_url_at_all(tmp_path: Path) -> None:
    async with fetching(tmp_path) as fetcher:
        with pytest.raises(FetchError, match="no URL is given"):
            await fetcher.fetch(ref(), PATIENCE_S)


async def test_a_file_is_fetched_once_for_many(files: Files, tmp_path: Path) -> None:

    async with fetching(tmp_path) as fetcher:
        await asyncio.gather(*(fetcher.fetch(ref(f"{files.url}/good"), PATIENCE_S) for _ in range(5)))
    assert files.asked == ["good"]


async def test_inline_bytes_are_checked_too(tmp_path: Path) -> None:
    assert await fetched(tmp_path, ref(inline=DATA)) == DATA
    async with fetching(tmp_path / "other") as fetcher:
        with pytest.raises(FetchError, match=r"the inline input key\.bin is not what it says"):
            await fetcher.fetch(ref(inline=DATA[:-1] + b"X"), PATIENCE_S)


async def test_an_empty_inline_file(tmp_path: Path) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    assert await fetched(tmp_path, ref(inline=b"", digest=empty, size=0)) == b""


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_private_addresses_are_refused_unless_allowed(files: Files, tmp_path: Path, host: str) -> None:
    port = files.url.rpartition(":")[2]
    async with fetching(tmp_path, allow_private=False) as fetcher:
        with pytest.raises(FetchError, match="public address"):
            await fetcher.fetch(ref(f"http://{host}:{port}/good"), 0)
    assert files.asked == []


class EverywhereIsHere(aiohttp.ThreadedResolver):
    """Public DNS for a test: every name is this machine's."""

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        return await super().resolve("127.0.0.1", port, family)


@pytest.mark.parametrize("inward", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]"])
async def test_a_public_server_cannot_redirect_to_a_private_address(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inward: str
) -> None:
    monkeypatch.setattr("prover_node.public_http._PublicResolver", EverywhereIsHere)
    port = files.url.rpartition(":")[2]
    async with fetching(tmp_path, allow_private=False) as fetcher:
        with pytest.raises(FetchError, match="is not a public address"):
            await fetcher.fetch(ref(f"http://public.example:{port}/to?url=http://{inward}:{port}/good"), 0)
        await fetcher.fetch(ref(f"http://public.example:{port}/to?url=http://mirror.example:{port}/good"), 0)
    assert files.asked == ["to", "to", "good"]


async def test_a_full_store_is_this_machines_fault(files: Files, tmp_path: Path) -> None:
    async with Fetcher(BlobStore(tmp_path, 10), FetchPolicy(allow_private=True)) as fetcher:
        with pytest.raises(StoreError, match="max_bytes"):
            await fetcher.fetch(ref(f"{files.url}/good"), PATIENCE_S)
