"""Fetching by hash from real HTTP servers on loopback that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import ipaddress
import math
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
from prover_node.public_http import FetchPolicy, is_public
from prover_node.storage import BlobStore
from prover_node.store_errors import StoreError

DATA = b"proving key " * 1000
HALF = len(DATA) // 2
PATIENCE_S = 5.0
DIGEST = hashlib.sha256(DATA).hexdigest()


@dataclass
class Files:
    """A server of files and faults, each a method named like its path.

    Remembers what it was asked for: names, and name, Range and If-Range of those that were given a range.
    """

    url: str = ""
    asked: list[str] = field(default_factory=list)
    ranges: list[tuple[str, str, str]] = field(default_factory=list)
    changed: bool = False
    gone_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.path.removeprefix("/")
        self.asked.append(name)
        if "Range" in request.headers:
            self.ranges.append((name, request.headers["Range"], request.headers.get("If-Range", "")))
        method = getattr(self, name.replace("-", "_"), None)
        if method is None:
            raise web.HTTPNotFound
        response: web.StreamResponse = await method(request)
        return response

    def first(self, request: web.Request) -> bool:
        return self.asked.count(request.path.removeprefix("/")) == 1

    async def good(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=DATA)

    async def slow_start(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=503) if self.asked.count("slow-start") < 3 else web.Response(body=DATA)

    async def wrong(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=DATA[:-1] + b"X")

    async def short(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=DATA[:-1])

    async def moved(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/good")

    async def circle(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/circle")

    async def inward(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("file:///etc/passwd")

    async def to(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(request.query["url"])

    async def said_to_be_packed(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=DATA, headers={"Content-Encoding": "gzip"})

    async def packed(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=gzip.compress(DATA), headers={"Content-Encoding": "gzip"})

    async def packed_in_chunks(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        await response.write(gzip.compress(DATA))
        return response

    async def garbage(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"garbage " * 10_000)
        request.transport.close()
        return web.Response()

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(bytes(1 << 16))
        return response

    async def cut(self, request: web.Request) -> web.StreamResponse:
        return await self.send(request, DATA, {}, upto=100)

    async def cut_once(self, request: web.Request) -> web.StreamResponse:
        """And it doesn't know ranges."""
        return await self.send(request, DATA, {}, upto=HALF if self.first(request) else None)

    async def resumable(self, request: web.Request) -> web.StreamResponse:
        return await self.send_rest(request, DATA)

    async def resumable_when_cut(self, request: web.Request) -> web.StreamResponse:
        return await self.send_rest(request, DATA, upto=HALF if self.first(request) else None)

    async def lying_when_cut(self, request: web.Request) -> web.StreamResponse:
        return await self.send_rest(request, b"#" * len(DATA), upto=HALF if self.first(request) else None)

    async def changing(self, request: web.Request) -> web.StreamResponse:
        """Another file is there at first."""
        if self.first(request):
            return await self.send_rest(request, b"#" * len(DATA), upto=HALF)
        self.changed = True
        return await self.send_rest(request, DATA)

    async def other_range(self, request: web.Request) -> web.StreamResponse:
        if "Range" not in request.headers:
            return web.Response(body=DATA)
        headers = {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}
        return web.Response(status=206, body=DATA, headers=headers)

    async def unasked_range(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=206, body=DATA)

    async def no_more(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=416) if "Range" in request.headers else web.Response(body=DATA)

    async def hanging(self, request: web.Request) -> web.StreamResponse:
        await self.gone_on.wait()
        return web.Response(body=DATA)

    async def dripping(self, request: web.Request) -> web.StreamResponse:
        return await self.drip(request, 1)

    async def steady(self, request: web.Request) -> web.StreamResponse:
        return await self.drip(request, 1000)

    async def drip(self, request: web.Request, at_once: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(DATA))})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for index in range(0, len(DATA), at_once):
                await response.write(DATA[index : index + at_once])
                await asyncio.sleep(0 if self.gone_on.is_set() else 0.02)
        return response

    async def send_rest(self, request: web.Request, data: bytes, *, upto: int | None = None) -> web.StreamResponse:
        """What is asked for of ``data``, if it is still the same."""
        etag = '"2"' if self.changed else '"1"'
        if "Range" not in request.headers or request.headers.get("If-Range", etag) != etag:
            return await self.send(request, data, {"ETag": etag}, upto=upto)
        begin = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        headers = {"ETag": etag, "Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}
        return await self.send(request, data[begin:], headers, status=206, upto=upto)

    async def send(
        self, request: web.Request, body: bytes, headers: dict[str, str], *, status: int = 200, upto: int | None
    ) -> web.StreamResponse:
        """Only ``upto`` bytes before the connection breaks, if that is a number."""
        response = web.StreamResponse(status=status, headers=headers | {"Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[:upto])
        if upto is not None and request.transport is not None:
            request.transport.close()
        return response


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prover_node.fetcher._FIRST_PAUSE_S", 0.01)


@pytest.fixture
async def files() -> AsyncIterator[Files]:
    served = Files()
    app = web.Application()
    app.router.add_get("/{name:.*}", served.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = site.name
    host, port = runner.addresses[0][:2]
    served.url = f"http://{host}:{port}"
    yield served
    served.gone_on.set()
    await runner.cleanup()


def ref(*urls: str, inline: bytes | None = None, digest: str = DIGEST, size: int = len(DATA)) -> FileRef:
    return FileRef(FileKind.INPUT, "key.bin", digest, size, urls, inline)


@asynccontextmanager
async def fetching(root: Path, *, allow_private: bool = True, **policy: Any) -> AsyncIterator[Fetcher]:
    store = BlobStore(root, 1 << 20)
    async with Fetcher(store, FetchPolicy(allow_private, **policy)) as fetcher:
        yield fetcher


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def fetched(root: Path, wanted: FileRef, **policy: Any) -> bytes:
    async with fetching(root, **policy) as fetcher:
        await fetcher.fetch(wanted, PATIENCE_S)
    return (root / wanted.sha256[:2] / wanted.sha256).read_bytes()


@pytest.mark.parametrize("name", ["good", "slow-start", "moved", "said-to-be-packed"])
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
        ("unasked-range", "the server answers 206"),
        ("packed", r"it has \d+ bytes instead of the 12000 stated"),
        ("packed-in-chunks", r"\d+ bytes came instead of the 12000 stated; it is sent with the content encoding gzip"),
    ],
)
async def test_what_cannot_be_had_is_said_with_the_reason(files: Files, tmp_path: Path, name: str, why: str) -> None:
    async with fetching(tmp_path) as fetcher:
        with pytest.raises(FetchError, match=f"the input key.bin can't be fetched .*{why}"):
            await fetcher.fetch(ref(f"{files.url}/{name}"), PATIENCE_S)
    assert files_below(tmp_path) == []


async def test_a_download_that_was_cut_goes_on_where_it_was(files: Files, tmp_path: Path) -> None:
    assert await fetched(tmp_path, ref(f"{files.url}/resumable-when-cut")) == DATA
    assert files.ranges == [("resumable-when-cut", "bytes=6000-", '"1"')]


async def test_a_download_goes_on_in_the_next_process(files: Files, tmp_path: Path) -> None:
    wanted = ref(f"{files.url}/resumable-when-cut")
    async with fetching(tmp_path, least_bytes_per_s=1 << 30) as fetcher:
        with pytest.raises(FetchError):
            await fetcher.fetch(wanted, 0)
    assert await fetched(tmp_path, wanted) == DATA
    assert files.ranges == [("resumable-when-cut", "bytes=6000-", '"1"')]


async def test_a_download_goes_on_from_another_server_whose_tag_is_another(files: Files, tmp_path: Path) -> None:
    assert await fetched(tmp_path, ref(f"{files.url}/cut", f"{files.url}/resumable")) == DATA
    assert files.ranges == [("resumable", "bytes=100-", "")]


async def test_a_server_without_ranges_sends_it_all_again(files: Files, tmp_path: Path) -> None:
    assert await fetched(tmp_path, ref(f"{files.url}/cut-once")) == DATA
    assert files.ranges == [("cut-once", "bytes=6000-", "")]


async def test_a_file_that_changed_in_the_middle_is_begun_anew(files: Files, tmp_path: Path) -> None:
    assert await fetched(tmp_path, ref(f"{files.url}/changing")) == DATA
    assert files.ranges == [("changing", "bytes=6000-", '"1"')]
    assert files.asked == ["changing", "changing"]


async def test_wrong_bytes_before_a_cut_are_not_blamed_on_the_server_that_sends_the_rest(
    files: Files, tmp_path: Path
) -> None:
    assert await fetched(tmp_path, ref(f"{files.url}/lying-when-cut", f"{files.url}/resumable")) == DATA
    assert files.asked == ["lying-when-cut", "resumable", "resumable"]


@pytest.mark.parametrize("name", ["other-range", "no-more"])
async def test_a_server_that_does_not_understand_ranges_is_asked_for_all_of_it(
    files: Files, tmp_path: Path, name: str
) -> None:
    assert await fetched(tmp_path, ref(f"{files.url}/cut-once", f"{files.url}/{name}")) == DATA
    assert files.ranges[0] == (name, "bytes=6000-", "")


async def test_a_hanging_server_is_left_for_the_next(files: Files, tmp_path: Path) -> None:
    urls = (f"{files.url}/hanging", f"{files.url}/dripping", f"{files.url}/good")
    assert await fetched(tmp_path, ref(*urls), switch_after_s=0.3) == DATA
    assert files.asked[:2] == ["hanging", "dripping"]


@pytest.mark.parametrize("name", ["hanging", "dripping"])
async def test_the_only_server_is_given_up_when_it_is_too_slow(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("prover_node.patience._LEAST_S", 0.3)
    async with fetching(tmp_path) as fetcher:
        with pytest.raises(FetchError, match=r"too slow, \d+ bytes came"):
            await fetcher.fetch(ref(f"{files.url}/{name}"), 0)


async def test_no_server_is_waited_for_longer_than_there_is_time(files: Files, tmp_path: Path) -> None:
    async with fetching(tmp_path, least_bytes_per_s=1) as fetcher:
        with pytest.raises(FetchError, match=r"too slow, \d+ bytes came"):
            await fetcher.fetch(ref(f"{files.url}/dripping"), math.inf, 0.3)


async def test_a_large_file_may_take_as_long_as_its_bytes_come(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prover_node.patience._LEAST_S", 0.0)
    async with fetching(tmp_path, least_bytes_per_s=100) as fetcher:
        await fetcher.fetch(ref(f"{files.url}/steady"), 0.1)


async def test_a_size_that_the_chain_has_wrong_is_the_same_error_where_the_file_is_here_already(
    files: Files, tmp_path: Path
) -> None:
    async with fetching(tmp_path) as fetcher:
        await fetcher.fetch(ref(f"{files.url}/good"), PATIENCE_S)
        with pytest.raises(FetchError, match="has 12000 bytes instead of the 11 stated"):
            await fetcher.fetch(ref(f"{files.url}/good", size=11), PATIENCE_S)


async def test_what_a_server_says_is_not_repeated_at_length(files: Files, tmp_path: Path) -> None:
    async with fetching(tmp_path) as fetcher:
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(ref(f"{files.url}/garbage"), 0)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


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


async def asked_for(files: Files, name: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while name not in files.asked:  # noqa: ASYNC110 - there is nothing to wait for
            await asyncio.sleep(0.01)


async def test_who_wants_a_file_that_comes_slowly_for_another_brings_a_better_url(files: Files, tmp_path: Path) -> None:
    async with fetching(tmp_path, switch_after_s=0.3) as fetcher:
        first = asyncio.create_task(fetcher.fetch(ref(f"{files.url}/hanging"), math.inf))
        await asked_for(files, "hanging")
        await fetcher.fetch(ref(f"{files.url}/good"), PATIENCE_S)
        await first
    assert files.asked[-1] == "good"


async def test_who_wants_a_file_that_comes_slowly_for_another_waits_no_longer_than_there_is_time(
    files: Files, tmp_path: Path
) -> None:
    async with fetching(tmp_path) as fetcher:
        first = asyncio.create_task(fetcher.fetch(ref(f"{files.url}/hanging"), math.inf))
        await asked_for(files, "hanging")
        with pytest.raises(FetchError, match="is still being fetched for another task"):
            await fetcher.fetch(ref(f"{files.url}/hanging"), PATIENCE_S, 0.1)
        files.gone_on.set()
        await first
    assert files.asked == ["hanging"]


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


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f::1", True),
        ("64:ff9b::5db8:d70e", True),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - nothing listens there
        ("224.0.0.1", False),
        ("fd00::1", False),
        ("fe80::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_an_address_is_judged_by_where_its_packets_end(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


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
