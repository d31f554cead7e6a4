"""Commitments to proofs (protocol §6.4): made before a proof is revealed, so that nobody can copy it.

As with votes, the salt is derived from the node key: whoever still has the bundle can reveal it.
"""

from __future__ import annotations

import hashlib
import hmac

from chain.task.proof_handlers import proof_commitment
from prover_node.duties import ProofRecord


class ProofCommitments:
    """Salts and commitments of one operator's proofs on one chain.

    ``secret`` is the node's private key, ``operator`` its operator's address (20 bytes).
    """

    def __init__(self, secret: bytes, chain_id: str, operator: bytes) -> None:
        label = b"proofmill proof salt\0" + chain_id.encode() + b"\0" + operator
        self._salt_key = hmac.digest(secret, label, hashlib.sha256)
        self._operator = operator

    def salt(self, task_id: int) -> bytes:
        """The task's 32 secret bytes: a prover is drawn for a task at most once."""
        return hmac.digest(self._salt_key, task_id.to_bytes(8, "big"), hashlib.sha256)

    def commitment(self, task_id: int, proof: ProofRecord) -> bytes:
        """The 32 bytes that a commit to ``proof`` sends."""
        return proof_commitment(self._operator, bytes.fromhex(proof.sha256), self.salt(task_id))
