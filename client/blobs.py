"""Moving files by their hash over HTTP: up to a blob server, down from wherever a proof is published."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from client.errors import ClientError, InvalidInput
from client.rpc import check_url

_CHUNK = 1 << 20
# A compressed transfer would have another hash.
_AS_IT_IS = {"accept-encoding": "identity"}


class BlobError(ClientError):
    """No place that should have the bytes gave the right ones, or a server refused to take them."""


@dataclass(frozen=True)
class Digest:
    """``sha256`` (32 bytes) and ``size`` (bytes) of a file."""

    sha256: bytes
    size: int


def file_digest(path: Path) -> Digest:
    """:class:`InvalidInput` if the file can't be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            return Digest(digest, file.tell())
    except OSError as error:
        raise InvalidInput(f"the file {path} can't be read: {error.strerror}") from error


def http_client(transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """For large transfers: a stalled one fails, a slow one doesn't."""
    return httpx.AsyncClient(timeout=httpx.Timeout(30.0), transport=transport, follow_redirects=True)


async def upload(http: httpx.AsyncClient, server: str, path: Path) -> tuple[str, Digest]:
    """Puts a file on a blob server; its URL there and its digest."""
    digest = file_digest(path)
    url = f"{check_url(server)}/blobs/{digest.sha256.hex()}"
    try:
        response = await http.put(url, content=_chunks(path), headers={"content-length": str(digest.size)})
    except httpx.HTTPError as error:
        raise BlobError(f"the blob server {server} can't be reached: {_reason(error)}") from error
    if not response.is_success:
        raise BlobError(f"the blob server {server} refused {path.name}: {_refusal(response)}")
    return url, digest


async def url_digest(http: httpx.AsyncClient, url: str) -> Digest:
    """Reads what is at ``url`` once, keeping nothing of it."""
    digest, size = hashlib.sha256(), 0
    try:
        async with http.stream("GET", url, headers=_AS_IT_IS) as response:
            if not response.is_success:
                raise BlobError(f"{url} can't be read: HTTP status {response.status_code}")
            async for chunk in response.aiter_raw(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise BlobError(f"{url} can't be read: {_reason(error)}") from error
    return Digest(digest.digest(), size)


async def download(http: httpx.AsyncClient, urls: Sequence[str], wanted: Digest, target: Path) -> str:
    """Fetches the file with this digest from the first of ``urls`` that has it; returns that URL.

    ``target`` appears complete and checked, or not at all. :class:`BlobError` says what each place answered.
    """
    problems = []
    for url in urls:
        try:
            await _download_from(http, url, wanted, target)
        except (httpx.HTTPError, httpx.InvalidURL, BlobError) as error:
            problems.append(f"{url}: {_reason(error)}")
        else:
            return url
    raise BlobError(f"{wanted.sha256.hex()} could not be fetched from anywhere: {'; '.join(problems) or 'no URL'}")


async def fetch_text(http: httpx.AsyncClient, urls: Sequence[str], limit: int) -> str:
    """At most ``limit`` bytes of text from the first of ``urls`` that answers."""
    problems = []
    for url in urls:
        try:
            async with http.stream("GET", url, headers=_AS_IT_IS) as response:
                if not response.is_success:
                    problems.append(f"{url}: HTTP status {response.status_code}")
                    continue
                data = b""
                async for chunk in response.aiter_raw(_CHUNK):
                    data += chunk
                    if len(data) > limit:
                        break
                return data[:limit].decode("utf-8", "replace")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problems.append(f"{url}: {_reason(error)}")
    raise BlobError(f"nothing could be fetched: {'; '.join(problems) or 'nobody publishes it'}")


async def _download_from(http: httpx.AsyncClient, url: str, wanted: Digest, target: Path) -> None:
    with _appearing(target) as file:
        digest, size = hashlib.sha256(), 0
        async with http.stream("GET", url, headers=_AS_IT_IS) as response:
            if not response.is_success:
                raise BlobError(f"HTTP status {response.status_code}")
            async for chunk in response.aiter_raw(_CHUNK):
                size += len(chunk)
                if size > wanted.size:
                    raise BlobError(f"it is larger than the {wanted.size} bytes that the chain states")
                digest.update(chunk)
                file.write(chunk)
        if digest.digest() != wanted.sha256:
            raise BlobError("its sha256 is not the one that the chain states")


@contextmanager
def _appearing(target: Path) -> Iterator[BinaryIO]:
    """A file that takes its place at ``target`` if the block ends well, and vanishes otherwise."""
    descriptor, temporary = tempfile.mkstemp(prefix=".download-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(temporary).rename(target)
    finally:
        Path(temporary).unlink(missing_ok=True)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _refusal(response: httpx.Response) -> str:
    text = response.text.strip()
    return f"HTTP status {response.status_code}" + (f", {text[:200]}" if text and "<" not in text else "")


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
