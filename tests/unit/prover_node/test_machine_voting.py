"""The verifier's duty: which effects follow from which events."""

from __future__ import annotations

import pytest

from prover_node.ballots import Ballots
from prover_node.duties import FileKind, Verdict, VoteDuty
from prover_node.effects import Cancel, CommitVote, Effect, FetchFiles, Forget, Journal, RevealVote, RunJob, Warn
from prover_node.events import (
    DutiesReported,
    Fetched,
    FetchFailed,
    JobBroken,
    NodeKeyRotated,
    ProofUnusable,
    Restarted,
    RunFinished,
)
from prover_node.journal_entries import VerdictReached, VoteEnded
from prover_node.machine import Machine
from prover_node.runner.base import Outcome, Reason
from prover_node.seats import Phase
from tests.support.prover_duties import ballots, machine, outcome, prove_duty, verify_key, vote_duty

KEY = verify_key()
SALT = ballots().salt(1, 1)


def commitment(verdict: Verdict) -> bytes:
    return ballots().commitment(1, 1, verdict)


def reported(*duties: VoteDuty, height: int = 10, time_ms: int = 10_000) -> DutiesReported:
    return DutiesReported(height, time_ms, (), duties)


def running(m: Machine) -> None:
    m.handle(reported(vote_duty()))
    assert m.handle(Fetched(KEY)) == [RunJob(KEY, vote_duty().spec)]


def decided(verdict: Verdict, detail: str = "it ended", *, key: object = KEY) -> list[Effect]:
    return [
        Journal(VerdictReached(1, 1, verdict, detail)),
        Cancel(key),  # type: ignore[arg-type]
        Forget(key),  # type: ignore[arg-type]
        CommitVote(1, 1, commitment(verdict)),
    ]


def test_a_seat_goes_from_the_draw_to_the_reveal() -> None:
    m = machine()
    assert m.handle(reported(vote_duty())) == [FetchFiles(KEY, vote_duty().spec)]
    assert m.handle(Fetched(KEY)) == [RunJob(KEY, vote_duty().spec)]
    assert m.handle(RunFinished(KEY, outcome())) == decided(Verdict.VALID)
    on_chain = commitment(Verdict.VALID)
    assert m.handle(reported(vote_duty(commitment=on_chain), height=11)) == []
    assert m.handle(reported(vote_duty(commitment=on_chain, closed=True), height=12)) == [
        RevealVote(1, 1, Verdict.VALID, SALT)
    ]
    assert m.handle(reported(vote_duty(commitment=on_chain, closed=True, revealed=True), height=13)) == []
    assert m.unfinished == 0
    assert m.handle(reported(height=14)) == [Journal(VoteEnded(1, 1))]
    m.validate_state()


@pytest.mark.parametrize(
    ("ended", "verdict"),
    [
        (outcome(exit_code=0), Verdict.VALID),
        (outcome(exit_code=1), Verdict.INVALID),
        (outcome(exit_code=2), Verdict.INCONCLUSIVE),
        (outcome(exit_code=139), Verdict.INCONCLUSIVE),
        (outcome(Reason.TIME_LIMIT, None), Verdict.INCONCLUSIVE),
        (outcome(Reason.OUT_OF_MEMORY, 137), Verdict.INCONCLUSIVE),
        (outcome(Reason.IMAGE_UNUSABLE, None), Verdict.INCONCLUSIVE),
    ],
)
def test_the_verifiers_end_is_the_verdict(ended: Outcome, verdict: Verdict) -> None:
    m = machine()
    running(m)
    assert m.handle(RunFinished(KEY, ended)) == decided(verdict)


def test_a_malformed_bundle_is_invalid() -> None:
    m = machine()
    running(m)
    assert m.handle(ProofUnusable(KEY, "a symlink")) == decided(Verdict.INVALID, "a symlink")


@pytest.mark.parametrize("kind", [FileKind.PROOF, FileKind.IMAGE, FileKind.INPUT])
def test_what_cannot_be_fetched_cannot_be_judged(kind: FileKind) -> None:
    m = machine()
    m.handle(reported(vote_duty()))
    effects = m.handle(FetchFailed(KEY, kind, "404"))
    assert effects == decided(Verdict.INCONCLUSIVE, f"{kind.value} unavailable: 404")


def test_this_machines_own_fault_is_tried_again_once_and_then_abstained_from() -> None:
    m = machine()
    running(m)
    again = verify_key(attempt=2)
    broken = RunFinished(KEY, outcome(Reason.RUNNER_ERROR, None))
    assert m.handle(broken) == [Forget(KEY), FetchFiles(again, vote_duty().spec)]
    assert m.handle(JobBroken(again, "disk full")) == decided(Verdict.INCONCLUSIVE, "disk full", key=again)


def test_verifying_does_not_wait_behind_proving() -> None:
    m = machine(cpu_millis=1000)
    m.handle(DutiesReported(10, 10_000, (prove_duty(7, accepted=True),), (vote_duty(),)))
    assert m.handle(Fetched(KEY)) == [RunJob(KEY, vote_duty().spec)]


