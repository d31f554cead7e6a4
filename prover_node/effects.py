"""What the machine asks for. The interpreter performs a list of effects in its order."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

from prover_node.duties import ContainerSpec, FailureReason, FileRef, JobKey, ProofRecord, Usage, Verdict
from prover_node.journal_entries import JournalEntry


class EntryKind(enum.Enum):
    """The kinds of batched message entries."""

    ACCEPT = "accept"
    DECLINE = "decline"
    PROOF_COMMIT = "proof commit"
    PROOF = "proof"
    FAILURE = "failure"
    COMMIT = "commit"
    REVEAL = "reveal"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class EntryRef:
    """Names one entry, so that what became of its transaction can be told back."""

    kind: EntryKind
    task_id: int
    round: int = 0


@dataclass(frozen=True, slots=True)
class AcceptTask:
    """Send an entry of MsgAcceptTasks."""

    task_id: int

    @property
    def ref(self) -> EntryRef:
        """Name of the entry."""
        return EntryRef(EntryKind.ACCEPT, self.task_id)


@dataclass(frozen=True, slots=True)
class DeclineTask:
    """Send an entry of MsgDeclineTasks."""

    task_id: int
    reason: str

    @property
    def ref(self) -> EntryRef:
        """Name of the entry."""
        return EntryRef(EntryKind.DECLINE, self.task_id)


@dataclass(frozen=True, slots=True)
class CommitProof:
    """Send an entry of MsgCommitProofs; ``commitment`` is 32 bytes."""

    task_id: int
    commitment: bytes

    @property
    def ref(self) -> EntryRef:
        """Name of the entry."""
        return EntryRef(EntryKind.PROOF_COMMIT, self.task_id)


@dataclass(frozen=True, slots=True)
class SubmitProof:
    """Send an entry of MsgSubmitProofs; ``salt`` is 32 bytes where the proof was committed to, else empty.

    ``spare_ms`` are left until the deadline, 0 where there is no time to lose; ``urls`` name copies of the proof.
    """

    task_id: int
    proof: ProofRecord
    salt: bytes = b""
    spare_ms: int = field(default=0, compare=False)
    urls: tuple[str, ...] = field(default=(), compare=False)

    @property
    def ref(self) -> EntryRef:
        """Name of the entry."""
        return EntryRef(EntryKind.PROOF, self.task_id)


@dataclass(frozen=True, slots=True)
class ReportFailure:
    """Send MsgReportFailure; ``detail`` is at most 256 bytes of UTF-8."""

    task_id: int
    reason: FailureReason
    detail: str

    @property
    def ref(self) -> EntryRef:
        """Name of the entry."""
        return EntryRef(EntryKind.FAILURE, self.task_id)


@dataclass(frozen=True, slots=True)
class CommitVote:
    """Send a commit of MsgVotes; ``commitment`` is 32 bytes."""

    task_id: int
    round: int
    commitment: bytes

    @property
    def ref(self) -> EntryRef:
        """Name of the entry."""
        return EntryRef(EntryKind.COMMIT, self.task_id, self.round)


@dataclass(frozen=True, slots=True)
class RevealVote:
    """Send a reveal of MsgVotes; ``salt`` is 32 bytes."""

    task_id: int
    round: int
    verdict: Verdict
    salt: bytes

    @property
    def ref(self) -> EntryRef:
        """Name of the entry."""
        return EntryRef(EntryKind.REVEAL, self.task_id, self.round)


@dataclass(frozen=True, slots=True)
class RequestTest:
    """Send MsgRequestTest."""

    @property
    def ref(self) -> EntryRef:
        """Name of the entry."""
        return EntryRef(EntryKind.TEST, 0)


@dataclass(frozen=True, slots=True)
class FetchFiles:
    """Bring the image and all files into the store; answered by Fetched, FetchFailed or JobBroken.

    What isn't here ``within_ms`` can't be had, if that isn't 0: so it is reported before the deadline.
    """

    key: JobKey
    spec: ContainerSpec
    within_ms: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class RunJob:
    """Run the container; answered by RunFinished, ProofUnusable or JobBroken."""

    key: JobKey
    spec: ContainerSpec


@dataclass(frozen=True, slots=True)
class PackProof:
    """Pack and store the job's output; answered by ProofStored, PackFailed or JobBroken."""

    key: JobKey
    usage: Usage


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop whatever the job is doing; answered by Stopped alone."""

    key: JobKey


@dataclass(frozen=True, slots=True)
class Forget:
    """The job's working files aren't needed any more."""

    key: JobKey


@dataclass(frozen=True, slots=True)
class Journal:
    """Write the entry durably before the next effect."""

    entry: JournalEntry


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Bring files into the store as if they were going to be needed; no answer is wanted."""

    files: tuple[FileRef, ...]


@dataclass(frozen=True, slots=True)
class Inquire:
    """Find out how the chain ended the assignment, for the operator's eyes; ``phase`` is how far it was here."""

    task_id: int
    phase: str


@dataclass(frozen=True, slots=True)
class Warn:
    """Tell the operator something about a task that no other effect shows."""

    message: str
    task_id: int


Entry: TypeAlias = (
    AcceptTask | DeclineTask | CommitProof | SubmitProof | ReportFailure | CommitVote | RevealVote | RequestTest
)
Effect: TypeAlias = Entry | FetchFiles | RunJob | PackProof | Cancel | Forget | Journal | Prefetch | Inquire | Warn
