"""The name of a program is its content."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proofmill.program.v1.state_pb2 import ProgramSpec


def program_id(spec: ProgramSpec) -> bytes:
    """32 bytes: sha256 of the spec's deterministic encoding; who deploys it plays no part."""
    return hashlib.sha256(spec.SerializeToString(deterministic=True)).digest()
