"""`mill local-run`: the reference program's containers on this machine, as a prover node runs them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client.bundle import BundleLimits, pack
from tests.support.groth16 import Groth16, build_groth16, write_public
from tests.support.localnet import run_mill


@dataclass(frozen=True)
class Given:
    """The built program, inputs for it, and a proof that was made of them."""

    groth16: Groth16
    inputs: Path
    proof: Path

    def local_run(self, *arguments: str | Path, public: Path | None = None) -> tuple[int, dict[str, Any]]:
        """Exit code and result of `mill local-run` in the sandbox."""
        public = public or self.inputs / "public.json"
        done = run_mill(
            *("local-run", self.groth16.directory, "--runner", "sandbox", "-o", "json"),
            *("--input", f"public.json={public}", *arguments),
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}

    @property
    def witness(self) -> tuple[str, str]:
        return "--input", f"witness.json={self.inputs / 'witness.json'}:prover"


@pytest.fixture(scope="module")
def given(bwrap: Path, tmp_path_factory: pytest.TempPathFactory) -> Given:
    root = tmp_path_factory.mktemp("local-run")
    groth16 = build_groth16(root / "program")
    made = Given(groth16, groth16.make_inputs(root / "inputs"), root / "proof")
    code, result = made.local_run(*made.witness, "--output", made.proof)
    assert (code, result["verdict"]) == (0, "VALID"), result
    return made


def test_a_proof_is_made_verified_and_kept(given: Given) -> None:
    assert [path.name for path in given.proof.iterdir()] == ["proof.bin"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_proof_is_verified_outside_of_the_network(given: Given, tmp_path: Path, packed: bool) -> None:
    proof = given.proof
    if packed:
        proof = tmp_path / "proof.tar"
        pack(given.proof, proof, BundleLimits(1 << 20, 10))
    code, result = given.local_run("--verify-only", "--proof", proof)
    assert (code, result["verdict"], result["prover"]) == (0, "VALID", None)


def test_another_statement_is_invalid(given: Given, tmp_path: Path) -> None:
    write_public(tmp_path, given.groth16.rounds, f"0x{1:064x}")
    code, result = given.local_run("--verify-only", "--proof", given.proof, public=tmp_path / "public.json")
    assert (code, result["verdict"]) == (5, "INVALID")


def test_a_prover_without_its_witness_makes_no_proof(given: Given, tmp_path: Path) -> None:
    code, result = given.local_run("--output", tmp_path / "proof")
    assert (code, result["proof"], result["verdict"]) == (5, None, None)
    assert "witness.json" in result["prover"]["stderr"]
    assert not (tmp_path / "proof").exists()


def test_what_is_no_bundle_is_said_so(given: Given, tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk")
    code, result = given.local_run("--verify-only", "--proof", junk)
    assert code == 1
    assert "is no proof, so every verifier votes INVALID" in result["error"]


def test_a_missing_input_file_is_said_so(given: Given, tmp_path: Path) -> None:
    code, result = given.local_run(public=tmp_path / "none.json")
    assert code == 1
    assert "there is no file" in result["error"]
