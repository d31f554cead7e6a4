"""GET requests to strangers' URLs.

Redirects are followed by hand, and addresses that aren't public are refused unless the operator allows them, so that
nobody can aim a prover at its own network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

CHUNK = 1 << 18
"""Bytes that are taken from a download at once."""
_REDIRECTS_MAX = 5
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_REDIRECTS = (301, 302, 303, 307, 308)


class RefusedError(Exception):
    """This URL answered with something that is hardly going to change."""


class UselessError(Exception):
    """This URL can't ever serve the file."""


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Which addresses are allowed, and how slow a server may be.

    ``idle_timeout_s`` bounds a silence in a download. Where there is another URL, one that gives fewer than
    ``least_bytes_per_s`` is left for it after ``switch_after_s``.
    """

    allow_private: bool = False
    idle_timeout_s: float = 30.0
    switch_after_s: float = 5.0
    least_bytes_per_s: int = 16 << 10


class PublicHttp:
    """The client of one Fetcher. Use as an async context manager."""

    def __init__(self, policy: FetchPolicy) -> None:
        self._policy = policy
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        resolver = None if self._policy.allow_private else _PublicResolver()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=self._policy.idle_timeout_s)
        self._session = aiohttp.ClientSession(
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
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer at the end of all redirects; another host never sees ``headers``' Authorization.

        Raises UselessError for a URL that can't or must not be asked, RefusedError, aiohttp.ClientError, TimeoutError.
        """
        if self._session is None:
            raise RuntimeError("the fetcher is used outside of its context")
        sent = dict(headers or {})
        for _ in range(_REDIRECTS_MAX + 1):
            self._check(url)
            async with self._session.get(url, headers=sent, allow_redirects=False) as response:
                if response.status not in _REDIRECTS or "Location" not in response.headers:
                    yield response
                    return
                target = _join(url, response.headers["Location"])
            if _origin(target) != _origin(url):
                sent.pop("Authorization", None)
            url = target
        raise RefusedError(f"more than {_REDIRECTS_MAX} redirects")

    def _check(self, url: str) -> None:
        """Refuse what can't or must not be fetched; host names are judged by the resolver."""
        parts = _split(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UselessError("only http and https URLs can be fetched")
        address = None
        with suppress(ValueError):
            address = ipaddress.ip_address(parts.hostname)
        if address is not None and not self._policy.allow_private and not is_public(address):
            raise UselessError(f"{address} is not a public address, and this node fetches from no other")


def expect_success(response: aiohttp.ClientResponse) -> None:
    """Raises aiohttp.ClientError for a failure that may pass, RefusedError for any other."""
    if response.status in (408, 425, 429) or response.status >= 500:
        raise aiohttp.ClientError(f"the server answers {response.status}")
    if response.status != 200:
        raise RefusedError(f"the server answers {response.status}")


@dataclass
class _PublicResolver(AbstractResolver):
    """Resolves host names to public addresses only."""

    inner: AbstractResolver = field(default_factory=aiohttp.ThreadedResolver)

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        found = await self.inner.resolve(host, port, family)
        public = [one for one in found if is_public(ipaddress.ip_address(one["host"].split("%")[0]))]
        if not public:
            raise OSError(None, f"{host} has no public address, and this node fetches from no other")
        return public

    async def close(self) -> None:
        await self.inner.close()


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Also of the IPv4 address that an IPv6 one stands for, which is where its packets go in the end."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if inner:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError as error:
        raise UselessError(f"not a URL: {error}") from error
    return parts


def _join(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise UselessError(f"it is redirected to what is not a URL: {error}") from error


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = _split(url)
    return parts.scheme, parts.hostname, parts.port
