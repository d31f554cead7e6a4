"""Proof bundles as an honest prover packs them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from client.bundle import BundleLimits, pack

BUNDLED = {"proof.bin": b"hello"}


def make_bundle(files: Mapping[str, bytes]) -> bytes:
    """The bundle of an output directory with these files."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        for name, content in files.items():
            path = output / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        packed = Path(folder, "proof.tar")
        pack(output, packed, BundleLimits(max_bytes=1 << 20, max_files=100))
        return packed.read_bytes()
