"""Commitments to proofs (protocol §6.4): made before a proof is revealed, so that nobody can copy it.

As with votes, the salt is derived from the node key: whoever still has the bundle can reveal it, also once the key
was rotated.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from chain.task.proof_handlers import proof_commitment
from prover_node.duties import ProofRecord


class ProofCommitments:
    """Salts and commitments of one operator's proofs on one chain.

    ``secrets`` are the node's private keys, the present one first, ``operator`` its operator's address (20 bytes).
    """

    def __init__(self, secrets: Iterable[bytes], chain_id: str, operator: bytes) -> None:
        self._label = b"proofmill proof salt\0" + chain_id.encode() + b"\0" + operator
        self._salt_keys = [self._salt_key(secret) for secret in secrets]
        self._operator = operator

    def use(self, secret: bytes) -> None:
        """Commit with this node key from now on; the others still open what was committed to with them."""
        self._salt_keys.insert(0, self._salt_key(secret))

    def salt(self, task_id: int) -> bytes:
        """The task's 32 secret bytes: a prover is drawn for a task at most once."""
        return _salt(self._salt_keys[0], task_id)

    def commitment(self, task_id: int, proof: ProofRecord) -> bytes:
        """The 32 bytes that a commit to ``proof`` sends."""
        return self._commit(proof, self.salt(task_id))

    def open(self, task_id: int, proof: ProofRecord, commitment: bytes) -> bytes | None:
        """The salt that shows ``commitment`` to be one to ``proof``; ``None`` if it isn't, or of none of these keys."""
        for key in self._salt_keys:
            salt = _salt(key, task_id)
            if hmac.compare_digest(self._commit(proof, salt), commitment):
                return salt
        return None

    def _commit(self, proof: ProofRecord, salt: bytes) -> bytes:
        return proof_commitment(self._operator, bytes.fromhex(proof.sha256), salt)

    def _salt_key(self, secret: bytes) -> bytes:
        return hmac.digest(secret, self._label, hashlib.sha256)


def _salt(key: bytes, task_id: int) -> bytes:
    return hmac.digest(key, task_id.to_bytes(8, "big"), hashlib.sha256)
