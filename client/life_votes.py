"""A task's life as its committees make it: who was drawn to judge which proof, votes, and the count of the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import VERDICT_UNSPECIFIED, Assignment, Verdict
from proofmill.verification.v1.state_pb2 import Round, RoundView

from client.life_provers import has_several_proofs
from client.life_step import Rank, Step
from client.plain import enum_label


def verdict_label(verdict: int) -> str:
    return enum_label(Verdict.DESCRIPTOR, verdict)


def attempts_of(answer: QueryTaskResponse) -> dict[str, Assignment]:
    """Each prover's assignment; nobody is drawn twice to prove one task."""
    return {one.prover: one for one in answer.assignments}


def vote_steps(answer: QueryTaskResponse) -> Iterator[Step]:
    """Of all committees, in any order."""
    assignments = attempts_of(answer)
    earlier: dict[str, Round] = {}
    for view in answer.rounds:
        prover = view.round.prover
        yield from _round_steps(answer, view, assignments[prover].attempt, earlier.get(prover))
        earlier[prover] = view.round
    for one in answer.assignments:
        height = decided_height(answer, one.attempt)
        if one.proved_height and height:
            text = _describe_verdict(
                one, earlier[one.prover], several=has_several_proofs(answer.task.task, one.attempt)
            )
            yield Step("decided", text, height, 0, one.attempt, Rank.DECIDED)


def decided_height(answer: QueryTaskResponse, attempt: int) -> int:
    """When the verdict of an attempt's proofs was final; 0 if it isn't. It is settled in the block after."""
    progress = answer.task.progress
    return progress.decided_height if attempt == progress.attempt else progress.fallback_height - 1


def _round_steps(answer: QueryTaskResponse, view: RoundView, attempt: int, before: Round | None) -> Iterator[Step]:
    entry, several = view.round, has_several_proofs(answer.task.task, attempt)
    text = f"of {entry.size} drawn" + (f" to judge the proof of {entry.prover}" if several else "")
    if before is not None:
        text += f", pass {entry.pass_number}: the one before found no quorum, with {describe_count(before)}"
    yield Step("committee", text, entry.drawn_height, 0, attempt, Rank.COMMITTEE)
    where = f" of round {entry.round}" if several or entry.round > 1 else ""
    commits = Counter(vote.committed_height for vote in view.votes if vote.committed_height)
    reveals = Counter(vote.revealed_height for vote in view.votes if vote.revealed_height)
    for name, heights, rank in (
        ("committed", commits, Rank.VOTES_COMMITTED),
        ("revealed", reveals, Rank.VOTES_REVEALED),
    ):
        done = 0
        for height in sorted(heights):
            done += heights[height]
            yield Step(name, f"{done} of {entry.size} votes{where}", height, 0, attempt, rank)


def _describe_verdict(one: Assignment, last: Round, *, several: bool) -> str:
    verdict = "no verdict" if one.verdict == VERDICT_UNSPECIFIED else f"verdict {verdict_label(one.verdict)}"
    on = f" on the proof of {one.prover}" if several else ""
    return f"{verdict}{on}: {describe_count(last)}"


def describe_count(round_: Round) -> str:
    """How a committee voted."""
    if not round_.size:
        return "nobody there to vote"
    silent = round_.size - round_.valid - round_.invalid - round_.inconclusive
    counts = {
        "valid": round_.valid,
        "invalid": round_.invalid,
        "inconclusive": round_.inconclusive,
        "without a vote": silent,
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) + f" of {round_.size}"
