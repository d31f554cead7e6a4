"""A verifier's salts and commitments (protocol §6).

The salt of a seat is derived from the node key, so even a daemon that lost its journal can open a
commitment that is on chain: it tries the three verdicts against it.
"""

from __future__ import annotations

import hashlib
import hmac

from chain.verification.votes import vote_commitment
from prover_node.duties import Verdict


class Ballots:
    """Salts and commitments of one operator's seats on one chain.

    ``secret`` is the node's private key, ``operator`` its operator's address (20 bytes).
    """

    def __init__(self, secret: bytes, chain_id: str, operator: bytes) -> None:
        label = b"proofmill vote salt\0" + chain_id.encode() + b"\0" + operator
        self._salt_key = hmac.digest(secret, label, hashlib.sha256)
        self._operator = operator

    def salt(self, task_id: int, round_: int) -> bytes:
        """The seat's 32 secret bytes: the same on every call, unknown to anyone without the key."""
        seat = task_id.to_bytes(8, "big") + round_.to_bytes(4, "big")
        return hmac.digest(self._salt_key, seat, hashlib.sha256)

    def commitment(self, task_id: int, round_: int, verdict: Verdict) -> bytes:
        """The 32 bytes that a commit for ``verdict`` sends."""
        return vote_commitment(self._operator, task_id, round_, int(verdict), self.salt(task_id, round_))

    def open(self, task_id: int, round_: int, commitment: bytes) -> Verdict | None:
        """The verdict that ``commitment`` stands for; ``None`` if it wasn't made with this key."""
        for verdict in Verdict:
            if hmac.compare_digest(self.commitment(task_id, round_, verdict), commitment):
                return verdict
        return None
