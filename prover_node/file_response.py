"""A stored file as an answer to GET and HEAD: whole, in part, or not again.

Source: RFC 9110, sections 8.8.3 (ETag), 13.1.2 (If-None-Match), 13.1.5 (If-Range), 14 (Range) and 15.5.17 (416).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

_CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))")


async def serve_file(request: web.Request, path: Path, etag: str, headers: Mapping[str, str]) -> web.StreamResponse:
    """Answer with the file at ``path``, whose strong ETag is ``etag`` without its quotes.

    A range that the file doesn't have, or that makes no sense, is refused with 416. Several ranges at once and other
    units than bytes are answered with all of it, as the standard allows. A file that is removed meanwhile is sent
    all the same. Raises OSError if it can't be opened.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        quoted = f'"{etag}"'
        sent = {"ETag": quoted, "Accept-Ranges": "bytes", **headers}
        if _matches(request.headers.get("If-None-Match", ""), quoted):
            return web.Response(status=304, headers=_without_body(sent))
        part = _part(request, quoted, size)
        if part is None:
            raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
        whole = len(part) == size
        if not whole:
            sent["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        response = web.StreamResponse(status=200 if whole else 206, headers=sent)
        response.content_length = len(part)
        # Whoever goes away in the middle is nobody's concern.
        with contextlib.suppress(ConnectionResetError):
            await response.prepare(request)
            if request.method != "HEAD":
                await _send(response, file, part)
            await response.write_eof()
        return response


async def _send(response: web.StreamResponse, file: BinaryIO, part: range) -> None:
    file.seek(part.start)
    left = len(part)
    while left:
        chunk = await asyncio.to_thread(file.read, min(left, _CHUNK))
        if not chunk:
            raise OSError("a stored file became shorter while it was sent")
        await response.write(chunk)
        left -= len(chunk)


def _part(request: web.Request, etag: str, size: int) -> range | None:
    """The bytes that are asked for, or ``None`` if there are none such."""
    asked = request.headers.get("Range", "").strip()
    whole = range(size)
    # Only the one tag that bytes have for ever can vouch for them; a date can't.
    if not asked.startswith("bytes=") or "," in asked or request.headers.get("If-Range", etag) != etag:
        return whole
    found = _RANGE.fullmatch(asked)
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix:
        part = range(max(size - int(suffix), 0), size)
    else:
        part = range(int(first), min(int(last) + 1, size) if last else size)
    return part or None


def _matches(condition: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in condition.split(",")]
    return etag in tags or tags == ["*"]


def _without_body(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in ("Content-Type", "Content-Disposition")}
