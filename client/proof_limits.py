"""What a proof may hold: the same for every prover and verifier, so that all judge a bundle alike."""

from __future__ import annotations

PROOF_BYTES_MAX = 256 << 20
"""Sum of the sizes of a proof's files."""

PROOF_FILES_MAX = 4096
"""Files and directories in a proof."""

BUNDLE_BYTES_MAX = PROOF_BYTES_MAX + PROOF_FILES_MAX * 1024 + 1024
"""No well-formed bundle within the limits is larger: header and padding are at most 1,024 bytes an entry."""
