"""What the machine is told. Time and height come only from the chain's reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from prover_node.duties import FileKind, JobKey, ProofRecord, ProveDuty, Standing, VoteDuty
from prover_node.effects import EntryRef
from prover_node.journal_entries import JournalEntry
from prover_node.runner.base import Outcome
from prover_node.transfers import UNMEASURED, Transfers


@dataclass(frozen=True, slots=True)
class DutiesReported:
    """All that the chain wants of this prover at one height; what isn't listed isn't owed."""

    height: int
    time_ms: int
    assignments: tuple[ProveDuty, ...] = ()
    votes: tuple[VoteDuty, ...] = ()
    transfers: Transfers = UNMEASURED
    """How long files take to come here now."""
    likely_ms: Mapping[int, int] = field(default_factory=dict)
    """How long the runs of these tasks take by experience."""


@dataclass(frozen=True, slots=True)
class NodeKeyRotated:
    """The node signs with another key from now on; ``secret`` is that, 32 bytes."""

    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StandingReported:
    """What the chain thinks of this prover."""

    standing: Standing


@dataclass(frozen=True, slots=True)
class Restarted:
    """First event of a process's life: the live entries of the journal, and what an earlier process left running.

    ``surviving`` are works (see ``JobKey.work``) whose containers go on already.
    """

    entries: tuple[JournalEntry, ...] = ()
    surviving: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fetched:
    """Every file of the job is in the store and has the right hash."""

    key: JobKey


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """One file of the job can't be had, from any of its URLs, with its hash."""

    key: JobKey
    kind: FileKind
    detail: str


@dataclass(frozen=True, slots=True)
class ProofUnusable:
    """The fetched bundle has the right hash, but isn't a well-formed bundle within its limits."""

    key: JobKey
    detail: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The container ended."""

    key: JobKey
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ProofStored:
    """The output was packed, and the bundle is safely on disk."""

    key: JobKey
    proof: ProofRecord


@dataclass(frozen=True, slots=True)
class PackFailed:
    """The output can't be packed as a bundle: the program's fault."""

    key: JobKey
    detail: str


@dataclass(frozen=True, slots=True)
class JobBroken:
    """This machine failed, not the program: disk full, engine gone."""

    key: JobKey
    detail: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """A cancelled job has ended, its container is gone."""

    key: JobKey


@dataclass(frozen=True, slots=True)
class TxFailed:
    """A transaction with these entries didn't get into a block: nothing in it happened."""

    entries: tuple[EntryRef, ...]


@dataclass(frozen=True, slots=True)
class Draining:
    """The operator wants to stop: take nothing new, finish what is under way."""


Event: TypeAlias = (
    DutiesReported
    | StandingReported
    | Restarted
    | Fetched
    | FetchFailed
    | ProofUnusable
    | RunFinished
    | ProofStored
    | PackFailed
    | JobBroken
    | Stopped
    | TxFailed
    | NodeKeyRotated
    | Draining
)
