"""What the chain says that this prover owes (protocol §6), as plain values.

The chain's answer to ``ProverDuties`` is the only source; everything here is a reading of it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from chain.program.image_reference import SCHEME


class FileKind(enum.Enum):
    """What a container's file is for; decides whom a missing one is blamed on."""

    IMAGE = "image"
    ASSET = "asset"
    INPUT = "input"
    PROOF = "proof"


class Verdict(enum.IntEnum):
    """A verifier's answer, numbered as ``proofmill.task.v1.Verdict``."""

    VALID = 1
    INVALID = 2
    INCONCLUSIVE = 3


class FailureReason(enum.IntEnum):
    """Why an assignment failed, numbered as ``proofmill.task.v1.FailureReason``."""

    EXIT_CODE = 1
    OUT_OF_MEMORY = 2
    TIME_LIMIT = 3
    INPUT_UNAVAILABLE = 4
    IMAGE_UNAVAILABLE = 5
    PROVER_ERROR = 6
    BAD_OUTPUT = 7


@dataclass(frozen=True, slots=True)
class Resources:
    """Thousandths of a CPU core, bytes of memory, whole GPUs."""

    cpu_millis: int
    memory_bytes: int
    gpus: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.cpu_millis + other.cpu_millis, self.memory_bytes + other.memory_bytes, self.gpus + other.gpus
        )

    def shortage(self, available: Resources) -> str | None:
        """One phrase that names the first resource of which ``available`` has too little, or ``None``."""
        if self.cpu_millis > available.cpu_millis:
            return f"needs {self.cpu_millis} CPU millicores, {max(available.cpu_millis, 0)} are free"
        if self.memory_bytes > available.memory_bytes:
            return f"needs {self.memory_bytes} bytes of memory, {max(available.memory_bytes, 0)} are free"
        if self.gpus > available.gpus:
            return f"needs {self.gpus} GPUs, {max(available.gpus, 0)} are free"
        return None

    def less(self, other: Resources) -> Resources:
        """What is left when ``other`` is taken away; may go below zero when too much was promised."""
        return Resources(
            self.cpu_millis - other.cpu_millis, self.memory_bytes - other.memory_bytes, self.gpus - other.gpus
        )


@dataclass(frozen=True, slots=True)
class FileRef:
    """One file that a container needs: named, content-addressed, from ``urls`` or ``inline``.

    ``sha256`` is 64 lower-case hex digits and ``size`` bytes; ``name`` is the file's name inside the
    container (empty for images and proofs).
    """

    kind: FileKind
    name: str
    sha256: str
    size: int
    urls: tuple[str, ...] = ()
    inline: bytes | None = None

    @property
    def in_registry(self) -> bool:
        """Whether a registry has it, as an image: ``sha256`` is its manifest's, ``size`` that of manifest and blobs."""
        return self.kind is FileKind.IMAGE and any(url.startswith(SCHEME) for url in self.urls)

    @property
    def key(self) -> str:
        """The file's name in the store.

        A registry's image lies there as an archive, which has another hash than the manifest.
        """
        return f"oci-{self.sha256}" if self.in_registry else self.sha256


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container run as the chain prescribes it: image, files and limits."""

    image: FileRef
    command: tuple[str, ...]
    files: tuple[FileRef, ...]
    """Inputs and assets for this container's role, then, for a verifier, the proof."""
    resources: Resources
    time_limit_s: int
    program: str = ""
    """The program's id, hex."""

    @property
    def all_files(self) -> tuple[FileRef, ...]:
        """The image first, then every other file."""
        return (self.image, *self.files)


@dataclass(frozen=True, slots=True)
class ProveDuty:
    """An assignment that is offered (``accepted`` false) or accepted and not yet proved."""

    task_id: int
    spec: ContainerSpec
    accepted: bool
    accept_by_height: int
    """Last height at which the offer may be accepted."""
    deadline_ms: int
    """Block time by which the proof (or the reveal, after a commit) must be on chain; 0 while only offered."""
    transfer_ms: int = 0
    """What the deadline allows for transfers, beyond the time limit."""
    commit_first: bool = False
    """The proof has to be committed to, and revealed in a later block."""
    commitment: bytes = b""
    """32 bytes once the commit is on chain, empty before."""
    is_test: bool = False
    """The chain's own capacity test: begins accepted, and may ask for more than this node is configured for."""


@dataclass(frozen=True, slots=True)
class VoteDuty:
    """A seat in a committee: what is on chain of this prover's vote, and the one proof that it judges."""

    task_id: int
    round: int
    spec: ContainerSpec
    commitment: bytes
    """32 bytes once the commit is on chain, empty before."""
    commit_closed: bool
    revealed: bool
    commit_deadline_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether this prover may work, as the chain's answer to ``ProverStatus`` says; bonds in umill."""

    status: str
    reason: str
    declines_left: int
    misses: int
    bond: int
    bond_min: int
    test_result: str
    """Of the last capacity test: passed, failed or undecided; empty before the first."""
    test_ended_ms: int
    may_request_test_ms: int
    """Block time from which on it may ask for a test; 0 if it needs none."""
    next_test_ms: int = 0
    """Block time at which it is tested if it stays idle; 0 if it isn't active."""


class Role(enum.StrEnum):
    """Which of a program's two containers."""

    PROVE = "prove"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True, order=True)
class JobKey:
    """One attempt at one container run; a retry is another key, so late answers can't be confused."""

    role: Role
    task_id: int
    round: int
    attempt: int

    @property
    def name(self) -> str:
        """Unique among this daemon's jobs; usable as a file name and as a runner's job id."""
        return f"{self.work}-{self.attempt}"

    @property
    def work(self) -> str:
        """What every attempt is for, in this process or another."""
        seat = f"-{self.round}" if self.role is Role.VERIFY else ""
        return f"{self.role}-{self.task_id}{seat}"


@dataclass(frozen=True, slots=True)
class Usage:
    """As measured by the runner."""

    wall_ms: int = 0
    cpu_ms: int = 0
    peak_memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ProofRecord:
    """A proof bundle that lies in the store: sha256 (hex), size (bytes), and what making it took."""

    sha256: str
    size: int
    usage: Usage
