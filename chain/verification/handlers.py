"""MsgVotes: commits and reveals (protocol §6.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.task.v1.state_pb2 import (
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_VALID,
    Verdict,
)
from proofmill.verification.v1.event_pb2 import EventVoteCommitted, EventVoteRevealed
from proofmill.verification.v1.state_pb2 import ROUND_PHASE_COMMITTING, ROUND_PHASE_REVEALING
from proofmill.verification.v1.tx_pb2 import Commit, MsgVotes, MsgVotesResponse, Reveal

from chain import schema
from chain.errors import (
    COMMIT_CHANGED,
    COMMIT_CLOSED,
    NOT_IN_COMMITTEE,
    REVEAL_CLOSED,
    REVEAL_EARLY,
    REVEAL_MISMATCH,
    VOTE_INVALID,
    WRONG_ROUND,
)
from chain.fields import check_address, check_sha256
from chain.prover.registry import get_prover_of_node
from chain.task.entries import apply_entries, check_entry_count
from chain.task.store import require_progress, require_task
from chain.verification.rounds import close_commits, close_reveals
from chain.verification.votes import SALT_BYTES, vote_commitment

if TYPE_CHECKING:
    from proofmill.verification.v1.state_pb2 import Vote

    from chain.context import Context

_VERDICTS = (VERDICT_VALID, VERDICT_INVALID, VERDICT_INCONCLUSIVE)


def validate_votes(message: MsgVotes) -> None:
    check_address(message.node, "node")
    check_entry_count(len(message.commits) + len(message.reveals), VOTE_INVALID)
    for commit in message.commits:
        check_sha256(commit.commitment, "a commitment", VOTE_INVALID)
    for reveal in message.reveals:
        if reveal.verdict not in _VERDICTS:
            raise VOTE_INVALID.error("a reveal's verdict is missing or unknown: vote valid, invalid or inconclusive")
        if len(reveal.salt) != SALT_BYTES:
            raise VOTE_INVALID.error(f"a reveal's salt has {len(reveal.salt)} bytes instead of {SALT_BYTES}")


def execute_votes(context: Context, message: MsgVotes) -> MsgVotesResponse:
    operator, _ = get_prover_of_node(context.kv, message.node)
    results = apply_entries(
        context, message.commits, lambda entry: entry.task_id, lambda layer, entry: _commit(layer, operator, entry)
    )
    results += apply_entries(
        context, message.reveals, lambda entry: entry.task_id, lambda layer, entry: _reveal(layer, operator, entry)
    )
    return MsgVotesResponse(results=results)


def _commit(context: Context, voter: bytes, entry: Commit) -> None:
    kv, task_id = context.kv, entry.task_id
    vote = _require_vote(context, voter, task_id, entry.round)
    if vote.commitment:
        if vote.commitment == entry.commitment:
            return  # a repeat
        raise COMMIT_CHANGED.error(f"this prover already committed to a vote on task {task_id}; it can't be changed")
    round_ = schema.ROUNDS.require(kv, (task_id, entry.round))
    if round_.phase != ROUND_PHASE_COMMITTING:
        raise COMMIT_CLOSED.error(f"the commit window of task {task_id}, round {entry.round}, is closed")
    vote.commitment = entry.commitment
    vote.committed_height = context.block.height
    schema.VOTES.set(kv, (task_id, entry.round, voter), vote)
    context.emit(EventVoteCommitted(task_id=task_id, round=entry.round, voter=vote.voter))
    round_.commits += 1
    if round_.commits == round_.size:
        close_commits(context, require_task(kv, task_id), require_progress(kv, task_id), round_)
    else:
        schema.ROUNDS.set(kv, (task_id, entry.round), round_)


def _reveal(context: Context, voter: bytes, entry: Reveal) -> None:
    kv, task_id = context.kv, entry.task_id
    vote = _require_vote(context, voter, task_id, entry.round)
    matches = vote_commitment(voter, task_id, entry.round, entry.verdict, entry.salt) == vote.commitment
    if vote.revealed_height and matches:
        return  # a repeat
    round_ = schema.ROUNDS.require(kv, (task_id, entry.round))
    if round_.phase == ROUND_PHASE_COMMITTING:
        raise REVEAL_EARLY.error(f"the votes on task {task_id} are still being committed: reveal in a later block")
    if round_.phase != ROUND_PHASE_REVEALING:
        raise REVEAL_CLOSED.error(f"the reveal window of task {task_id}, round {entry.round}, is closed")
    if context.block.height <= round_.commit_closed_height:
        raise REVEAL_EARLY.error(f"the commit window of task {task_id} closed in this block: reveal in a later one")
    if not vote.commitment:
        raise REVEAL_CLOSED.error(f"this prover committed to no vote on task {task_id}, so it has none to reveal")
    if not matches:
        raise REVEAL_MISMATCH.error(f"the verdict and salt on task {task_id} aren't those that were committed to")
    vote.verdict = entry.verdict
    vote.revealed_height = context.block.height
    schema.VOTES.set(kv, (task_id, entry.round, voter), vote)
    if entry.verdict == VERDICT_VALID:
        round_.valid += 1
    elif entry.verdict == VERDICT_INVALID:
        round_.invalid += 1
    else:
        round_.inconclusive += 1
    schema.ROUNDS.set(kv, (task_id, entry.round), round_)
    name = Verdict.Name(entry.verdict).removeprefix("VERDICT_")
    context.emit(EventVoteRevealed(task_id=task_id, round=entry.round, voter=vote.voter, verdict=name))
    if round_.valid + round_.invalid + round_.inconclusive == round_.commits:
        close_reveals(context, require_task(kv, task_id), require_progress(kv, task_id), round_)


def _require_vote(context: Context, voter: bytes, task_id: int, round_: int) -> Vote:
    vote = schema.VOTES.get(context.kv, (task_id, round_, voter))
    if vote is not None:
        return vote
    progress = require_progress(context.kv, task_id)
    if not 1 <= round_ <= progress.round:
        raise WRONG_ROUND.error(f"task {task_id} has had no verification round {round_}")
    raise NOT_IN_COMMITTEE.error(f"this prover is not in the committee of task {task_id}, round {round_}")