def test_only_so_many_verifiers_run_at_once_the_most_urgent_first() -> None:
    m = machine(parallel_verifiers=1)
    late, early = vote_duty(1, deadline_ms=90_000), vote_duty(2, deadline_ms=50_000)
    running_one = vote_duty(3)
    m.handle(reported(late, early, running_one))
    assert m.handle(Fetched(verify_key(3, attempt=3))) == [RunJob(verify_key(3, attempt=3), running_one.spec)]
    assert m.handle(Fetched(verify_key(1, attempt=1))) == []
    assert m.handle(Fetched(verify_key(2, attempt=2))) == []
    assert RunJob(verify_key(2, attempt=2), early.spec) in m.handle(RunFinished(verify_key(3, attempt=3), outcome()))


def test_a_seat_whose_window_is_closing_abstains_in_time() -> None:
    m = machine()
    running(m)
    assert m.handle(reported(vote_duty(), height=11, time_ms=55_999)) == []
    detail = "still running when the commit window was closing"
    assert m.handle(reported(vote_duty(), height=12, time_ms=56_000)) == decided(Verdict.INCONCLUSIVE, detail)


def test_a_short_window_still_leaves_most_of_itself_for_the_work() -> None:
    m = machine()
    m.handle(reported(vote_duty(deadline_ms=12_000)))
    assert m.handle(reported(vote_duty(deadline_ms=12_000), height=11, time_ms=11_400)) == []


def test_a_seat_that_missed_the_window_says_so_and_stops() -> None:
    m = machine()
    running(m)
    warning = Warn("the vote on task 1, round 1 closed before the verifier ended", 1)
    assert m.handle(reported(vote_duty(closed=True), height=11)) == [Cancel(KEY), Forget(KEY), warning]
    assert m.vote_phases() == {(1, 1): Phase.MISSED}
    assert m.handle(RunFinished(KEY, outcome())) == []


def test_a_restarted_daemon_commits_the_verdict_that_it_had_reached() -> None:
    m = machine()
    m.handle(Restarted((VerdictReached(1, 1, Verdict.INVALID, ""),)))
    assert m.handle(reported(vote_duty())) == [CommitVote(1, 1, commitment(Verdict.INVALID))]


def test_a_daemon_that_lost_its_journal_reveals_what_is_committed() -> None:
    m = machine()
    duty = vote_duty(commitment=commitment(Verdict.INVALID), closed=True)
    assert m.handle(reported(duty)) == [RevealVote(1, 1, Verdict.INVALID, SALT)]


def test_a_commitment_that_lands_while_the_verifier_runs_again_ends_the_run() -> None:
    m = machine()
    running(m)
    duty = vote_duty(commitment=commitment(Verdict.INVALID), closed=True)
    assert m.handle(reported(duty, height=11)) == [Cancel(KEY), Forget(KEY), RevealVote(1, 1, Verdict.INVALID, SALT)]


def test_a_foreign_commitment_is_pointed_out_once() -> None:
    m = machine()
    effects = m.handle(reported(vote_duty(commitment=b"x" * 32, closed=True)))
    assert [type(effect) for effect in effects] == [Warn]
    assert m.handle(reported(vote_duty(commitment=b"x" * 32, closed=True), height=11)) == []


def test_a_seat_that_is_gone_is_cancelled() -> None:
    m = machine()
    running(m)
    assert m.handle(reported(height=11)) == [Cancel(KEY), Forget(KEY)]


def test_rounds_of_one_task_are_seats_of_their_own() -> None:
    m = machine()
    running(m)
    m.handle(RunFinished(KEY, outcome()))
    effects = m.handle(reported(vote_duty(round_=2), height=11))
    assert effects == [Journal(VoteEnded(1, 1)), FetchFiles(verify_key(round_=2, attempt=2), vote_duty().spec)]


def test_salts_differ_by_seat_chain_and_key() -> None:
    mine = ballots()
    salts = {
        mine.salt(1, 1),
        mine.salt(1, 2),
        mine.salt(2, 1),
        ballots(b"t" * 32).salt(1, 1),
        Ballots((b"s" * 32,), "test-2", bytes(range(20))).salt(1, 1),
    }
    assert len(salts) == 5


def test_a_vote_committed_under_an_earlier_node_key_is_revealed_with_it() -> None:
    m = machine()
    running(m)
    m.handle(RunFinished(KEY, outcome()))
    m.handle(NodeKeyRotated(b"n" * 32))
    duty = vote_duty(commitment=commitment(Verdict.VALID), closed=True)
    assert m.handle(reported(duty, height=12)) == [RevealVote(1, 1, Verdict.VALID, SALT)]


def test_a_vote_committed_after_a_rotation_is_committed_with_the_new_key() -> None:
    m = machine()
    running(m)
    m.handle(NodeKeyRotated(b"n" * 32))
    new = ballots(b"n" * 32)
    assert CommitVote(1, 1, new.commitment(1, 1, Verdict.VALID)) in m.handle(RunFinished(KEY, outcome()))
    duty = vote_duty(commitment=new.commitment(1, 1, Verdict.VALID), closed=True)
    assert m.handle(reported(duty, height=12)) == [RevealVote(1, 1, Verdict.VALID, new.salt(1, 1))]
