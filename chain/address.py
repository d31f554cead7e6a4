"""Account addresses: ripemd160(sha256(compressed secp256k1 key)), written in bech32 with the prefix `mill`."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import bech32

from chain.ripemd160 import ripemd160

ADDRESS_PREFIX = "mill"
# In Python bech32 takes some 30 µs and ripemd160 some 150, and transactions mention the same addresses again and again.
_REMEMBERED = 200_000
# BIP-173's limit. Looking at the length first spares reading a stranger's megabyte, and quoting it.
_BECH32_MAX = 90


class AddressError(ValueError):
    """The text is not an account address of this chain."""


@lru_cache(maxsize=_REMEMBERED)
def address_bytes_of(pub_key: bytes) -> bytes:
    """The 20 address bytes of a compressed (33-byte) secp256k1 public key."""
    return ripemd160(hashlib.sha256(pub_key).digest())


def address_of(pub_key: bytes) -> str:
    """The bech32 address of a compressed (33-byte) secp256k1 public key."""
    return encode_address(address_bytes_of(pub_key))


@lru_cache(maxsize=_REMEMBERED)
def encode_address(raw: bytes) -> str:
    """20 bytes as `mill1…`; AddressError for any other length."""
    if len(raw) != 20:
        raise AddressError(f"an address has 20 bytes, not {len(raw)}")
    return str(bech32.bech32_encode(ADDRESS_PREFIX, bech32.convertbits(raw, 8, 5) or ()))


@lru_cache(maxsize=_REMEMBERED)
def decode_address(text: str) -> bytes:
    """The 20 bytes of `mill1…`; AddressError says what is wrong with any other text."""
    prefix, data = bech32.bech32_decode(text) if len(text) <= _BECH32_MAX else (None, None)
    if prefix is None or data is None:
        raise AddressError(f"{text[:_BECH32_MAX]!r} is not a bech32 address: check it for a typing error")
    if prefix != ADDRESS_PREFIX:
        raise AddressError(f"the address {text} begins with {prefix!r}, but this chain's begin with {ADDRESS_PREFIX!r}")
    raw = bech32.convertbits(data, 5, 8, False)
    if raw is None or len(raw) != 20 or text != text.lower():
        raise AddressError(f"{text!r} is not the lower-case address of an account with 20 bytes")
    return bytes(raw)
