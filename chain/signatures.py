"""secp256k1 signatures, and the memory of those already found good.

A transaction is checked when it enters the mempool and again in its block. The cache only saves the second check: a
hit and a miss give the same result, so it isn't part of the state.
"""

from __future__ import annotations

import hashlib

from coincurve import PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact


class SignatureCache:
    """Remembers up to `max_entries` valid signatures, then forgets the oldest half."""

    __slots__ = ("_valid", "hits", "max_entries", "misses")

    def __init__(self, max_entries: int = 200_000) -> None:
        self.max_entries = max_entries
        self.hits = 0
        self.misses = 0
        self._valid: dict[bytes, None] = {}

    def verify(self, pub_key: bytes, sign_bytes: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes r ‖ s, low s) by the compressed key is over sha256(sign_bytes)."""
        digest = hashlib.sha256(sign_bytes).digest()
        # 33 + 64 + 32 bytes: the parts have fixed sizes, so their concatenation is unambiguous.
        entry = pub_key + signature + digest
        if entry in self._valid:
            self.hits += 1
            return True
        self.misses += 1
        if not verify_signature(pub_key, digest, signature):
            return False
        if len(self._valid) >= self.max_entries:
            for old in list(self._valid)[: self.max_entries // 2]:
                del self._valid[old]
        self._valid[entry] = None
        return True


def verify_signature(pub_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes r ‖ s) over the 32-byte digest is valid; one with a high s never is."""
    try:
        return PublicKey(pub_key).verify(cdata_to_der(deserialize_compact(signature)), digest, hasher=None)
    except ValueError:
        return False
