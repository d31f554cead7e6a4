"""`mill prover benchmark`: a capacity test without consequences, with the real program."""

from __future__ import annotations

import json
from pathlib import Path

from client.program.build import build
from tests.support.localnet import run_mill

SOURCES = Path(__file__).resolve().parents[2] / "programs" / "capacity"


def test_a_claim_is_tried_and_measured_against_the_limit(bwrap: Path, tmp_path: Path) -> None:
    built = tmp_path / "capacity"
    build(SOURCES, built)
    done = run_mill(
        *("prover", "benchmark", "--home", tmp_path / "none", "--program", built, "--runner", "sandbox"),
        # The least claim, and a limit that the busiest machine keeps.
        *("--cpu", "100m", "--memory", "128MiB", "--time-limit", "5m", "-o", "json"),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    claim = {"cpu_millis": 100, "memory_bytes": 128 << 20, "gpus": 0}
    assert told["may_claim"] == claim
    assert told["verdict"] == "VALID"
    (trial,) = told["trials"]
    assert (trial["claim"], trial["fits"], trial["problem"]) == (claim, True, "")
    assert 0 < trial["fill_ms"] < trial["wall_ms"] < told["limit_ms"] == 300_000
    assert told["prices"] == "the protocol's defaults"
    # A 960th of 96 cores at $0.61 an hour, half of the time, of which nine tenths are the prover's.
    assert told["an_hour"] == {
        "utilisation_percent": 50,
        "fees_ucredit": 318,
        "earned_umill": 286,
        "subsidy_umill": 5,
    }
