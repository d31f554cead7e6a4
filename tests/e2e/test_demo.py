"""`make demo FAULTS=1` does what the README says of it: the one command that every newcomer types."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.localnet import PATIENCE_S, require_comet

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(3 * PATIENCE_S)
def test_the_demo_shows_a_proof_and_a_fault_and_stops_what_it_started(tmp_path: Path) -> None:
    require_comet()
    # In a folder of its own: a demo that somebody left running goes on.
    code = "import sys, pathlib, demo; demo.HOME = pathlib.Path(sys.argv[1]); sys.exit(demo.main())"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MILL_")} | {"FAULTS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "demo"],
        cwd=ROOT / "scripts",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-4_000:]
    facts = told.partition("── What happened")[2]
    assert facts.count("\nyes  ") == 6, facts
    assert "VALID" in told
    assert "Stopped prover0" in told
    assert not list((tmp_path / "demo" / "localnet" / "run").glob("*.pid"))
