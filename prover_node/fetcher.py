"""Fetches named bytes over HTTP into the store, from whichever of several URLs has them."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from prover_node.duties import FileRef
from prover_node.file_transfer import MixedError, take_file
from prover_node.patience import Patience, TooSlowError
from prover_node.public_http import FetchPolicy, PublicHttp, RefusedError, UselessError
from prover_node.registry import pull_image
from prover_node.storage import BlobStore
from prover_node.store_errors import WrongContentError
from prover_node.transfers import TransferRate

_REFUSALS_MAX = 3
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 4.0
_SOURCES_MAX = 32
# The chain keeps 256 bytes of it all.
_URL_MAX = 100
_REASON_MAX = 200


class FetchError(Exception):
    """The file can't be had; one sentence says from where and why."""


@dataclass(slots=True)
class _Source:
    url: str
    refusals: int = 0
    why: str = "not tried"
    trying: bool = False


@dataclass(slots=True)
class _Download:
    """One that is under way."""

    sources: list[_Source]
    patience: Patience

    def join(self, urls: Sequence[str], switch_after_s: float) -> None:
        """Another task wants the same file and names these URLs, which may be better than the first one's."""
        known = {source.url for source in self.sources}
        more = [_Source(url) for url in urls if url not in known]
        if more and len(self.sources) + len(more) <= _SOURCES_MAX:
            self.sources += more
            self.patience.hurry(switch_after_s)


class Fetcher:
    """Brings files into ``store``. Use as an async context manager."""

    def __init__(self, store: BlobStore, policy: FetchPolicy) -> None:
        self._store = store
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._policy = policy
        self._http = PublicHttp(policy)
        self._downloads: dict[str, _Download] = {}
        self.rate = TransferRate()

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def fetch(self, ref: FileRef, patience_s: float, within_s: float = math.inf) -> None:
        """Make sure that the store has ``ref``; raises FetchError, or StoreError or OSError for this machine's fault.

        Servers that don't answer are asked again for ``patience_s``, and longer while bytes come, but never beyond
        ``within_s``; a refusal or wrong bytes are believed much sooner.
        """
        download = self._downloads.get(ref.key)
        if download is not None:
            download.join(ref.urls, self._policy.switch_after_s)
        started = asyncio.get_running_loop().time()
        async with self._turn(ref, within_s):
            within_s -= asyncio.get_running_loop().time() - started
            found = self._store.find(ref.key)
            if found is not None:
                _check_size(ref, found)
                return
            if ref.inline is not None:
                await self._take_inline(ref, ref.inline)
            else:
                await self._download(ref, patience_s, within_s)

    @asynccontextmanager
    async def _turn(self, ref: FileRef, within_s: float) -> AsyncIterator[None]:
        """Nobody else fetches this file."""
        lock = self._locks.setdefault(ref.key, asyncio.Lock())
        try:
            async with asyncio.timeout(None if math.isinf(within_s) else within_s):
                await lock.acquire()
        except TimeoutError as error:
            raise FetchError(f"the {_name(ref)} is still being fetched for another task") from error
        try:
            yield
        finally:
            lock.release()

    async def _take_inline(self, ref: FileRef, data: bytes) -> None:
        try:
            async with self._store.receive(ref.sha256, ref.size) as sink:
                sink.write(data)
        except WrongContentError as error:
            raise FetchError(f"the inline {_name(ref)} is not what it says: {error}") from error

    async def _download(self, ref: FileRef, patience_s: float, within_s: float) -> None:
        sources = [_Source(url) for url in ref.urls]
        patience = Patience(patience_s, within_s, ref.size, self._policy.least_bytes_per_s)
        self._downloads[ref.key] = _Download(sources, patience)
        try:
            async with patience.limit():
                if await self._try_in_turn(ref, sources, patience):
                    return
        except TimeoutError:
            for source in sources:
                if source.trying:
                    source.why = f"too slow, {patience.came} bytes came in {patience.seconds:.0f} s"
        finally:
            del self._downloads[ref.key]
        tried = "; ".join(f"{_clip(source.url, _URL_MAX)}: {source.why}" for source in sources)
        raise FetchError(f"the {_name(ref)} can't be fetched ({tried or 'no URL is given'})")

    async def _try_in_turn(self, ref: FileRef, sources: Sequence[_Source], patience: Patience) -> bool:
        """Whether it was had in the end; if not, each source says why."""
        pause = _FIRST_PAUSE_S
        while left := [source for source in sources if source.refusals < _REFUSALS_MAX]:
            for source in left:
                others = any(one is not source and one.refusals < _REFUSALS_MAX for one in sources)
                if await self._try(ref, source, patience, self._policy.switch_after_s if others else None):
                    return True
            if not patience.lasts_for(pause):
                break
            if any(source.refusals < _REFUSALS_MAX for source in left):
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
        return False

    async def _try(self, ref: FileRef, source: _Source, patience: Patience, window_s: float | None) -> bool:
        source.trying = True
        try:
            async with patience.attempt(window_s):
                await self._get(source.url, ref, patience)
        except (UselessError, aiohttp.InvalidURL) as error:
            source.why, source.refusals = _brief(str(error)), _REFUSALS_MAX
        except RefusedError as error:
            source.why = str(error)
            source.refusals += 1
        except (aiohttp.ClientError, TimeoutError, TooSlowError) as error:
            source.why = _brief(str(error)) or type(error).__name__
        else:
            return True
        source.trying = False
        return False

    async def _get(self, url: str, ref: FileRef, patience: Patience) -> None:
        started, before = asyncio.get_running_loop().time(), patience.came
        if ref.in_registry:
            try:
                await pull_image(self._http, self._store, url, ref, patience.earn)
            except WrongContentError as error:
                raise UselessError(str(error)) from error
        else:
            await self._take(url, ref, patience)
        self.rate.observe(patience.came - before, asyncio.get_running_loop().time() - started)

    async def _take(self, url: str, ref: FileRef, patience: Patience) -> None:
        try:
            await take_file(self._http, self._store, url, ref, patience.earn)
        except MixedError:
            # Whose bytes were wrong isn't known; those of one server alone tell.
            await take_file(self._http, self._store, url, ref, patience.earn)


def _check_size(ref: FileRef, found: Path) -> None:
    """Every node shall say the same of a file of which the chain states another size than it has."""
    size = found.stat().st_size
    if not ref.in_registry and size != ref.size:
        raise FetchError(f"the {_name(ref)} has {size} bytes instead of the {ref.size} stated")


def _brief(reason: str) -> str:
    """One line: what a server sends ends up in some reasons."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(reason[:1000].split()))
    return _clip(line, _REASON_MAX)


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def _name(ref: FileRef) -> str:
    return f"{ref.kind.value} {ref.name}" if ref.name else ref.kind.value
