"""A program that builds in milliseconds with nothing but coreutils, for tests of the builder."""

from __future__ import annotations

from pathlib import Path

SMALL_MANIFEST = """\
name: small
version: 1.10
architecture: amd64
parameters:
  size: {default: 3, min: 1, max: 9, help: how much}
  colour: {default: red, choices: [red, blue]}
build:
  sources: [prove.sh, "lib/*.txt"]
  steps:
    - name: make a key of size ${size}
      argv: [cp, lib/key.txt, "key-${size}-${colour}"]
images:
  prover:
    command: [/bin/prove, --size, "${size}"]
    files:
      - {from: prove.sh, to: /bin/prove, mode: 0755}
      - {from: "key-${size}-${colour}", to: /keys/key}
    labels: {colour: "${colour}"}
  verifier:
    command: [/verify]
    files: [{from: prove.sh, to: /verify, mode: "755"}]
resources:
  default: {cpu_millis: 500, memory: 64MiB}
  max: {cpu_millis: 2000, memory: 1GiB, gpus: 1}
  verifier: {cpu_millis: 100, memory: 1048576}
  verifier_time_limit_s: 5
"""


def write_small_program(directory: Path, manifest: str = SMALL_MANIFEST) -> Path:
    """Write the program's sources and `manifest` into `directory` and return it."""
    (directory / "lib").mkdir(parents=True, exist_ok=True)
    (directory / "program.yaml").write_text(manifest, encoding="utf-8")
    (directory / "prove.sh").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    (directory / "lib" / "key.txt").write_text("key\n", encoding="utf-8")
    return directory
