"""Pulls public images from registries into the store.

Sources: OCI distribution-spec 1.1 ("Pull"); the token flow as registries document it under "token authentication".
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import ipaddress
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlencode, urlsplit

import aiohttp

from chain.program.image_reference import ImageReference, parse_image_reference
from prover_node.duties import FileRef
from prover_node.image_layout import LayoutWriter
from prover_node.kept_file import KeptBlob
from prover_node.public_http import CHUNK, PublicHttp, RefusedError, UselessError, expect_success
from prover_node.runner.images import MAX_JSON, ImageError, Manifest, parse_manifest
from prover_node.storage import BlobStore
from prover_node.store_errors import WrongContentError

_MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    # Asked for only to be told apart from an image that isn't there.
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_TOKEN_ANSWER_MAX = 1 << 16
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_TOKEN = re.compile(r"[!-~]+")


async def pull_image(http: PublicHttp, store: BlobStore, url: str, ref: FileRef, came: Callable[[int], None]) -> None:
    """Put the image that ``url`` refers to into ``store`` as ``ref.key``; ``came`` hears of bytes that arrive.

    Raises UselessError, RefusedError, WrongContentError, StoreError, OSError, aiohttp.ClientError and TimeoutError.
    """
    try:
        reference = parse_image_reference(url)
    except ValueError as error:
        raise UselessError(f"not an image reference: {error}") from error
    if reference.sha256 != ref.sha256:
        raise UselessError(f"it names another manifest than {ref.sha256}")
    repository = _Repository(http, reference, came)
    raw = await repository.manifest(min(MAX_JSON, ref.size))
    try:
        manifest = parse_manifest(raw)
    except ImageError as error:
        raise UselessError(str(error)) from error
    _check_size(raw, manifest, ref.size)
    layout = LayoutWriter(raw, manifest)
    async with store.assemble(ref.key, layout.size) as file:
        for sha256, size in layout.write(file.write):
            await repository.blob(await asyncio.to_thread(file.blob, sha256, size), sha256)


def _check_size(raw: bytes, manifest: Manifest, stated: int) -> None:
    size = len(raw) + sum(blob.size for blob in manifest.blobs)
    if size != stated:
        raise UselessError(f"its manifest, config and layers have {size} bytes together instead of the {stated} stated")


class _Repository:
    """One repository of a registry, asked without a login."""

    def __init__(self, http: PublicHttp, reference: ImageReference, came: Callable[[int], None]) -> None:
        self._http = http
        self._came = came
        self._reference = reference
        self._base = f"{_scheme(reference.host)}://{reference.authority}/v2/{reference.repository}"
        self._token = ""

    async def manifest(self, limit: int) -> bytes:
        """The manifest, if it has at most ``limit`` bytes."""
        sha256 = self._reference.sha256
        async with self._get(f"manifests/sha256:{sha256}", {"Accept": ", ".join(_MANIFEST_TYPES)}) as response:
            raw = await _read(response, limit)
        if raw is None:
            raise UselessError(f"its manifest is larger than {limit} bytes")
        if hashlib.sha256(raw).hexdigest() != sha256:
            raise WrongContentError(
                f"the manifest has the sha256 {hashlib.sha256(raw).hexdigest()}, not the one that it is asked for by"
            )
        return raw

    async def blob(self, blob: KeptBlob, sha256: str) -> None:
        """Have the rest of the blob come, and check it. Raises aiohttp.ClientError if what was there was wrong."""
        had = blob.received
        try:
            if blob.missing or not had:
                await self._rest(blob, sha256)
            blob.check()
        except WrongContentError as error:
            blob.restart()
            if had:
                raise aiohttp.ClientPayloadError(f"what had come of it before was wrong: {error}") from error
            raise

    async def _rest(self, blob: KeptBlob, sha256: str) -> None:
        headers = {"Range": f"bytes={blob.received}-"} if blob.received else {}
        async with self._get(f"blobs/sha256:{sha256}", headers) as response:
            if response.status != 206 and blob.received:
                blob.restart()
            async for chunk in response.content.iter_chunked(CHUNK):
                blob.write(chunk)
                self._came(len(chunk))

    @asynccontextmanager
    async def _get(self, path: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        url = f"{self._base}/{path}"
        async with self._http.get(url, self._with_token(headers)) as response:
            if response.status != 401:
                _expect_success(response, headers)
                yield response
                return
            challenges = response.headers.getall("WWW-Authenticate", [])
        # Tokens live for minutes, so a large image may need several.
        self._token = await self._fetch_token(challenges)
        async with self._http.get(url, self._with_token(headers)) as response:
            if response.status == 401:
                raise RefusedError("the registry wants a login, and only public images can be run")
            _expect_success(response, headers)
            yield response

    def _with_token(self, headers: dict[str, str]) -> dict[str, str]:
        return headers | ({"Authorization": f"Bearer {self._token}"} if self._token else {})

    async def _fetch_token(self, challenges: list[str]) -> str:
        parameters = next((_parameters(one) for one in challenges if one.lower().startswith("bearer ")), {})
        if "realm" not in parameters:
            raise RefusedError("the registry wants a login, and only public images can be run")
        query = [(name, value) for name, value in parameters.items() if name in {"service", "scope"}]
        joint = "&" if urlsplit(parameters["realm"]).query else "?"
        async with self._http.get(f"{parameters['realm']}{joint}{urlencode(query)}") as response:
            if response.status in (401, 403):
                raise RefusedError("the registry gives no token without a login, and only public images can be run")
            expect_success(response)
            answer = await _read(response, _TOKEN_ANSWER_MAX)
        token = _token_in(answer or b"")
        if token is None:
            raise RefusedError("the registry's token server answers with no token")
        return token


def _expect_success(response: aiohttp.ClientResponse, headers: dict[str, str]) -> None:
    asked = re.fullmatch(r"bytes=(\d+)-", headers.get("Range", ""))
    if response.status != 206 or asked is None:
        expect_success(response)
    elif not response.headers.get("Content-Range", "").startswith(f"bytes {asked[1]}-"):
        raise RefusedError("the registry answers with another range than was asked for")


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """The body, unless it is larger than ``limit`` bytes."""
    out = io.BytesIO()
    async for chunk in response.content.iter_chunked(CHUNK):
        if out.tell() + len(chunk) > limit:
            return None
        out.write(chunk)
    return out.getvalue()


def _parameters(challenge: str) -> dict[str, str]:
    return dict(_PARAMETER.findall(challenge))


def _token_in(answer: bytes) -> str | None:
    with suppress(ValueError, RecursionError):
        document = json.loads(answer)
        if isinstance(document, dict):
            token = document.get("token") or document.get("access_token")
            if isinstance(token, str) and _TOKEN.fullmatch(token):
                return token
    return None


def _scheme(host: str) -> str:
    """Registries in private networks seldom have certificates; whether they may be asked at all is the policy's."""
    with suppress(ValueError):
        return "https" if ipaddress.ip_address(host.strip("[]")).is_global else "http"
    return "http" if host == "localhost" else "https"
