"""A folder of named keys, one JSON file each: encrypted under a passphrase, or plain for test networks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.address import ADDRESS_PREFIX, AddressError, decode_address
from client.errors import InvalidInput
from client.keys import encryption
from client.keys.files import read_secret, write_secret
from client.keys.private_key import PrivateKey

PLAIN = "none"
PASSPHRASE_MIN = 8
_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class KeyInfo:
    """What is known of a key without its passphrase."""

    name: str
    address: str
    pub_key: bytes
    encrypted: bool


class KeyStore:
    """The keys in ``folder``, which needn't exist yet. ``log_n`` is scrypt's cost for new keys."""

    def __init__(self, folder: Path, *, log_n: int = encryption.DEFAULT_LOG_N) -> None:
        self.folder = folder
        self._log_n = log_n

    def add(self, name: str, key: PrivateKey, passphrase: str | None) -> KeyInfo:
        """Keeps ``key``; without a passphrase it is in the file as it is. Never replaces a key."""
        path = self._path(name)
        if name.lower().startswith(f"{ADDRESS_PREFIX}1"):
            raise InvalidInput(f"{name!r} can't name a key: it would be taken for an address")
        if path.exists():
            raise InvalidInput(f"there is a key named {name!r} already: choose another name")
        for other in self.list():
            if other.address == key.address:
                raise InvalidInput(f"this key is here already, named {other.name!r}")
        if passphrase is None:
            box: dict[str, str | int] = {"cipher": PLAIN, "secret": key.secret.hex()}
        else:
            check_passphrase(passphrase)
            box = encryption.encrypt(key.secret, passphrase, bound_to=key.address, log_n=self._log_n)
        content = {"version": _VERSION, "address": key.address, "pub_key": key.pub_key.hex(), "key": box}
        write_secret(path, json.dumps(content, indent=2).encode() + b"\n")
        return KeyInfo(name, key.address, key.pub_key, passphrase is not None)

    def list(self) -> tuple[KeyInfo, ...]:
        """All keys, by name."""
        if not self.folder.is_dir():
            return ()
        names = sorted(path.stem for path in self.folder.glob("*.json") if _NAME.fullmatch(path.stem))
        return tuple(self._info(name, self._read(name)) for name in names)

    def find(self, name_or_address: str) -> KeyInfo:
        """The key of this name, else of this address."""
        if _NAME.fullmatch(name_or_address) and self._path(name_or_address).exists():
            return self._info(name_or_address, self._read(name_or_address))
        for info in self.list():
            if info.address == name_or_address:
                return info
        known = ", ".join(info.name for info in self.list()) or "none yet, make one with mill keys add"
        raise InvalidInput(f"there is no key {name_or_address!r} in {self.folder} (keys: {known})")

    def unlock(self, name_or_address: str, ask_passphrase: Callable[[KeyInfo], str]) -> PrivateKey:
        """The key itself; ``ask_passphrase`` is only called for an encrypted one."""
        info = self.find(name_or_address)
        box = self._read(info.name)["key"]
        cipher = box.get("cipher")
        if cipher == PLAIN:
            key = PrivateKey.from_hex(str(box.get("secret")))
        elif cipher == encryption.CIPHER:
            key = PrivateKey(encryption.decrypt(box, ask_passphrase(info), bound_to=info.address))
        else:
            raise InvalidInput(f"the key {info.name!r} is kept in a way that this version doesn't know: {cipher!r}")
        if key.address != info.address:
            raise InvalidInput(f"the file of key {info.name!r} is damaged: its secret belongs to {key.address}")
        return key

    def delete(self, name_or_address: str) -> KeyInfo:
        """Removes the key's file; without its mnemonic or an export, what it owns is lost."""
        info = self.find(name_or_address)
        try:
            self._path(info.name).unlink()
        except OSError as error:
            raise InvalidInput(f"the key {info.name!r} can't be deleted: {error.strerror}") from error
        return info

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} can't name a key: use letters, digits, '-', '_' and '.', at most 64, a letter or digit first"
            )
        return self.folder / f"{name}.json"

    def _read(self, name: str) -> dict[str, Any]:
        path = self._path(name)
        try:
            content = json.loads(read_secret(path))
        except ValueError:
            content = None
        if not isinstance(content, dict) or not isinstance(content.get("key"), dict):
            raise InvalidInput(f"{path} is not a key file, or it is damaged")
        if content.get("version") != _VERSION:
            raise InvalidInput(f"{path} was written by a newer version of this program")
        return content

    def _info(self, name: str, content: dict[str, Any]) -> KeyInfo:
        try:
            address = str(content["address"])
            decode_address(address)
            pub_key = bytes.fromhex(content["pub_key"])
        except (KeyError, TypeError, ValueError, AddressError):
            raise InvalidInput(f"{self._path(name)} is damaged: it holds no address and public key") from None
        return KeyInfo(name, address, pub_key, content["key"].get("cipher") != PLAIN)


def check_passphrase(passphrase: str) -> None:
    """:class:`InvalidInput` if it is too short to protect anything."""
    if len(passphrase) < PASSPHRASE_MIN:
        raise InvalidInput(f"a passphrase has at least {PASSPHRASE_MIN} characters")
