"""Fetches named bytes over HTTP into the store, from whichever of several URLs has them."""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from prover_node.duties import FileRef
from prover_node.public_http import CHUNK, FetchPolicy, PublicHttp, RefusedError, UselessError, expect_success
from prover_node.registry import pull_image
from prover_node.storage import BlobStore, WrongContentError
from prover_node.transfers import TransferRate

_REFUSALS_MAX = 3
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 4.0


class FetchError(Exception):
    """The file can't be had; one sentence says from where and why."""


@dataclass(slots=True)
class _Source:
    url: str
    refusals: int = 0
    why: str = ""


class Fetcher:
    """Brings files into ``store``. Use as an async context manager."""

    def __init__(self, store: BlobStore, policy: FetchPolicy) -> None:
        self._store = store
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._http = PublicHttp(policy)
        self.rate = TransferRate()

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def fetch(self, ref: FileRef, patience_s: float) -> None:
        """Make sure that the store has ``ref``; raises FetchError, or StoreError or OSError for this machine's fault.

        Servers that don't answer are asked again for ``patience_s``; a refusal or wrong bytes are believed much sooner.
        """
        async with self._locks.setdefault(ref.key, asyncio.Lock()):
            if self._store.find(ref.key) is not None:
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
                except (UselessError, aiohttp.InvalidURL) as error:
                    source.why, source.refusals = str(error), _REFUSALS_MAX
                except RefusedError as error:
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
        started = asyncio.get_running_loop().time()
        try:
            if ref.in_registry:
                await pull_image(self._http, self._store, url, ref)
            else:
                await self._take(url, ref)
        except WrongContentError as error:
            raise UselessError(str(error)) from error
        self.rate.observe(ref.size, asyncio.get_running_loop().time() - started)

    async def _take(self, url: str, ref: FileRef) -> None:
        async with self._http.get(url) as response:
            expect_success(response)
            if response.content_length not in (None, ref.size):
                raise UselessError(f"it has {response.content_length} bytes instead of the {ref.size} stated")
            async with self._store.receive(ref.sha256, ref.size) as sink:
                async for chunk in response.content.iter_chunked(CHUNK):
                    sink.write(chunk)


def _name(ref: FileRef) -> str:
    return f"{ref.kind.value} {ref.name}" if ref.name else ref.kind.value
