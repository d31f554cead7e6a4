"""An OCI registry in the test's own process: what is put in is served, with tokens or faults if wanted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.image_archives import descriptor, digest

REPOSITORY = "proofs/groth16"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Pushed:
    """An image in a registry: the hash of its manifest, and the bytes of manifest, config and layers together."""

    sha256: str
    size: int


@dataclass
class Registry:
    """``blobs`` and ``manifests`` by digest (hex). Answers of ``moved`` digests are redirects to the URL given there.

    Answers of ``cut`` digests break off once after so many bytes; ``ranges`` collects what is asked for in part.
    With ``tokens``, blobs and manifests want one of them, which the token server hands out in turn, each for two
    requests.
    """

    address: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    ranges: list[tuple[str, str]] = field(default_factory=list)
    knows_ranges: bool = True
    challenge: str = ""
    tokens: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    _uses_left: dict[str, int] = field(default_factory=dict)

    def push(self, layers: Sequence[bytes], config: bytes, **changes: object) -> Pushed:
        """Put an image in; ``changes`` replace fields of the manifest."""
        document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(config),
            "layers": [descriptor(layer) for layer in layers],
        }
        parts = {digest(blob): blob for blob in (config, *layers)}
        self.blobs |= parts
        manifest = json.dumps(document | changes).encode()
        return Pushed(self.push_manifest(manifest), len(manifest) + sum(len(part) for part in parts.values()))

    def push_manifest(self, manifest: bytes) -> str:
        """Put any manifest in; its hash."""
        self.manifests[digest(manifest)] = manifest
        return digest(manifest)

    def want_tokens(self, *tokens: str) -> None:
        """Refuse anonymous requests from now on; the token server has these to give."""
        self.tokens = list(tokens)
        realm = f'realm="http://{self.address}/token",service="registry",scope="repository:{REPOSITORY}:pull"'
        self.challenge = f"Bearer {realm}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """What the registry says to a GET."""
        self.asked.append(request.path_qs)
        self.authorizations.append(request.headers.get("Authorization"))
        if request.path == "/token":
            if not self.tokens:
                return web.Response(status=403)
            self._uses_left[self.tokens[0]] = 2
            return web.json_response({"token": self.tokens.pop(0)})
        if self.challenge and not self._use_token(request.headers.get("Authorization", "")):
            return web.Response(status=401, headers={"WWW-Authenticate": self.challenge})
        kind, _, name = request.path.removeprefix(f"/v2/{REPOSITORY}/").partition("/sha256:")
        if name in self.moved:
            return web.Response(status=307, headers={"Location": self.moved[name]})
        data = (self.manifests if kind == "manifests" else self.blobs).get(name)
        if data is None:
            return web.Response(status=404)
        if kind == "manifests":
            return web.Response(body=data, content_type=MANIFEST_TYPE)
        return await self._send(request, name, data)

    async def _send(self, request: web.Request, name: str, data: bytes) -> web.StreamResponse:
        status, headers = 200, {}
        if "Range" in request.headers:
            self.ranges.append((name, request.headers["Range"]))
            if self.knows_ranges:
                begin = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
                status, data = 206, data[begin:]
        response = web.StreamResponse(status=status, headers=headers | {"Content-Length": str(len(data))})
        await response.prepare(request)
        upto = self.cut.pop(name, None)
        await response.write(data[:upto])
        if upto is not None and request.transport is not None:
            request.transport.close()
        return response

    def _use_token(self, authorization: str) -> bool:
        token = authorization.removeprefix("Bearer ")
        left = self._uses_left.get(token, 0)
        self._uses_left[token] = left - 1
        return left > 0


@asynccontextmanager
async def serving() -> AsyncIterator[Registry]:
    """A registry on loopback."""
    registry = Registry()
    app = web.Application()
    app.router.add_get("/{path:.*}", registry.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        registry.address = f"{host}:{port}"
        yield registry
    finally:
        await runner.cleanup()
