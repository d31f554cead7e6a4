"""Fetches named bytes over HTTP into the store, from whichever of several URLs has them.

URLs come from strangers: redirects are followed by hand, and addresses that aren't public are refused unless the
operator allows them, so that nobody can aim a prover at its own network.
"""

from __future__ import annotations

import asyncio
import ipaddress
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from prover_node.duties import FileRef
from prover_node.storage import BlobSink, BlobStore, StoreError, WrongContentError

_CHUNK = 1 << 18
_REDIRECTS_MAX = 5
_REFUSALS_MAX = 3
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 4.0


class FetchError(Exception):
    """The file can't be had; one sentence says from where and why."""


class _RefusedError(Exception):
    """This URL answered with something that is hardly going to change."""


class _UselessError(Exception):
    """This URL can't ever serve the file."""


@dataclass(slots=True)
class _Source:
    url: str
    refusals: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Which addresses are allowed; ``idle_timeout_s`` bounds a silence in a download."""

    allow_private: bool = False
    idle_timeout_s: float = 30.0


class Fetcher:
    """Brings files into ``store``. Use as an async context manager."""

    def __init__(self, store: BlobStore, policy: FetchPolicy) -> None:
        self._store = store
        self._policy = policy
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        resolver = None if self._policy.allow_private else _PublicResolver()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=self._policy.idle_timeout_s)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver, limit=32),
            timeout=timeout,
            # Stored bytes are named by their hash: what a server packs on the way must not be unpacked.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "proofmill-prover"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def fetch(self, ref: FileRef, patience_s: float) -> None:
        """Make sure that the store has ``ref``; raises FetchError, or StoreError when this machine is at fault.

        Servers that don't answer are asked again for ``patience_s``; a refusal or wrong bytes are believed much sooner.
        """
        async with self._locks.setdefault(ref.sha256, asyncio.Lock()):
            if self._store.find(ref.sha256) is not None:
                return
            if ref.inline is not None:
                await self._take_inline(ref, ref.inline)
            else:
                await self._download(ref, patience_s)

    async def _take_inline(self, ref: FileRef, data: bytes) -> None:
        try:
            async with self._store.receive(ref.sha256, ref.size) as sink:
                sink.write(data)
        except WrongContentError as error:
            raise FetchError(f"the inline {_name(ref)} is not what it says: {error}") from error

    async def _download(self, ref: FileRef, patience_s: float) -> None:
        sources = [_Source(url) for url in ref.urls]
        given_up: list[_Source] = []
        loop = asyncio.get_running_loop()
        end = loop.time() + patience_s
        pause = _FIRST_PAUSE_S
        while sources:
            for source in list(sources):
                try:
                    await self._get(source.url, ref)
                except (_UselessError, aiohttp.InvalidURL) as error:
                    source.why, source.refusals = str(error), _REFUSALS_MAX
                except _RefusedError as error:
                    source.why = str(error)
                    source.refusals += 1
                except (aiohttp.ClientError, TimeoutError) as error:
                    source.why = str(error) or type(error).__name__
                else:
                    return
                if source.refusals >= _REFUSALS_MAX:
                    sources.remove(source)
                    given_up.append(source)
            if loop.time() + pause > end:
                break
            if sources:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
        tried = "; ".join(f"{source.url}: {source.why}" for source in (*given_up, *sources))
        raise FetchError(f"the {_name(ref)} can't be fetched ({tried or 'no URL is given'})")

    async def _get(self, url: str, ref: FileRef) -> None:
        for _ in range(_REDIRECTS_MAX + 1):
            self._check(url)
            if self._http is None:
                raise RuntimeError("the fetcher is used outside of its context")
            async with self._http.get(url, allow_redirects=False) as response:
                if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                    url = urljoin(url, response.headers["Location"])
                    continue
                await self._take(response, ref)
                return
        raise _RefusedError(f"more than {_REDIRECTS_MAX} redirects")

    async def _take(self, response: aiohttp.ClientResponse, ref: FileRef) -> None:
        if response.status in (408, 425, 429) or response.status >= 500:
            raise aiohttp.ClientError(f"the server answers {response.status}")
        if response.status != 200:
            raise _RefusedError(f"the server answers {response.status}")
        if response.content_length not in (None, ref.size):
            raise _UselessError(f"it has {response.content_length} bytes instead of the {ref.size} stated")
        try:
            async with self._store.receive(ref.sha256, ref.size) as sink:
                await _pour(response, sink)
        except WrongContentError as error:
            raise _UselessError(str(error)) from error

    def _check(self, url: str) -> None:
        """Refuse what can't or must not be fetched; host names are judged by the resolver."""
        try:
            parts = urlsplit(url)
            host, scheme = parts.hostname, parts.scheme
        except ValueError as error:
            raise _UselessError(f"not a URL: {error}") from error
        if scheme not in ("http", "https") or not host:
            raise _UselessError("only http and https URLs can be fetched")
        address = None
        with suppress(ValueError):
            address = ipaddress.ip_address(host)
        if address is not None and not self._policy.allow_private and not address.is_global:
            raise _UselessError(f"{address} is not a public address, and this node fetches from no other")


@dataclass
class _PublicResolver(AbstractResolver):
    """Resolves host names to public addresses only."""

    inner: AbstractResolver = field(default_factory=aiohttp.ThreadedResolver)

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        found = await self.inner.resolve(host, port, family)
        public = [one for one in found if ipaddress.ip_address(one["host"].split("%")[0]).is_global]
        if not public:
            raise OSError(None, f"{host} has no public address, and this node fetches from no other")
        return public

    async def close(self) -> None:
        await self.inner.close()


async def _pour(response: aiohttp.ClientResponse, sink: BlobSink) -> None:
    async for chunk in response.content.iter_chunked(_CHUNK):
        try:
            sink.write(chunk)
        except OSError as error:
            raise StoreError(f"the store can't be written: {error}") from error


def _name(ref: FileRef) -> str:
    return f"{ref.kind.value} {ref.name}" if ref.name else ref.kind.value
