"""The program of a localnet's capacity tests: published on its blob server, and in the genesis from the start."""

from __future__ import annotations

import shutil
from pathlib import Path

from proofmill.program.v1.state_pb2 import ProgramSpec

from chain.program.ids import program_id
from client.deploy import blob_urls, program_spec
from client.program.description import read_program
from validator_node.localnet.layout import Layout, Plan


def capacity_spec(folder: Path, plan: Plan) -> ProgramSpec:
    """What `mill program build` made in `folder`, with URLs on the network's own blob server. Raises BuildError."""
    program = read_program(folder)
    return program_spec(program, blob_urls(program, plan.blob_url))


def capacity_id(spec: ProgramSpec) -> str:
    """Hexadecimal."""
    return program_id(spec).hex()


def publish(folder: Path, layout: Layout) -> None:
    """Put the program's files where the blob server will look for them."""
    for name, (sha256, _) in read_program(folder).files().items():
        shutil.copyfile(folder / name, layout.blobs / sha256)
