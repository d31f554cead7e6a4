"""One file from one URL, from where an earlier attempt was cut off if the server can do that.

Source: RFC 9110, sections 8.8.3 (ETag), 13.1.5 (If-Range), 14 (Range) and 15.5.17 (416).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import aiohttp

from prover_node.duties import FileRef
from prover_node.partial_file import PartialFile
from prover_node.public_http import CHUNK, PublicHttp, RefusedError, UselessError, expect_success
from prover_node.storage import BlobStore
from prover_node.store_errors import WrongContentError

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class MixedError(Exception):
    """The bytes are wrong, but not all are from this one answer; they were dropped."""


async def take_file(http: PublicHttp, store: BlobStore, url: str, ref: FileRef, came: Callable[[int], None]) -> None:
    """Put what ``url`` serves into ``store`` if it is ``ref``; ``came`` hears of bytes that arrive.

    What came before an error is kept for the next attempt, from whichever URL. Raises UselessError, RefusedError,
    MixedError, StoreError, aiohttp.ClientError and TimeoutError.
    """
    pieces, encoding = 0, ""
    try:
        async with store.resume(ref.sha256, ref.size) as partial:
            if partial.received and not partial.missing:
                return
            async with http.get(url, _range_headers(partial, url)) as response:
                encoding = response.headers.get("Content-Encoding", "")
                _heed_answer(response, partial, ref.size)
                partial.take_from(url, _validator(response))
                pieces = partial.origin.pieces
                async for chunk in response.content.iter_chunked(CHUNK):
                    partial.write(chunk)
                    came(len(chunk))
    except WrongContentError as error:
        if pieces > 1:
            raise MixedError(str(error)) from error
        packed = f"; it is sent with the content encoding {encoding}" if encoding not in ("", "identity") else ""
        raise UselessError(f"{error}{packed}") from error


def _range_headers(partial: PartialFile, url: str) -> dict[str, str]:
    """Ask for the rest; from the server of the first part only if it still has the same file."""
    if not partial.received:
        return {}
    headers = {"Range": f"bytes={partial.received}-"}
    if partial.origin.url == url and partial.origin.validator:
        headers["If-Range"] = partial.origin.validator
    return headers


def _validator(response: aiohttp.ClientResponse) -> str:
    """What tells this file from another at the same URL; weak ETags don't."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _heed_answer(response: aiohttp.ClientResponse, partial: PartialFile, size: int) -> None:
    """Make ``partial`` ready for the answer's body, or raise."""
    if response.status == 206 and partial.received:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != partial.received:
            partial.restart()
            raise RefusedError("the server answers with another range than was asked for")
        _expect_size(size if found[3] == "*" else int(found[3]), size)
    elif response.status == 416 and partial.received:
        partial.restart()
        raise RefusedError("the server has no more bytes than came already")
    else:
        expect_success(response)
        _expect_size(size if response.content_length is None else response.content_length, size)
        if partial.received:
            partial.restart()


def _expect_size(stated: int, size: int) -> None:
    if stated != size:
        raise UselessError(f"it has {stated} bytes instead of the {size} stated")
