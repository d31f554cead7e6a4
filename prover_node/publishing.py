"""Copies the node's proofs to where its operator wants them served from, beside the node itself.

In the background and until it succeeds, or the proof needn't be kept any more. Nothing waits for it but a proof's
submission, and that for a moment: the chain keeps the URLs that are named then.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from pathlib import Path

import aiohttp
import structlog

from prover_node.public_http import FetchPolicy, PublicHttp, RefusedError, UselessError
from prover_node.push_target import PushTarget, read_options, secrets_in
from prover_node.settings import PublishSettings
from prover_node.storage import BlobStore

_AT_ONCE = 2
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 300.0
# Share of the time until the deadline that a submission may wait.
_SPARE_SHARE = 4

log = structlog.get_logger("prover.publishing")


class Publishing:
    """``home`` is the folder that ``settings.options_file`` is relative to. Without a push URL it does nothing.

    Raises ClientError when the place can't be used at all.
    """

    def __init__(self, settings: PublishSettings, home: Path, store: BlobStore) -> None:
        self._settings = settings
        self._store = store
        self._secrets: tuple[str, ...] = ()
        self._target: PushTarget | None = None
        if settings.push_url:
            options = read_options(home / settings.options_file) if settings.options_file else {}
            self._secrets = tuple(secrets_in(options))
            self._target = PushTarget(settings.push_url, options)
        self._http = PublicHttp(FetchPolicy(allow_private=True, idle_timeout_s=10))
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._copied: dict[str, asyncio.Event] = {}

    def add(self, digest: str) -> None:
        """Copy the proof ``digest`` (hex), unless that is under way or done."""
        if self._target is not None and digest not in self._copied:
            self._copied[digest] = asyncio.Event()
            self._queue.put_nowait(digest)

    def forget(self, digest: str) -> None:
        """The proof isn't kept any more; its copy stays."""
        self._copied.pop(digest, None)

    @property
    def waiting(self) -> int:
        """Proofs that are still to be copied."""
        return sum(not copied.is_set() for copied in self._copied.values())

    def urls(self, digest: str) -> tuple[str, ...]:
        """Where else the proof can be fetched by now."""
        copied = self._copied.get(digest)
        return (self._public_url(digest),) if copied is not None and copied.is_set() else ()

    async def wait(self, digest: str, spare_ms: int) -> None:
        """Until the proof is copied, but no longer than configured, nor than a share of ``spare_ms``."""
        copied = self._copied.get(digest)
        limit_ms = min(self._settings.wait_ms, spare_ms // _SPARE_SHARE)
        if copied is None or copied.is_set() or limit_ms <= 0:
            return
        try:
            async with asyncio.timeout(limit_ms / 1000):
                await copied.wait()
        except TimeoutError:
            log.info("a proof is submitted before its copy is there", sha256=digest)

    async def run(self) -> None:
        """Until cancelled."""
        target = self._target
        if target is None:
            await asyncio.Event().wait()
            return
        async with self._http, asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._copy(target, await self._queue.get()))

    async def _copy(self, target: PushTarget, digest: str) -> None:
        pause = _FIRST_PAUSE_S
        while digest in self._copied:
            path = self._store.find(digest)
            if path is None:
                self.forget(digest)
                return
            try:
                size = path.stat().st_size
                async with self._turns:
                    await _in_thread(functools.partial(target.ensure, path, digest, size))
                await self._check(digest, size)
            except Exception as error:  # noqa: BLE001 - every file system has its own, and all mean: not yet
                log.warning("a proof can't be copied yet", sha256=digest, reason=self._told(error), again_in_s=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                log.info("a proof was copied", sha256=digest, url=self._public_url(digest))
                if digest in self._copied:
                    self._copied[digest].set()
                return

    async def _check(self, digest: str, size: int) -> None:
        """Raises unless others can fetch it: a URL that nobody can use must not get on chain."""
        url = self._public_url(digest)
        try:
            async with asyncio.timeout(10), self._http.get(url, {"Range": "bytes=0-0"}) as answer:
                total = answer.headers.get("Content-Range", "").rpartition("/")[2]
                found = {200: str(answer.content_length), 206: total}.get(answer.status)
                if found not in (str(size), "None", "*"):
                    what = f"answers {answer.status}" if found is None else f"has {found} bytes instead of {size}"
                    raise RefusedError(f"{url} {what}; is publish.public_url right, and open to all?")
        except (aiohttp.ClientError, TimeoutError, UselessError) as error:
            raise RefusedError(f"{url} can't be fetched: {str(error) or type(error).__name__}") from error

    def _public_url(self, digest: str) -> str:
        return f"{self._settings.public_url.rstrip('/')}/{digest}"

    def _told(self, error: Exception) -> str:
        told = " ".join(str(error)[:500].split()) or type(error).__name__
        for secret in self._secrets:
            told = told.replace(secret, "…")
        return told


async def _in_thread(work: Callable[[], None]) -> None:
    """Like asyncio.to_thread, but a process that ends doesn't wait for a place that hangs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as raised:  # noqa: BLE001 - it is raised where it is waited for
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=run, name="push", daemon=True).start()
    await done
