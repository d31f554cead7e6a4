"""A secp256k1 key that signs transactions."""

from __future__ import annotations

import secrets

import coincurve

from chain.address import address_of
from client.errors import InvalidInput


class PrivateKey:
    """Signs as :class:`client.tx.Signer` says. ``repr`` never shows the secret."""

    __slots__ = ("_key", "address", "pub_key")

    def __init__(self, secret: bytes) -> None:
        """``secret``: 32 bytes; :class:`InvalidInput` unless it is in the curve's range."""
        # coincurve would pad a shorter secret.
        if len(secret) != 32:
            raise InvalidInput(f"a private key has 32 bytes, not {len(secret)}")
        try:
            self._key = coincurve.PrivateKey(secret)
        except ValueError:
            raise InvalidInput("a private key is more than zero and below the order of secp256k1") from None
        self.pub_key: bytes = self._key.public_key.format(compressed=True)
        self.address: str = address_of(self.pub_key)

    @classmethod
    def generate(cls) -> PrivateKey:
        while True:
            try:
                return cls(secrets.token_bytes(32))
            except InvalidInput:  # one chance in 2**128
                continue

    @classmethod
    def from_hex(cls, text: str) -> PrivateKey:
        """64 hexadecimal digits, with or without 0x, white space around them ignored."""
        try:
            secret = bytes.fromhex(text.strip().removeprefix("0x"))
        except ValueError:
            raise InvalidInput("a private key in hexadecimal has 64 digits (0-9, a-f)") from None
        return cls(secret)

    @property
    def secret(self) -> bytes:
        """The 32 secret bytes."""
        return self._key.secret

    def sign(self, message: bytes) -> bytes:
        # libsecp256k1 derives the nonce from key and message (RFC 6979) and always returns the low s.
        return self._key.sign_recoverable(message)[:64]

    def __repr__(self) -> str:
        return f"PrivateKey({self.address})"
