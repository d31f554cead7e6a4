"""Checks of single message fields that several modules share. Each raises a TxError that names the field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from chain.address import AddressError, decode_address
from chain.errors import INVALID_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proofmill.types.v1.types_pb2 import Resources

    from chain.errors import ErrorCode

URLS_MAX = 8
URL_BYTES_MAX = 2_048
CPU_MILLIS_MAX = 1_000_000_000
MEMORY_BYTES_MAX = 1 << 50
GPUS_MAX = 1_024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_URL = re.compile(r"(?:https?|oci|s3|gs|ipfs)://[!-~]+")


def check_address(text: str, field: str) -> bytes:
    """The 20 bytes of an address field."""
    try:
        return decode_address(text)
    except AddressError as error:
        raise INVALID_ADDRESS.error(f"{field}: {error}") from None


def check_name(text: str, field: str, code: ErrorCode) -> None:
    """A file or program name: 1 to 128 of A–Z a–z 0–9 . _ -, not starting with a dot or dash."""
    if _NAME.fullmatch(text) is None:
        raise code.error(
            f"{field} is {text[:140]!r}: use 1 to 128 letters, digits, dots, dashes and underscores, "
            "starting with a letter, digit or underscore"
        )


def check_urls(urls: Sequence[str], field: str, code: ErrorCode, *, required: bool) -> None:
    """At most 8 absolute URLs."""
    if required and not urls:
        raise code.error(f"{field} is empty: say where the bytes can be fetched")
    if len(urls) > URLS_MAX:
        raise code.error(f"{field} has {len(urls)} URLs, more than {URLS_MAX}")
    for url in urls:
        if len(url) > URL_BYTES_MAX or _URL.fullmatch(url) is None:
            raise code.error(f"{field}: {url[:80]!r} is not an http, https, oci, s3, gs or ipfs URL of printable ASCII")


def check_sha256(digest: bytes, field: str, code: ErrorCode) -> None:
    if len(digest) != 32:
        raise code.error(f"{field} has {len(digest)} bytes instead of the 32 of a sha256")


def check_resources(resources: Resources, field: str, code: ErrorCode) -> None:
    """Some CPU and some memory, and nothing absurd."""
    if not 1 <= resources.cpu_millis <= CPU_MILLIS_MAX:
        raise code.error(f"{field}.cpu_millis is {resources.cpu_millis}: state 1 to {CPU_MILLIS_MAX}")
    if not 1 <= resources.memory_bytes <= MEMORY_BYTES_MAX:
        raise code.error(f"{field}.memory_bytes is {resources.memory_bytes}: state 1 to {MEMORY_BYTES_MAX}")
    if resources.gpus > GPUS_MAX:
        raise code.error(f"{field}.gpus is {resources.gpus}, more than {GPUS_MAX}")


def check_text(text: str, field: str, limit: int, code: ErrorCode) -> None:
    """One line of at most `limit` bytes of UTF-8, without anything that would steer the terminal it is shown on."""
    size = len(text.encode())
    if size > limit:
        raise code.error(f"{field} has {size} bytes, more than {limit}")
    if _CONTROL.search(text) is not None:
        raise code.error(f"{field} has a line break or another control character: write one plain line")


def fits(wanted: Resources, within: Resources) -> bool:
    """Whether no component of `wanted` is larger than that of `within`."""
    return (
        wanted.cpu_millis <= within.cpu_millis
        and wanted.memory_bytes <= within.memory_bytes
        and wanted.gpus <= within.gpus
    )
