"""From words to keys: BIP-39 mnemonics, BIP-32 private derivation, BIP-44 paths with Cosmos' coin type 118."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Self

import coincurve
from mnemonic import Mnemonic

from client.errors import InvalidInput
from client.keys.private_key import PrivateKey

COIN_TYPE = 118
_HARDENED = 1 << 31
_PATH = re.compile(r"m(?:/[0-9]{1,10}['h]?)*")


@dataclass(frozen=True)
class ExtendedKey:
    """A BIP-32 private node: 32 secret bytes and 32 bytes of chain code."""

    secret: bytes
    chain_code: bytes

    @classmethod
    def master(cls, seed: bytes) -> Self:
        """The root of a 16 to 64 byte seed."""
        if not 16 <= len(seed) <= 64:
            raise InvalidInput(f"a seed has 16 to 64 bytes, not {len(seed)}")
        digest = hmac.digest(b"Bitcoin seed", seed, hashlib.sha512)
        return cls(_valid(digest[:32]), digest[32:])

    def child(self, index: int) -> Self:
        """The child at ``index``, hardened from 2**31 on (BIP-32, CKDpriv)."""
        parent = coincurve.PrivateKey(self.secret)
        head = b"\0" + self.secret if index >= _HARDENED else parent.public_key.format(compressed=True)
        digest = hmac.digest(self.chain_code, head + index.to_bytes(4, "big"), hashlib.sha512)
        try:
            secret = parent.add(_valid(digest[:32])).secret
        except ValueError:
            raise InvalidInput(f"this seed has no child {index}: use the next one") from None
        return type(self)(secret, digest[32:])

    def derive(self, path: str) -> Self:
        """The descendant at a path such as ``m/44'/118'/0'/0/0``."""
        node = self
        for index in parse_path(path):
            node = node.child(index)
        return node


def parse_path(path: str) -> tuple[int, ...]:
    """A BIP-32 path's indexes, hardened ones with 2**31 added."""
    if not _PATH.fullmatch(path):
        raise InvalidInput(f"{path!r} is not a derivation path such as {account_path(0)}")
    indexes = []
    for step in path.split("/")[1:]:
        index = int(step.rstrip("'h"))
        if index >= _HARDENED:
            raise InvalidInput(f"{index} in the derivation path {path!r} is not below 2**31")
        indexes.append(index + _HARDENED if step[-1] in "'h" else index)
    return tuple(indexes)


def account_path(index: int) -> str:
    """The BIP-44 path of a wallet's ``index``-th address, as Cosmos wallets use it."""
    return f"m/44'/{COIN_TYPE}'/0'/0/{index}"


def generate_mnemonic(words: int = 24) -> str:
    """12, 15, 18, 21 or 24 English words from the system's randomness."""
    if words not in (12, 15, 18, 21, 24):
        raise InvalidInput(f"a mnemonic has 12, 15, 18, 21 or 24 words, not {words}")
    return Mnemonic("english").generate(strength=words * 32 // 3)


def key_from_mnemonic(mnemonic: str, *, index: int = 0, path: str | None = None, password: str = "") -> PrivateKey:
    """The key of a mnemonic's ``index``-th address, or at ``path``; ``password`` is BIP-39's optional 25th word."""
    words = check_mnemonic(mnemonic)
    seed = Mnemonic.to_seed(words, password)
    return PrivateKey(ExtendedKey.master(seed).derive(path or account_path(index)).secret)


def check_mnemonic(mnemonic: str) -> str:
    """The words in lower case, single-spaced; :class:`InvalidInput` says which word or what else is wrong."""
    words = mnemonic.lower().split()
    if len(words) not in (12, 15, 18, 21, 24):
        raise InvalidInput(f"a mnemonic has 12, 15, 18, 21 or 24 words, not {len(words)}")
    english = Mnemonic("english")
    for position, word in enumerate(words, 1):
        if word not in english.wordlist:
            raise InvalidInput(f"word {position} of the mnemonic is not in the BIP-39 English list")
    joined = " ".join(words)
    if not english.check(joined):
        raise InvalidInput("the mnemonic's checksum is wrong: a word is mistyped or out of order")
    return joined


def _valid(secret: bytes) -> bytes:
    return PrivateKey(secret).secret
