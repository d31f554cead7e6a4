"""Proofs of every program, changed by who made them, before committees of a real network."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from client.program.build import build
from tests.support.liars import lie_from_now_on
from tests.support.localnet import PATIENCE_S, Localnet, require_comet, running_localnet

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
PROVERS = 4
# Manifest, and the inputs of its example with who gets them.
STATEMENTS = {
    "groth16/plonk.yaml": ("public.json:both", "witness.json:prover"),
    "circom/program.yaml": ("public.json:both", "input.json:prover"),
    "aggregate/program.yaml": ("leaf-1/public.json:both",),
    "stark/program.yaml": ("public.json:both",),
}

pytestmark = pytest.mark.timeout(4 * PATIENCE_S)


@pytest.fixture(scope="module")
def liars(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localnet]:
    """A network on which every prover changes a byte of each proof that it made, and votes honestly."""
    require_comet()
    with running_localnet(tmp_path_factory.mktemp("net") / "liars", validators=1, provers=PROVERS) as network:
        started: list[subprocess.Popen[bytes]] = []
        try:
            started.extend(lie_from_now_on(network, index, "proof") for index in range(PROVERS))
            yield network
        finally:
            for liar in started:
                liar.kill()
                liar.wait()


def test_a_changed_proof_of_any_program_is_found_invalid(liars: Localnet, tmp_path: Path) -> None:
    ids = {}
    for manifest in STATEMENTS:
        folder = tmp_path / manifest.replace("/", "-")
        build(PROGRAMS / manifest, folder)
        ids[manifest] = liars.deploy(folder)

    def run(manifest: str) -> tuple[int, str]:
        example = (PROGRAMS / manifest).parent / "example"
        inputs = []
        for file in STATEMENTS[manifest]:
            path, audience = file.rsplit(":", 1)
            inputs += ["--input", f"{Path(path).name}={example / path}:{audience}"]
        needs = ("--cpu", "1", "--memory", "1GiB", "--time-limit", "120s")
        done = liars.mill("run", "--program", ids[manifest], *inputs, *needs, "--wait", sender="alice")
        return done.returncode, done.stderr

    with ThreadPoolExecutor() as pool:
        ends = dict(zip(STATEMENTS, pool.map(run, STATEMENTS), strict=True))

    for manifest, (code, told) in ends.items():
        assert code != 0, f"{manifest}: {told}"
        # Twice, because the fallback prover lies too; and no verifier failed to judge.
        assert told.count("INVALID") >= 2, f"{manifest}: {told}"
        assert "INCONCLUSIVE" not in told, f"{manifest}: {told}"
        assert "the committee found the proof invalid" in told.splitlines()[-1], f"{manifest}: {told}"
