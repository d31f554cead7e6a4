"""The public ICS-23 library, a pinned Go module, as the judge of our state proofs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conformance.protos.upstream import ROOT, find_go

SPEC_FILE: Final = ROOT / "docs" / "proof-spec.json"
_SOURCES: Final = ROOT / "tests" / "conformance" / "ics23" / "verifier"


@dataclass(frozen=True)
class Claim:
    """What a proof is presented for; a value of None claims that the key is absent."""

    root: bytes
    key: bytes
    value: bytes | None
    proof: bytes

    def line(self) -> str:
        value = None if self.value is None else self.value.hex()
        return json.dumps({"root": self.root.hex(), "key": self.key.hex(), "value": value, "proof": self.proof.hex()})


Verify = Callable[[list[Claim]], list[str]]


def build_verifier(folder: Path) -> Verify:
    """Compile the verifier into `folder`; it answers "ok" or "failed" for each claim."""
    binary = folder / "verifier"
    env = {**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    subprocess.run([find_go(), "build", "-o", str(binary), "."], cwd=_SOURCES, env=env, check=True)

    def verify(claims: list[Claim]) -> list[str]:
        lines = "".join(claim.line() + "\n" for claim in claims)
        done = subprocess.run([str(binary), str(SPEC_FILE)], input=lines, capture_output=True, text=True, check=True)
        verdicts = done.stdout.split()
        assert len(verdicts) == len(claims)
        return verdicts

    return verify
