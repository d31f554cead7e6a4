"""A folder elsewhere that proofs are copied to: at any URL that fsspec writes to, such as s3://, gs://, file://, https://.

Everything here blocks.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.http import HTTPFileSystem
from fsspec.implementations.local import LocalFileSystem

from client.errors import ClientError, InvalidInput
from client.keys.files import read_secret

# What a copy may take: it is tried again, and another may be waiting.
_LONGEST_S = 300.0
_UNFIT = {
    "memory": "what is in this process's memory is gone with it",
    "data": "nothing can be written to a data URL",
}


class PushTarget:
    """The folder at ``url``; ``options`` are the file system's own, as its documentation names them."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        scheme = urlsplit(url).scheme
        if scheme in _UNFIT:
            raise InvalidInput(f"publish.push_url is {url}, but {_UNFIT[scheme]}: name another place")
        try:
            self._fs, self._root = fsspec.url_to_fs(url, **options)
        except ImportError as error:
            hint = "pip install 'proofmill[s3]'" if scheme in ("s3", "s3a") else "install it beside proofmill"
            raise ClientError(f"publish.push_url needs a package that isn't installed ({error}): {hint}") from error
        except (ValueError, TypeError) as error:
            raise InvalidInput(f"publish.push_url or its options can't be used: {error}") from error
        # Not everything takes a limit.
        self._limit = {"timeout": _LONGEST_S} if isinstance(self._fs, AsyncFileSystem) else {}

    def ensure(self, path: Path, name: str, size: int) -> None:
        """Have the file at ``path``, of ``size`` bytes, there as ``name``. Raises what the file system raises."""
        target = f"{self._root.rstrip('/')}/{name}"
        if self._size(target) == size:
            return
        if isinstance(self._fs, LocalFileSystem):
            # A copy grows before the readers' eyes.
            self._fs.makedirs(self._root, exist_ok=True)
            self._fs.put_file(str(path), f"{target}.part")
            self._fs.mv(f"{target}.part", target)
        else:
            method = {"method": "put"} if isinstance(self._fs, HTTPFileSystem) else {}
            self._fs.put_file(str(path), target, **method, **self._limit)
        arrived = self._size(target)
        if arrived not in (size, None):
            raise OSError(f"{arrived} bytes are there instead of {size}")

    def _size(self, target: str) -> int | None:
        """Bytes that are there; ``None`` if nothing is, or the place doesn't tell."""
        try:
            size = self._fs.info(target, **self._limit).get("size")
        except (FileNotFoundError, PermissionError):
            # Who may only write isn't told either.
            return None
        return None if size is None else int(size)


def read_options(path: Path) -> dict[str, Any]:
    """The file system's options in a TOML file that only its owner can read; raises InvalidInput."""
    try:
        return tomllib.loads(read_secret(path).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path} can't be read as TOML: {error}") from error


def secrets_in(options: Mapping[str, Any]) -> Iterator[str]:
    """Texts among the options that may be for nobody's eyes: all but addresses, and short ones such as a region."""
    for value in options.values():
        if isinstance(value, Mapping):
            yield from secrets_in(value)
        elif isinstance(value, str) and len(value) >= 8 and "://" not in value:
            yield value
