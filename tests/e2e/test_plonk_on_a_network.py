"""The chain's statement in PLONK, asked for, proved and judged on a network like any other program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.groth16 import SOURCES, build_groth16
from tests.support.localnet import PATIENCE_S, Localnet

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


def test_a_plonk_proof_is_made_judged_and_fetched(small_localnet: Localnet, tmp_path: Path) -> None:
    built = build_groth16(tmp_path / "built", manifest="plonk.yaml")
    program = small_localnet.deploy(built.directory)
    example = SOURCES / "example"

    told = small_localnet.ask(
        *("run", "--program", program, "--wait", "--output", tmp_path / "proof"),
        *("--input", f"public.json={example / 'public.json'}:both"),
        *("--input", f"witness.json={example / 'witness.json'}:prover"),
        sender="alice",
    )

    assert (told["task"]["progress"]["status"], told["task"]["progress"]["verdict"]) == ("DONE", "VALID")
    assert (tmp_path / "proof" / "proof.bin").stat().st_size == 520
