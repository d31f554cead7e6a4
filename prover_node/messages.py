"""Turns owed entries into messages: as few as possible, each entry judged on its own by the chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from proofmill.prover.v1.tx_pb2 import MsgRequestTest
from proofmill.task.v1 import tx_pb2 as task_tx
from proofmill.task.v1.state_pb2 import Proof, Usage
from proofmill.verification.v1 import tx_pb2 as vote_tx

from chain.fields import URLS_MAX
from client.wallet import TxOutcome
from prover_node.chain_duties import proof_url
from prover_node.effects import (
    AcceptTask,
    CommitProof,
    CommitVote,
    DeclineTask,
    Entry,
    EntryRef,
    ReportFailure,
    RequestTest,
    RevealVote,
    SubmitProof,
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """An entry that the chain didn't take, and its numbered reason."""

    ref: EntryRef
    codespace: str
    code: int
    log: str


@dataclass(frozen=True)
class Batch:
    """One transaction's messages, and the entries in each, in the order of the chain's answers."""

    messages: tuple[Message, ...]
    entries: tuple[tuple[EntryRef, ...], ...]

    @property
    def refs(self) -> tuple[EntryRef, ...]:
        """All entries."""
        return tuple(ref for refs in self.entries for ref in refs)

    def rejections(self, outcome: TxOutcome) -> list[Rejection]:
        """Entries that were refused although the transaction succeeded."""
        refused = []
        for index, (message, refs) in enumerate(zip(self.messages, self.entries, strict=True)):
            answer_type = _ANSWERS.get(type(message))
            if answer_type is None:
                continue
            answer = outcome.response(answer_type, index)
            for ref, result in zip(refs, answer.results, strict=True):
                if result.code:
                    refused.append(Rejection(ref, result.codespace, result.code, result.log))
        return refused


_Answer = (
    task_tx.MsgAcceptTasksResponse
    | task_tx.MsgDeclineTasksResponse
    | task_tx.MsgCommitProofsResponse
    | task_tx.MsgSubmitProofsResponse
    | vote_tx.MsgVotesResponse
)

_ANSWERS: dict[type[Message], type[_Answer]] = {
    task_tx.MsgAcceptTasks: task_tx.MsgAcceptTasksResponse,
    task_tx.MsgDeclineTasks: task_tx.MsgDeclineTasksResponse,
    task_tx.MsgCommitProofs: task_tx.MsgCommitProofsResponse,
    task_tx.MsgSubmitProofs: task_tx.MsgSubmitProofsResponse,
    vote_tx.MsgVotes: vote_tx.MsgVotesResponse,
}


def make_batches(entries: Sequence[Entry], node: str, endpoints: Sequence[str]) -> list[Batch]:
    """Batches for ``entries``, signed for by ``node``; proofs are announced at ``endpoints``.

    A failure report and a request have no entries of their own, so a stale one would undo its neighbours: each gets
    its own batch.
    """
    accepts = [entry for entry in entries if isinstance(entry, AcceptTask)]
    declines = [entry for entry in entries if isinstance(entry, DeclineTask)]
    seals = [entry for entry in entries if isinstance(entry, CommitProof)]
    proofs = [entry for entry in entries if isinstance(entry, SubmitProof)]
    commits = [entry for entry in entries if isinstance(entry, CommitVote)]
    reveals = [entry for entry in entries if isinstance(entry, RevealVote)]
    parts: list[tuple[Message, tuple[EntryRef, ...]]] = []
    if commits or reveals:
        votes = vote_tx.MsgVotes(
            node=node,
            commits=[
                vote_tx.Commit(task_id=one.task_id, round=one.round, commitment=one.commitment) for one in commits
            ],
            reveals=[
                vote_tx.Reveal(
                    task_id=one.task_id, round=one.round, verdict=f"VERDICT_{one.verdict.name}", salt=one.salt
                )
                for one in reveals
            ],
        )
        refs = (*(one.ref for one in commits), *(one.ref for one in reveals))
        parts.append((votes, refs))
    if accepts:
        accept = task_tx.MsgAcceptTasks(node=node, task_ids=[one.task_id for one in accepts])
        parts.append((accept, tuple(one.ref for one in accepts)))
    if declines:
        decline = task_tx.MsgDeclineTasks(
            node=node, entries=[task_tx.Decline(task_id=one.task_id, reason=one.reason) for one in declines]
        )
        parts.append((decline, tuple(one.ref for one in declines)))
    if seals:
        commit = task_tx.MsgCommitProofs(
            node=node,
            entries=[task_tx.ProofCommit(task_id=one.task_id, commitment=one.commitment) for one in seals],
        )
        parts.append((commit, tuple(one.ref for one in seals)))
    if proofs:
        submit = task_tx.MsgSubmitProofs(node=node, entries=[_proof_entry(one, endpoints) for one in proofs])
        parts.append((submit, tuple(one.ref for one in proofs)))
    batches = [Batch(tuple(message for message, _ in parts), tuple(refs for _, refs in parts))] if parts else []
    for one in entries:
        if isinstance(one, ReportFailure):
            report = task_tx.MsgReportFailure(
                node=node,
                task_id=one.task_id,
                reason=f"FAILURE_REASON_{one.reason.name}",
                detail=one.detail,
            )
            batches.append(Batch((report,), ((one.ref,),)))
        elif isinstance(one, RequestTest):
            batches.append(Batch((MsgRequestTest(node=node),), ((one.ref,),)))
    return batches


def _proof_entry(entry: SubmitProof, endpoints: Sequence[str]) -> task_tx.ProofEntry:
    usage = entry.proof.usage
    own = [proof_url(endpoint, entry.proof.sha256) for endpoint in endpoints]
    proof = Proof(
        sha256=bytes.fromhex(entry.proof.sha256),
        size=entry.proof.size,
        urls=[*own[: URLS_MAX - len(entry.urls)], *entry.urls],
        usage=Usage(wall_ms=usage.wall_ms, cpu_ms=usage.cpu_ms, peak_memory_bytes=usage.peak_memory_bytes),
    )
    return task_tx.ProofEntry(task_id=entry.task_id, proof=proof, salt=entry.salt)
