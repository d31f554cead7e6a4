"""How long a download may take: every byte that comes buys time, so a large file may, and a trickle may not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# What a first answer may take, whatever the patience: else the reason that nothing came would never be known.
_LEAST_S = 5.0


class TooSlowError(Exception):
    """This server sends hardly anything, and another one is there to be tried."""


class Patience:
    """With one file of ``size`` bytes, for ``patience_s`` and what the bytes at ``least_bytes_per_s`` add.

    It ends ``within_s`` at the latest.
    """

    def __init__(self, patience_s: float, within_s: float, size: int, least_bytes_per_s: int) -> None:
        self._within_s = within_s
        self._size = size
        self._least_bytes_per_s = least_bytes_per_s
        self._started = asyncio.get_running_loop().time()
        self._patience_s = patience_s
        self.came = 0
        """Bytes, also those that were of no use."""
        self._whole = asyncio.timeout(None)
        self._window: asyncio.Timeout | None = None
        self._window_s = 0.0
        self._came_in_window = 0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return asyncio.get_running_loop().time() - self._started

    def lasts_for(self, pause_s: float) -> bool:
        """Whether it isn't over after a pause of this length."""
        return self.seconds + pause_s <= min(self._patience_s + self._bought_s, self._within_s)

    def earn(self, size: int) -> None:
        """So many bytes came."""
        self.came += size
        self._whole.reschedule(self._end())
        self._came_in_window += size
        enough = self._came_in_window >= self._least_bytes_per_s * self._window_s
        if self._window is not None and self._window.when() is not None and enough:
            self._came_in_window = 0
            self._window.reschedule(asyncio.get_running_loop().time() + self._window_s)

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Raises TimeoutError when it is over. Use once, around everything."""
        async with self._whole:
            self._whole.reschedule(self._end())
            yield

    @asynccontextmanager
    async def attempt(self, window_s: float | None) -> AsyncIterator[None]:
        """Raises TooSlowError when hardly anything comes for ``window_s``, if that is a number."""
        self._window_s, self._came_in_window = window_s or 0.0, 0
        try:
            async with asyncio.timeout(window_s) as self._window:
                yield
        except TimeoutError as error:
            if self._window is not None and self._window.expired():
                raise TooSlowError(f"it sent {self._came_in_window} bytes in {self._window_s:g} s") from error
            raise
        finally:
            self._window = None

    def hurry(self, window_s: float) -> None:
        """From now on there is another server to be tried, also in the attempt that is under way."""
        if self._window is not None and self._window.when() is None:
            self._window_s, self._came_in_window = window_s, 0
            self._window.reschedule(asyncio.get_running_loop().time() + window_s)

    @property
    def _bought_s(self) -> float:
        # What is sent again buys nothing.
        return min(self.came, self._size) / self._least_bytes_per_s

    def _end(self) -> float | None:
        lasts_s = min(max(self._patience_s, _LEAST_S) + self._bought_s, self._within_s)
        return None if math.isinf(lasts_s) else self._started + lasts_s
