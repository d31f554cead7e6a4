"""What a verifier commits to before it reveals."""

from __future__ import annotations

import hashlib

SALT_BYTES = 32


def vote_commitment(voter: bytes, task_id: int, round_: int, verdict: int, salt: bytes) -> bytes:
    """32 bytes: sha256 of the voter's 20 address bytes ‖ task (8 bytes) ‖ round (4) ‖ verdict (1) ‖ salt (32)."""
    return hashlib.sha256(
        voter + task_id.to_bytes(8, "big") + round_.to_bytes(4, "big") + bytes((verdict,)) + salt
    ).digest()
