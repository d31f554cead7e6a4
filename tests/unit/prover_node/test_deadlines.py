"""How long the chain still wants a job's result, counted from the block that said so."""

from __future__ import annotations

import math

from prover_node.deadlines import Deadlines
from prover_node.events import DutiesReported
from tests.support.prover_duties import prove_duty, prove_key, verify_key, vote_duty


def report(*, time_ms: int = 10_000) -> DutiesReported:
    duties = (prove_duty(1, accepted=True, deadline_ms=70_000), prove_duty(2))
    return DutiesReported(10, time_ms, duties, (vote_duty(3, 2, deadline_ms=40_000),))


def test_a_proof_is_wanted_until_its_deadline_and_a_verdict_until_the_window_closes() -> None:
    deadlines = Deadlines()
    deadlines.report(report())
    assert 50 < deadlines.left_s(prove_key(1)) <= 60
    assert 20 < deadlines.left_s(verify_key(3, 2)) <= 30
    # Whichever attempt it is, but no other round.
    assert deadlines.left_s(prove_key(1, 7)) <= 60
    assert deadlines.left_s(verify_key(3, 1)) == math.inf


def test_what_is_only_offered_or_not_listed_has_no_end() -> None:
    deadlines = Deadlines()
    assert deadlines.left_s(prove_key(1)) == math.inf
    deadlines.report(report())
    assert deadlines.left_s(prove_key(2)) == math.inf


def test_a_deadline_may_be_past_and_a_newer_report_replaces_it() -> None:
    deadlines = Deadlines()
    deadlines.report(report(time_ms=75_000))
    assert deadlines.left_s(prove_key(1)) <= -5
    deadlines.report(DutiesReported(11, 76_000))
    assert deadlines.left_s(prove_key(1)) == math.inf
