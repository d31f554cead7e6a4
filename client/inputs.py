"""A task's inputs: small files travel in the transaction, large ones are published and named by URL and hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx
from proofmill.task.v1.state_pb2 import Input
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, AUDIENCE_PROVER, AUDIENCE_VERIFIER, Audience

from client.blobs import file_digest, upload, url_digest
from client.errors import InvalidInput
from client.rpc import check_url

AUDIENCES: Mapping[str, Audience] = MappingProxyType(
    {"prover": AUDIENCE_PROVER, "verifier": AUDIENCE_VERIFIER, "both": AUDIENCE_BOTH}
)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://")


@dataclass(frozen=True)
class InputSpec:
    """One input as the user names it: exactly one of ``file`` and ``url``.

    ``sha256`` (32 bytes) and ``size`` of a URL may be stated; otherwise it is read once to learn them.
    """

    name: str
    audience: str = "both"
    file: Path | None = None
    url: str | None = None
    sha256: bytes | None = None
    size: int | None = None


def parse_input(text: str) -> InputSpec:
    """`name=FILE` or `name=URL`, optionally followed by `:prover`, `:verifier` or `:both` (the default)."""
    name, equals, source = text.partition("=")
    if not equals or not name or not source:
        raise InvalidInput(f"the input {text!r} must be name=FILE or name=URL, such as witness.json=w.json:prover")
    head, colon, tail = source.rpartition(":")
    audience = "both"
    if colon and tail in AUDIENCES:
        source, audience = head, tail
    if _URL.match(source):
        return InputSpec(name, audience, url=source)
    return InputSpec(name, audience, file=Path(source))


async def resolve_inputs(
    specs: Sequence[InputSpec], *, http: httpx.AsyncClient, inline_max: int, blob_server: str | None, publish: bool
) -> list[Input]:
    """The inputs as a run states them.

    Files of up to ``inline_max`` bytes go inline, larger ones to ``blob_server``; nothing is uploaded unless
    ``publish``.
    """
    return [await _resolve(spec, http, inline_max, blob_server, publish) for spec in specs]


async def _resolve(
    spec: InputSpec, http: httpx.AsyncClient, inline_max: int, blob_server: str | None, publish: bool
) -> Input:
    audience = AUDIENCES[spec.audience]
    if spec.url is not None:
        sha256, size = spec.sha256, spec.size
        if sha256 is None or size is None:
            found = await url_digest(http, spec.url)
            if sha256 not in (None, found.sha256):
                raise InvalidInput(
                    f"the input {spec.name}: what is at {spec.url} has another sha256 than the one given"
                )
            sha256, size = found.sha256, found.size
        return Input(name=spec.name, urls=[spec.url], sha256=sha256, size=size, audience=audience)
    if spec.file is None:
        raise InvalidInput(f"the input {spec.name} has neither a file nor a URL")
    digest = file_digest(spec.file)
    if digest.size <= inline_max:
        data = spec.file.read_bytes()
        return Input(
            name=spec.name, sha256=hashlib.sha256(data).digest(), size=len(data), inline=data, audience=audience
        )
    if blob_server is None:
        raise InvalidInput(
            f"the input {spec.name} has {digest.size} bytes, and only {inline_max} fit into a transaction: "
            "publish it and give its URL, or name a --blob-server"
        )
    url = f"{check_url(blob_server)}/blobs/{digest.sha256.hex()}"
    if publish:
        url, digest = await upload(http, blob_server, spec.file)
    return Input(name=spec.name, urls=[url], sha256=digest.sha256, size=digest.size, audience=audience)
