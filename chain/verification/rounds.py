"""The rounds of a verification: committee, commit window, reveal window, verdict (protocol §6.5 to §6.7).

A round judges one proof. A window closes early once everybody whom it waits for has spoken: nothing could be copied
any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_PROVED,
    TASK_STATUS_COMMITTING,
    TASK_STATUS_DECIDED,
    TASK_STATUS_PROVED,
    TASK_STATUS_REVEALING,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_UNSPECIFIED,
    VERDICT_VALID,
    Verdict,
)
from proofmill.verification.v1.event_pb2 import EventCommitClosed, EventCommitteeDrawn, EventVerdict
from proofmill.verification.v1.state_pb2 import (
    ROUND_PHASE_CLOSED,
    ROUND_PHASE_COMMITTING,
    ROUND_PHASE_REVEALING,
    Round,
    Vote,
)

from chain import schema
from chain.address import decode_address, encode_address
from chain.params import BASIS_POINTS, SECOND_MS
from chain.prover.draw import draw_committee
from chain.prover.duties import Duty, add_duty, remove_duty
from chain.prover.lifecycle import note_duty_over
from chain.prover.registry import get_active_count
from chain.task.attempt import get_attempt
from chain.task.deadlines import Deadline, clear_deadline, set_deadline

if TYPE_CHECKING:
    from proofmill.params.v1.state_pb2 import Params
    from proofmill.task.v1.state_pb2 import Assignment, Progress, Task

    from chain.context import Context
    from chain.state.kv import KV, KVReader


def draw_committees(context: Context) -> None:
    """A committee for every proof of the last block, and for every round that ended without a quorum in it."""
    kv = context.kv
    for task_id, prover in list(schema.PROVED.keys(kv)):
        schema.PROVED.delete(kv, (task_id, prover))
        _start_round(context, schema.TASKS.require(kv, task_id), schema.PROGRESS.require(kv, task_id), prover)


def compute_committee_size(terms: Params, active: int, pass_number: int) -> int:
    """max(10, ceil(1 % of the active provers)), doubled for each further pass."""
    share = -(-active * terms.committee_share_bp // BASIS_POINTS)
    return max(terms.committee_min, share) << (pass_number - 1)


def _start_round(context: Context, task: Task, progress: Progress, prover: bytes) -> None:
    kv, block, terms = context.kv, context.block, context.terms(task)
    number = progress.round + 1
    assignment = schema.ASSIGNMENTS.require(kv, (task.id, prover))
    pass_number = schema.ROUNDS.require(kv, (task.id, assignment.round)).pass_number + 1 if assignment.round else 1
    provers = frozenset(key[1] for key in schema.ASSIGNMENTS.keys(kv, prefix_of=(task.id,)))
    earlier = frozenset(key[2] for key in schema.VOTES.keys(kv, prefix_of=(task.id,)))
    size = compute_committee_size(terms, get_active_count(kv), pass_number)
    members = draw_committee(context, task.id, number, size, provers, earlier)
    program = schema.PROGRAMS.require(kv, task.program_id)
    deadline = block.time_ms + program.spec.verifier_time_limit_s * SECOND_MS + terms.commit_window_ms
    round_ = Round(
        task_id=task.id,
        round=number,
        size=len(members),
        drawn_height=block.height,
        commit_deadline_ms=deadline,
        prover=assignment.prover,
        pass_number=pass_number,
        phase=ROUND_PHASE_COMMITTING,
    )
    schema.ROUNDS.set(kv, (task.id, number), round_)
    names = [encode_address(member) for member in members]
    for member, name in zip(members, names, strict=True):
        schema.VOTES.set(kv, (task.id, number, member), Vote(voter=name))
        add_duty(kv, member, Duty.VOTE, task.id, number)
    assignment.round = number
    schema.ASSIGNMENTS.set(kv, (task.id, prover), assignment)
    progress.round = number
    _store(kv, task, progress)
    set_deadline(kv, deadline, Deadline.COMMIT, task.id, prover)
    context.emit(EventCommitteeDrawn(task_id=task.id, round=number, size=len(members), members=names))
    if not members:
        close_commits(context, task, progress, round_)


def close_commits(context: Context, task: Task, progress: Progress, round_: Round) -> None:
    """The commit window ends; with nobody to reveal, so does the round."""
    kv, block, prover = context.kv, context.block, decode_address(round_.prover)
    clear_deadline(kv, round_.commit_deadline_ms, Deadline.COMMIT, task.id, prover)
    round_.commit_closed_height = block.height
    round_.reveal_deadline_ms = block.time_ms + context.terms(task).reveal_window_ms
    round_.phase = ROUND_PHASE_REVEALING
    schema.ROUNDS.set(kv, (task.id, round_.round), round_)
    _store(kv, task, progress)
    set_deadline(kv, round_.reveal_deadline_ms, Deadline.REVEAL, task.id, prover)
    context.emit(EventCommitClosed(task_id=task.id, round=round_.round, commits=round_.commits))
    if not round_.commits:
        close_reveals(context, task, progress, round_)


def close_reveals(context: Context, task: Task, progress: Progress, round_: Round) -> None:
    """Count the votes: a verdict, a larger committee, or no verdict at all."""
    kv, terms, prover = context.kv, context.terms(task), decode_address(round_.prover)
    clear_deadline(kv, round_.reveal_deadline_ms, Deadline.REVEAL, task.id, prover)
    round_.phase = ROUND_PHASE_CLOSED
    schema.ROUNDS.set(kv, (task.id, round_.round), round_)
    for _, _, voter in list(schema.VOTES.keys(kv, prefix_of=(task.id, round_.round))):
        remove_duty(kv, voter, Duty.VOTE, task.id, round_.round)
        note_duty_over(context, voter)
    verdict = compute_verdict(round_, terms.verdict_quorum_bp)
    context.emit(
        EventVerdict(
            task_id=task.id,
            round=round_.round,
            verdict=Verdict.Name(verdict).removeprefix("VERDICT_"),
            valid=round_.valid,
            invalid=round_.invalid,
            inconclusive=round_.inconclusive,
            silent=round_.size - round_.valid - round_.invalid - round_.inconclusive,
        )
    )
    if verdict == VERDICT_UNSPECIFIED and round_.pass_number < terms.verification_rounds_max:
        schema.PROVED.add(kv, (task.id, prover))
    else:
        assignment = schema.ASSIGNMENTS.require(kv, (task.id, prover))
        assignment.verdict = verdict
        schema.ASSIGNMENTS.set(kv, (task.id, prover), assignment)
        progress.proofs_open -= 1
    if not progress.proofs_open:
        _decide(context, task, progress)
    _store(kv, task, progress)


def _decide(context: Context, task: Task, progress: Progress) -> None:
    """All proofs have been judged: valid if any of them is, invalid if any is and none valid."""
    proofs = [
        row for _, row in get_attempt(context.kv, task.id, progress.attempt) if row.status == ASSIGNMENT_STATUS_PROVED
    ]
    for verdict in (VERDICT_VALID, VERDICT_INVALID, VERDICT_INCONCLUSIVE, VERDICT_UNSPECIFIED):
        chosen = [row for row in proofs if row.verdict == verdict]
        if chosen:
            first = min(chosen, key=lambda row: row.proved_height)
            progress.verdict = verdict
            progress.prover = first.prover
            progress.proof.CopyFrom(first.proof)
            break
    progress.decided_height = context.block.height
    schema.DECIDED.add(context.kv, task.id)


def _store(kv: KV, task: Task, progress: Progress) -> None:
    """Store the progress with the status that the rounds of its open proofs make."""
    if not progress.proofs_open:
        progress.status = TASK_STATUS_DECIDED
    else:
        phases = [
            schema.ROUNDS.require(kv, (task.id, row.round)).phase
            for _, row in get_attempt(kv, task.id, progress.attempt)
            if row.round
        ]
        if ROUND_PHASE_COMMITTING in phases:
            progress.status = TASK_STATUS_COMMITTING
        elif ROUND_PHASE_REVEALING in phases:
            progress.status = TASK_STATUS_REVEALING
        else:
            progress.status = TASK_STATUS_PROVED
    schema.PROGRESS.set(kv, task.id, progress)


def compute_verdict(round_: Round, quorum_bp: int) -> Verdict:
    """The verdict that at least a quorum of the whole committee revealed, or VERDICT_UNSPECIFIED."""
    for verdict, votes in (
        (VERDICT_VALID, round_.valid),
        (VERDICT_INVALID, round_.invalid),
        (VERDICT_INCONCLUSIVE, round_.inconclusive),
    ):
        if votes and votes * BASIS_POINTS >= quorum_bp * round_.size:
            return verdict
    return VERDICT_UNSPECIFIED


def end_commit_window(context: Context, task_id: int, prover: bytes) -> None:
    """The commit deadline on a prover's proof has passed."""
    close_commits(context, *_current(context.kv, task_id, prover))


def end_reveal_window(context: Context, task_id: int, prover: bytes) -> None:
    """The reveal deadline on a prover's proof has passed."""
    close_reveals(context, *_current(context.kv, task_id, prover))


def _current(kv: KVReader, task_id: int, prover: bytes) -> tuple[Task, Progress, Round]:
    assignment: Assignment = schema.ASSIGNMENTS.require(kv, (task_id, prover))
    return (
        schema.TASKS.require(kv, task_id),
        schema.PROGRESS.require(kv, task_id),
        schema.ROUNDS.require(kv, (task_id, assignment.round)),
    )
