"""The prover's duty: which effects follow from which events."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prover_node.assignment import Phase
from prover_node.duties import FailureReason, FileKind, FileRef, ProofRecord, Usage
from prover_node.effects import (
    AcceptTask,
    Cancel,
    CommitProof,
    DeclineTask,
    Effect,
    EntryKind,
    EntryRef,
    FetchFiles,
    Forget,
    Inquire,
    Journal,
    PackProof,
    Prefetch,
    ReportFailure,
    RunJob,
    SubmitProof,
    Warn,
)
from prover_node.events import (
    Draining,
    DutiesReported,
    Fetched,
    FetchFailed,
    JobBroken,
    NodeKeyRotated,
    PackFailed,
    ProofStored,
    Restarted,
    RunFinished,
    StandingReported,
    Stopped,
    TxFailed,
)
from prover_node.journal_entries import AssignmentEnded, ProofMade, WorkFailed
from prover_node.machine import Machine
from prover_node.runner.base import Reason
from prover_node.transfers import Transfers
from tests.support.prover_duties import commitments, machine, outcome, prove_duty, prove_key, spec, standing

USAGE = Usage(1200, 1100, 4096)
PROOF = ProofRecord("a" * 64, 10_240, USAGE)
KEY = prove_key()
COMMITMENT = commitments().commitment(1, PROOF)
SALT = commitments().salt(1)


def reported(*duties: object, height: int = 10) -> DutiesReported:
    return DutiesReported(height, 1000 * height, tuple(duties))  # type: ignore[arg-type]


def running(m: Machine) -> None:
    m.handle(reported(prove_duty()))
    m.handle(Fetched(KEY))
    assert m.handle(reported(prove_duty(accepted=True), height=11)) == [RunJob(KEY, spec())]


def failed(reason: FailureReason, detail: str = "it ended") -> list[Effect]:
    return [Journal(WorkFailed(1, reason, detail)), Forget(KEY), ReportFailure(1, reason, detail)]


def test_a_task_goes_from_offer_to_proof() -> None:
    m = machine()
    assert m.handle(reported(prove_duty())) == [FetchFiles(KEY, spec()), AcceptTask(1)]
    assert m.handle(Fetched(KEY)) == []
    assert m.handle(reported(prove_duty(accepted=True), height=11)) == [RunJob(KEY, spec())]
    assert m.handle(RunFinished(KEY, outcome())) == [PackProof(KEY, USAGE)]
    assert m.handle(ProofStored(KEY, PROOF)) == [Journal(ProofMade(1, PROOF)), Forget(KEY), SubmitProof(1, PROOF)]
    assert m.handle(reported(height=12)) == [Inquire(1, "proved"), Journal(AssignmentEnded(1))]
    assert m.unfinished == 0
    m.validate_state()


def test_nothing_runs_before_the_chain_shows_the_acceptance() -> None:
    m = machine()
    m.handle(reported(prove_duty()))
    m.handle(Fetched(KEY))
    assert m.handle(reported(prove_duty(), height=11)) == []
    assert m.prove_phases() == {1: Phase.READY}


def test_an_entry_that_did_not_land_is_sent_again_ever_more_rarely() -> None:
    m = machine()
    m.handle(reported(prove_duty()))
    sent_at = [height for height in range(11, 60) if m.handle(reported(prove_duty(), height=height)) == [AcceptTask(1)]]
    assert sent_at == [12, 16, 24, 40]


def test_an_entry_whose_transaction_failed_is_sent_again_at_the_next_block() -> None:
    m = machine()
    m.handle(reported(prove_duty()))
    assert m.handle(TxFailed((EntryRef(EntryKind.ACCEPT, 1),))) == []
    assert m.handle(reported(prove_duty(), height=11)) == [AcceptTask(1)]


def test_an_offer_that_can_no_longer_be_accepted_in_time_is_left_alone() -> None:
    m = machine()
    assert m.handle(reported(prove_duty(accept_by=10))) == [FetchFiles(KEY, spec())]


def test_an_offer_beyond_the_free_resources_is_declined_with_the_reason() -> None:
    m = machine(cpu_millis=500)
    reason = "the task needs 1000 CPU millicores, 500 are free on this node"
    assert m.handle(reported(prove_duty())) == [DeclineTask(1, reason)]


def test_an_offer_that_would_wait_too_long_for_free_resources_is_declined_with_the_times() -> None:
    m = machine(cpu_millis=1500)
    effects = m.handle(reported(prove_duty(1), prove_duty(2)))
    reason = (
        "the task needs 1000 CPU millicores, 500 are free, enough only in 63 s: "
        "with a run of up to 61 s that is more than the 87 s left"
    )
    assert effects == [
        FetchFiles(KEY, spec()),
        Prefetch((spec().image,)),
        AcceptTask(1),
        DeclineTask(2, reason),
    ]


def test_an_offer_is_accepted_if_what_runs_ends_in_time_for_it() -> None:
    m = machine(cpu_millis=1500)
    running(m)
    late = m.handle(reported(prove_duty(1, accepted=True), prove_duty(2), height=50))
    assert late == [FetchFiles(prove_key(2, 2), spec()), AcceptTask(2)]


def test_a_task_whose_files_take_too_long_is_declined_and_its_program_fetched_for_the_next() -> None:
    m = machine()
    key, witness = FileRef(FileKind.ASSET, "pk", "3" * 64, 10 << 30), FileRef(FileKind.INPUT, "w", "4" * 64, 1)
    duty = prove_duty(files=(key, witness))
    reason = "its files take 161 s to come here and its run up to 61 s, but 87 s are left"
    assert m.handle(reported(duty)) == [Prefetch((spec().image, key)), DeclineTask(1, reason)]


def test_what_is_here_already_takes_no_time() -> None:
    m = machine()
    key = FileRef(FileKind.ASSET, "pk", "3" * 64, 10 << 30)
    duty = prove_duty(files=(key,))
    event = replace(reported(duty), transfers=Transfers(frozenset({key.key}), 1 << 20))
    assert m.handle(event) == [FetchFiles(KEY, duty.spec), AcceptTask(1)]


def test_a_measured_rate_counts() -> None:
    m = machine()
    duty = prove_duty(files=(FileRef(FileKind.ASSET, "pk", "3" * 64, 64 << 20),))
    slow = replace(reported(duty), transfers=Transfers(bytes_per_s=1 << 20))
    assert [type(effect) for effect in m.handle(slow)] == [Prefetch, DeclineTask]


def test_a_decline_beyond_the_limit_is_pointed_out() -> None:
    m = machine(cpu_millis=500)
    m.handle(StandingReported(standing(declines_left=1)))
    effects = m.handle(reported(prove_duty(1), prove_duty(2)))
    assert [effect for effect in effects if isinstance(effect, Warn)] == [
        Warn("declining task 2 counts as a miss, because no declines are left", 2)
    ]


def test_what_is_due_first_runs_first() -> None:
    m = machine(cpu_millis=1500)
    late, early = prove_duty(1, accepted=True, deadline_ms=90_000), prove_duty(2, accepted=True, deadline_ms=80_000)
    running_one = prove_duty(3, accepted=True)
    m.handle(reported(late, early, running_one))
    m.handle(Fetched(prove_key(3, 3)))
    m.handle(Fetched(prove_key(1, 1)))
    m.handle(Fetched(prove_key(2, 2)))
    assert RunJob(prove_key(2, 2), spec()) in m.handle(RunFinished(prove_key(3, 3), outcome()))
    m.validate_state()


def test_what_would_fit_if_all_went_as_usual_is_answered_as_late_as_can_be() -> None:
    m = machine(cpu_millis=1500)
    running_usually_short(m)
    assert m.handle(reported(prove_duty(1, accepted=True), prove_duty(2, accept_by=16), height=12)) == []
    assert m.prove_phases()[2] is Phase.UNDECIDED
    assert m.handle(reported(prove_duty(1, accepted=True), prove_duty(2, accept_by=16), height=13)) == []
    late = m.handle(reported(prove_duty(1, accepted=True), prove_duty(2, accept_by=16), height=14))
    assert [type(effect) for effect in late] == [Prefetch, DeclineTask]


def test_an_unanswered_offer_is_accepted_once_it_fits() -> None:
    m = machine(cpu_millis=1500)
    running_usually_short(m)
    m.handle(reported(prove_duty(1, accepted=True), prove_duty(2, accept_by=16), height=12))
    m.handle(RunFinished(KEY, outcome()))
    effects = m.handle(reported(prove_duty(1, accepted=True), prove_duty(2, accept_by=16), height=13))
    assert effects == [FetchFiles(prove_key(2, 2), spec()), AcceptTask(2)]


def test_a_draining_node_does_not_leave_an_offer_unanswered() -> None:
    m = machine(cpu_millis=1500)
    running_usually_short(m)
    m.handle(reported(prove_duty(1, accepted=True), prove_duty(2), height=12))
    m.handle(Draining())
    effects = m.handle(reported(prove_duty(1, accepted=True), prove_duty(2), height=13))
    assert effects == [DeclineTask(2, "the node is shutting down")]


def test_an_operator_may_trust_experience() -> None:
    m = machine(cpu_millis=1500, trust_learned=True)
    running_usually_short(m)
    offered = reported(prove_duty(1, accepted=True), prove_duty(2, accept_by=13), height=12)
    assert [type(one) for one in m.handle(offered)] == [Prefetch, DeclineTask]
    offered = reported(prove_duty(1, accepted=True), prove_duty(3), height=13)
    effects = m.handle(replace(offered, likely_ms={3: 5_000}))
    assert effects[-2:] == [FetchFiles(prove_key(3, 2), spec()), AcceptTask(3)]
    assert [one.hopeful for one in m.assignments()] == [False, True]


def running_usually_short(m: Machine) -> None:
    """Task 1 runs for up to 60 s and usually for 5 s."""
    m.handle(replace(reported(prove_duty()), likely_ms={1: 5_000}))
    m.handle(Fetched(KEY))
    m.handle(reported(prove_duty(accepted=True), height=11))
    assert m.prove_phases() == {1: Phase.RUNNING}


def test_of_several_offers_the_one_whose_files_are_here_is_answered_first() -> None:
    m = machine(cpu_millis=1500)
    pk = FileRef(FileKind.ASSET, "pk", "3" * 64, 1 << 20)
    event = replace(reported(prove_duty(1, files=(pk,)), prove_duty(2)), transfers=Transfers(frozenset({"1" * 64})))
    assert [effect for effect in m.handle(event) if isinstance(effect, AcceptTask)] == [AcceptTask(2)]


def test_a_task_accepted_although_declined_is_done() -> None:
    m = machine(cpu_millis=1500)
    m.handle(reported(prove_duty(1), prove_duty(2)))
    effects = m.handle(reported(prove_duty(2, accepted=True), height=11))
    assert FetchFiles(prove_key(2, 2), spec()) in effects


def test_an_accepted_task_larger_than_the_node_is_reported_as_this_provers_fault() -> None:
    m = machine(cpu_millis=500)
    detail = "the task needs 1000 CPU millicores, 500 are free on this node"
    expected = FailureReason.PROVER_ERROR
    assert m.handle(reported(prove_duty(accepted=True))) == [
        Journal(WorkFailed(1, expected, detail)),
        ReportFailure(1, expected, detail),
    ]


def test_accepted_tasks_wait_for_free_resources() -> None:
    m = machine(cpu_millis=1500)
    m.handle(reported(prove_duty(1, accepted=True), prove_duty(2, accepted=True)))
    assert m.handle(Fetched(prove_key(2, 2))) == [RunJob(prove_key(2, 2), spec())]
    assert m.handle(Fetched(prove_key(1, 1))) == []
    assert RunJob(prove_key(1, 1), spec()) in m.handle(RunFinished(prove_key(2, 2), outcome()))


def test_a_task_that_is_no_longer_ours_is_cancelled() -> None:
    m = machine()
    running(m)
    assert m.handle(reported(height=12)) == [Cancel(KEY), Forget(KEY), Inquire(1, "running")]
    assert m.handle(RunFinished(KEY, outcome())) == []
    assert m.handle(ProofStored(KEY, PROOF)) == []


def test_the_place_of_a_cancelled_container_is_free_only_once_it_is_gone() -> None:
    m = machine(cpu_millis=1500)
    running(m)
    m.handle(reported(prove_duty(2, accepted=True), height=12))
    again = prove_key(2, 2)
    assert m.handle(Fetched(again)) == []
    m.validate_state()
    assert m.handle(Stopped(KEY)) == [RunJob(again, spec())]


def test_a_node_that_lags_behind_does_not_cancel_work() -> None:
    m = machine()
    running(m)
    assert m.handle(reported(height=9)) == []
    assert m.prove_phases() == {1: Phase.RUNNING}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FileKind.INPUT, FailureReason.INPUT_UNAVAILABLE),
        (FileKind.IMAGE, FailureReason.IMAGE_UNAVAILABLE),
        (FileKind.ASSET, FailureReason.IMAGE_UNAVAILABLE),
    ],
)
def test_a_file_that_cannot_be_had_is_reported(kind: FileKind, reason: FailureReason) -> None:
    m = machine()
    m.handle(reported(prove_duty(accepted=True)))
    assert m.handle(FetchFailed(KEY, kind, "it ended")) == failed(reason)


def test_a_failure_before_the_acceptance_landed_is_reported_after_it() -> None:
    m = machine()
    m.handle(reported(prove_duty()))
    m.handle(FetchFailed(KEY, FileKind.INPUT, "404"))
    effects = m.handle(reported(prove_duty(accepted=True), height=11))
    assert effects == [ReportFailure(1, FailureReason.INPUT_UNAVAILABLE, "404")]


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (outcome(Reason.EXITED, 3), FailureReason.EXIT_CODE),
        (outcome(Reason.OUT_OF_MEMORY, 137), FailureReason.OUT_OF_MEMORY),
        (outcome(Reason.TIME_LIMIT, None), FailureReason.TIME_LIMIT),
        (outcome(Reason.OUTPUT_LIMIT, 1), FailureReason.BAD_OUTPUT),
        (outcome(Reason.IMAGE_UNUSABLE, None), FailureReason.IMAGE_UNAVAILABLE),
    ],
)
def test_a_run_that_fails_is_reported(ended: object, reason: FailureReason) -> None:
    m = machine()
    running(m)
    assert m.handle(RunFinished(KEY, ended)) == failed(reason)  # type: ignore[arg-type]


def test_output_that_cannot_be_packed_is_bad_output() -> None:
    m = machine()
    running(m)
    m.handle(RunFinished(KEY, outcome()))
    assert m.handle(PackFailed(KEY, "the output holds no file")) == failed(
        FailureReason.BAD_OUTPUT, "the output holds no file"
    )


@pytest.mark.parametrize("reason", [Reason.RUNNER_ERROR, Reason.CANCELLED])
def test_this_machines_own_fault_is_tried_again_once_and_then_reported(reason: Reason) -> None:
    m = machine()
    running(m)
    again = prove_key(attempt=2)
    assert m.handle(RunFinished(KEY, outcome(reason, None))) == [Forget(KEY), FetchFiles(again, spec())]
    assert m.handle(Fetched(again)) == [RunJob(again, spec())]
    assert m.handle(JobBroken(again, "the disk is full")) == [
        Journal(WorkFailed(1, FailureReason.PROVER_ERROR, "the disk is full")),
        Forget(again),
        ReportFailure(1, FailureReason.PROVER_ERROR, "the disk is full"),
    ]


def test_a_detail_is_one_line_within_the_protocols_length() -> None:
    m = machine()
    running(m)
    effects = m.handle(RunFinished(KEY, outcome(Reason.EXITED, 2, "line one\nline two " + "é" * 300)))
    report = effects[-1]
    assert isinstance(report, ReportFailure)
    assert report.detail.startswith("line one line two é")
    assert len(report.detail.encode()) in (255, 256)


def test_a_restarted_daemon_submits_a_proof_that_it_had_already_made() -> None:
    m = machine()
    assert m.handle(Restarted((ProofMade(1, PROOF),))) == []
    assert m.handle(reported(prove_duty(accepted=True))) == [SubmitProof(1, PROOF)]


def test_where_a_proof_could_be_copied_it_is_committed_to_and_revealed_in_a_later_block() -> None:
    m = machine()
    offer = prove_duty(commit_first=True)
    assert m.handle(reported(offer)) == [FetchFiles(KEY, spec()), AcceptTask(1)]
    m.handle(Fetched(KEY))
    m.handle(reported(prove_duty(accepted=True, commit_first=True), height=11))
    m.handle(RunFinished(KEY, outcome()))
    assert m.handle(ProofStored(KEY, PROOF)) == [
        Journal(ProofMade(1, PROOF)),
        Forget(KEY),
        CommitProof(1, COMMITMENT),
    ]
    committed = prove_duty(accepted=True, commit_first=True, commitment=COMMITMENT)
    assert m.handle(reported(committed, height=13)) == [SubmitProof(1, PROOF, SALT)]
    assert m.handle(reported(committed, height=14)) == []


def test_a_daemon_restarted_between_commit_and_reveal_reveals() -> None:
    m = machine()
    m.handle(Restarted((ProofMade(1, PROOF),)))
    committed = prove_duty(accepted=True, commit_first=True, commitment=COMMITMENT)
    assert m.handle(reported(committed)) == [SubmitProof(1, PROOF, SALT)]


def test_a_daemon_that_lost_everything_makes_the_proof_anew_and_reveals_it() -> None:
    m = machine()
    committed = prove_duty(accepted=True, commit_first=True, commitment=COMMITMENT)
    assert m.handle(reported(committed)) == [FetchFiles(KEY, spec())]
    assert m.handle(Fetched(KEY)) == [RunJob(KEY, spec())]
    m.handle(RunFinished(KEY, outcome()))
    assert m.handle(ProofStored(KEY, PROOF))[-1] == SubmitProof(1, PROOF, SALT)


def test_a_commitment_to_another_proof_is_pointed_out_once_and_nothing_is_sent() -> None:
    m = machine()
    m.handle(Restarted((ProofMade(1, PROOF),)))
    foreign = prove_duty(accepted=True, commit_first=True, commitment=b"x" * 32)
    assert [type(effect) for effect in m.handle(reported(foreign))] == [Warn]
    assert m.handle(reported(foreign, height=11)) == []


def test_a_prover_that_was_superseded_after_its_proof_was_made_sends_nothing_more() -> None:
    m = machine()
    m.handle(Restarted((ProofMade(1, PROOF),)))
    m.handle(reported(prove_duty(accepted=True, commit_first=True)))
    assert m.handle(reported(height=11)) == [Inquire(1, "proved"), Journal(AssignmentEnded(1))]
    m.validate_state()


def test_a_capacity_test_begins_accepted_and_runs_as_soon_as_its_files_are_here() -> None:
    m = machine()
    assert m.handle(reported(prove_duty(accepted=True, is_test=True))) == [FetchFiles(KEY, spec())]
    assert m.handle(Fetched(KEY)) == [RunJob(KEY, spec())]


def test_a_test_of_a_larger_claim_runs_although_this_node_is_configured_for_less_and_alone() -> None:
    m = machine(cpu_millis=1500)
    running(m)
    test = prove_duty(2, accepted=True, is_test=True, cpu_millis=3000)
    m.handle(reported(prove_duty(1, accepted=True), test, height=12))
    assert m.handle(Fetched(prove_key(2, 2))) == []
    assert RunJob(prove_key(2, 2), test.spec) in m.handle(RunFinished(KEY, outcome()))
    m.validate_state()
    m.handle(reported(prove_duty(3, accepted=True), test, height=13))
    assert m.handle(Fetched(prove_key(3, 3))) == []


def test_a_draining_node_does_a_test_all_the_same() -> None:
    m = machine()
    m.handle(Draining())
    assert m.handle(reported(prove_duty(accepted=True, is_test=True))) == [FetchFiles(KEY, spec())]


def test_a_restarted_daemon_reports_a_failure_without_running_again() -> None:
    m = machine()
    m.handle(Restarted((WorkFailed(1, FailureReason.EXIT_CODE, "exit code 2"),)))
    assert m.handle(reported(prove_duty(accepted=True))) == [ReportFailure(1, FailureReason.EXIT_CODE, "exit code 2")]


def test_a_restarted_daemon_runs_again_only_what_was_lost() -> None:
    m = machine()
    m.handle(Restarted((ProofMade(1, PROOF),)))
    effects = m.handle(reported(prove_duty(1, accepted=True), prove_duty(2, accepted=True)))
    assert effects == [FetchFiles(prove_key(2, 1), spec()), SubmitProof(1, PROOF)]


def test_what_the_chain_settled_while_the_daemon_was_down_is_forgotten() -> None:
    m = machine()
    m.handle(Restarted((ProofMade(1, PROOF),)))
    assert m.handle(reported()) == [Journal(AssignmentEnded(1))]


def test_a_draining_node_declines_offers_and_finishes_its_work() -> None:
    m = machine()
    running(m)
    assert m.handle(Draining()) == []
    effects = m.handle(reported(prove_duty(1, accepted=True), prove_duty(2), height=12))
    assert effects == [DeclineTask(2, "the node is shutting down")]
    assert m.unfinished == 1
    assert m.handle(RunFinished(KEY, outcome())) == [PackProof(KEY, USAGE)]


def test_a_proof_committed_under_an_earlier_node_key_is_revealed_with_it() -> None:
    m = machine()
    m.handle(Restarted((ProofMade(1, PROOF),)))
    assert m.handle(reported(prove_duty(accepted=True, commit_first=True))) == [CommitProof(1, COMMITMENT)]
    m.handle(NodeKeyRotated(b"n" * 32))
    committed = prove_duty(accepted=True, commit_first=True, commitment=COMMITMENT)
    assert m.handle(reported(committed, height=12)) == [SubmitProof(1, PROOF, SALT)]


def test_a_proof_made_after_a_rotation_is_committed_with_the_new_key() -> None:
    m = machine()
    m.handle(NodeKeyRotated(b"n" * 32))
    m.handle(Restarted((ProofMade(1, PROOF),)))
    new = commitments(b"n" * 32)
    assert m.handle(reported(prove_duty(accepted=True, commit_first=True))) == [
        CommitProof(1, new.commitment(1, PROOF))
    ]


def test_containers_that_outlived_an_earlier_process_are_gone_on_with_before_others_start() -> None:
    m = machine(cpu_millis=1500)
    m.handle(Restarted((), frozenset({"prove-2"})))
    m.handle(reported(prove_duty(1, accepted=True), prove_duty(2, accepted=True, deadline_ms=200_000)))
    # The other is due earlier and has its files first, but its place is taken already.
    assert m.handle(Fetched(KEY)) == []
    assert m.handle(Fetched(prove_key(2, 2))) == [RunJob(prove_key(2, 2), spec())]
    assert RunJob(KEY, spec()) in m.handle(RunFinished(prove_key(2, 2), outcome()))
    m.validate_state()
