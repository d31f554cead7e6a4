"""Secrets in files: mode 0600, written completely or not at all, never over another file."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from client.errors import InvalidInput
from client.keys.private_key import PrivateKey

_MAX_KEY_FILE = 4096


def write_secret(path: Path, data: bytes) -> None:
    """Writes ``data`` to a new file that only its owner can read; :class:`InvalidInput` if ``path`` exists."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"the folder {path.parent} can't be made: {error.strerror}") from error
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # Unlike a rename, a link fails if somebody made the file meanwhile.
            os.link(temporary, path)
        finally:
            Path(temporary).unlink()
    except FileExistsError:
        raise InvalidInput(f"{path} exists already and is never overwritten") from None
    except OSError as error:
        raise InvalidInput(f"{path} can't be written: {error.strerror}") from error


def read_secret(path: Path) -> bytes:
    """A secret file's bytes; :class:`InvalidInput` if it can't be read or others than its owner can read it."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InvalidInput(f"{path} is not a regular file")
            if status.st_mode & 0o077:
                raise InvalidInput(
                    f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o}): "
                    f"run chmod 600 {path}, and think about who may have read it"
                )
            data = file.read(_MAX_KEY_FILE + 1)
    except FileNotFoundError:
        raise InvalidInput(f"there is no file {path}") from None
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}") from error
    if len(data) > _MAX_KEY_FILE:
        raise InvalidInput(f"{path} is too large for a key file")
    return data


def write_key_file(path: Path, key: PrivateKey) -> None:
    """A plain key file for a daemon: 64 hexadecimal digits and a newline."""
    write_secret(path, key.secret.hex().encode() + b"\n")


def read_key_file(path: Path) -> PrivateKey:
    """The key in a plain key file; :class:`InvalidInput` says what is wrong with any other file."""
    try:
        return PrivateKey.from_hex(read_secret(path).decode("ascii"))
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} holds no private key in hexadecimal") from None
    except InvalidInput as error:
        if str(path) in str(error):
            raise
        raise InvalidInput(f"{path} holds no usable key: {error}") from None
