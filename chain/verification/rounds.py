"""The rounds of a verification: committee, commit window, reveal window, verdict (protocol §6.5 to §6.7).

A window closes early once everybody whom it waits for has spoken: nothing could be copied any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.task.v1.state_pb2 import (
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
from proofmill.verification.v1.state_pb2 import Round, Vote

from chain import schema
from chain.address import encode_address
from chain.params import BASIS_POINTS, SECOND_MS
from chain.prover.draw import draw_committee
from chain.prover.duties import Duty, add_duty, remove_duty
from chain.prover.registry import get_active_count
from chain.task.deadlines import Deadline, clear_deadline, set_deadline

if TYPE_CHECKING:
    from proofmill.task.v1.state_pb2 import Progress, Task

    from chain.context import Context
    from chain.state.kv import KVReader


def draw_committees(context: Context) -> None:
    """A committee for every proof of the last block, and for every round that ended without a quorum in it."""
    kv = context.kv
    for task_id in list(schema.PROVED.keys(kv)):
        schema.PROVED.delete(kv, task_id)
        _start_round(context, schema.TASKS.require(kv, task_id), schema.PROGRESS.require(kv, task_id))


def compute_committee_size(context: Context, round_: int) -> int:
    """max(10, ceil(1 % of the active provers)), doubled for each further round."""
    params = context.params
    share = -(-get_active_count(context.kv) * params.committee_share_bp // BASIS_POINTS)
    return max(params.committee_min, share) << (round_ - 1)


def _start_round(context: Context, task: Task, progress: Progress) -> None:
    kv, block = context.kv, context.block
    round_ = progress.round + 1
    provers = frozenset(key[1] for key in schema.ASSIGNMENTS.keys(kv, prefix_of=(task.id,)))
    earlier = frozenset(key[2] for key in schema.VOTES.keys(kv, prefix_of=(task.id,)))
    size = compute_committee_size(context, round_)
    members = draw_committee(context, task.id, round_, size, provers, earlier)
    program = schema.PROGRAMS.require(kv, task.program_id)
    deadline = block.time_ms + program.spec.verifier_time_limit_s * SECOND_MS + task.terms.commit_window_ms
    round_row = Round(
        task_id=task.id, round=round_, size=len(members), drawn_height=block.height, commit_deadline_ms=deadline
    )
    schema.ROUNDS.set(kv, (task.id, round_), round_row)
    names = [encode_address(member) for member in members]
    for member, name in zip(members, names, strict=True):
        schema.VOTES.set(kv, (task.id, round_, member), Vote(voter=name))
        add_duty(kv, member, Duty.VOTE, task.id)
    progress.status = TASK_STATUS_COMMITTING
    progress.round = round_
    schema.PROGRESS.set(kv, task.id, progress)
    set_deadline(kv, deadline, Deadline.COMMIT, task.id)
    context.emit(EventCommitteeDrawn(task_id=task.id, round=round_, size=len(members), members=names))
    if not members:
        close_commits(context, task, progress, round_row)


def close_commits(context: Context, task: Task, progress: Progress, round_: Round) -> None:
    """The commit window ends; with nobody to reveal, so does the round."""
    kv, block = context.kv, context.block
    clear_deadline(kv, round_.commit_deadline_ms, Deadline.COMMIT, task.id)
    round_.commit_closed_height = block.height
    round_.reveal_deadline_ms = block.time_ms + task.terms.reveal_window_ms
    schema.ROUNDS.set(kv, (task.id, round_.round), round_)
    progress.status = TASK_STATUS_REVEALING
    schema.PROGRESS.set(kv, task.id, progress)
    set_deadline(kv, round_.reveal_deadline_ms, Deadline.REVEAL, task.id)
    context.emit(EventCommitClosed(task_id=task.id, round=round_.round, commits=round_.commits))
    if not round_.commits:
        close_reveals(context, task, progress, round_)


def close_reveals(context: Context, task: Task, progress: Progress, round_: Round) -> None:
    """Count the votes: a verdict, a larger committee, or no verdict at all."""
    kv = context.kv
    clear_deadline(kv, round_.reveal_deadline_ms, Deadline.REVEAL, task.id)
    for _, _, voter in list(schema.VOTES.keys(kv, prefix_of=(task.id, round_.round))):
        remove_duty(kv, voter, Duty.VOTE, task.id)
    verdict = compute_verdict(round_, task.terms.verdict_quorum_bp)
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
    if verdict == VERDICT_UNSPECIFIED and round_.round < context.params.verification_rounds_max:
        progress.status = TASK_STATUS_PROVED
        schema.PROVED.add(kv, task.id)
    else:
        progress.status = TASK_STATUS_DECIDED
        progress.verdict = verdict
        progress.decided_height = context.block.height
        schema.DECIDED.add(kv, task.id)
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


def end_commit_window(context: Context, task_id: int) -> None:
    """The commit deadline has passed."""
    task, progress, round_ = _current(context.kv, task_id)
    close_commits(context, task, progress, round_)


def end_reveal_window(context: Context, task_id: int) -> None:
    """The reveal deadline has passed."""
    task, progress, round_ = _current(context.kv, task_id)
    close_reveals(context, task, progress, round_)


def _current(kv: KVReader, task_id: int) -> tuple[Task, Progress, Round]:
    progress = schema.PROGRESS.require(kv, task_id)
    return schema.TASKS.require(kv, task_id), progress, schema.ROUNDS.require(kv, (task_id, progress.round))
