"""A verifier's salts and commitments (protocol §6).

The salt of a seat is derived from the node key, so even a daemon that lost its journal can open a
commitment that is on chain: it tries the three verdicts against it. What was committed to under an earlier node key
opens with that one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from chain.verification.votes import vote_commitment
from prover_node.duties import Verdict


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a commitment stands for, and the 32 bytes that prove it."""

    verdict: Verdict
    salt: bytes


class Ballots:
    """Salts and commitments of one operator's seats on one chain.

    ``secrets`` are the node's private keys, the present one first, ``operator`` its operator's address (20 bytes).
    """

    def __init__(self, secrets: Iterable[bytes], chain_id: str, operator: bytes) -> None:
        self._label = b"proofmill vote salt\0" + chain_id.encode() + b"\0" + operator
        self._salt_keys = [self._salt_key(secret) for secret in secrets]
        self._operator = operator

    def use(self, secret: bytes) -> None:
        """Commit with this node key from now on; the others still open what was committed to with them."""
        self._salt_keys.insert(0, self._salt_key(secret))

    def salt(self, task_id: int, round_: int) -> bytes:
        """The seat's 32 secret bytes: the same on every call, unknown to anyone without the key."""
        return _salt(self._salt_keys[0], task_id, round_)

    def commitment(self, task_id: int, round_: int, verdict: Verdict) -> bytes:
        """The 32 bytes that a commit for ``verdict`` sends."""
        return vote_commitment(self._operator, task_id, round_, int(verdict), self.salt(task_id, round_))

    def open(self, task_id: int, round_: int, commitment: bytes) -> Ballot | None:
        """What ``commitment`` stands for; ``None`` if it wasn't made with any of these keys."""
        for key in self._salt_keys:
            salt = _salt(key, task_id, round_)
            for verdict in Verdict:
                made = vote_commitment(self._operator, task_id, round_, int(verdict), salt)
                if hmac.compare_digest(made, commitment):
                    return Ballot(verdict, salt)
        return None

    def _salt_key(self, secret: bytes) -> bytes:
        return hmac.digest(secret, self._label, hashlib.sha256)


def _salt(key: bytes, task_id: int, round_: int) -> bytes:
    return hmac.digest(key, task_id.to_bytes(8, "big") + round_.to_bytes(4, "big"), hashlib.sha256)
