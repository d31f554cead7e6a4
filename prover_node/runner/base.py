"""What every runner takes and gives back: one container job of protocol §4, and how it ended."""

from __future__ import annotations

import enum
import hashlib
import json
import math
import re
import resource
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

CONTAINER_UID = 65532
"""The user and group id inside every container: never root, whatever the image asks for."""

INPUT_MOUNT = "/mnt/input"
ASSETS_MOUNT = "/mnt/assets"
PROOF_MOUNT = "/mnt/proof"
OUTPUT_MOUNT = "/mnt/output"

SHARED_MEMORY_BYTES = 64 << 20
"""Size of /dev/shm, which counts towards the job's memory."""

CPU_WEIGHT = 20
"""The containers' share of a contended CPU, all of them together; 100 is what everything else has.

So the daemon votes and answers in time however much its containers compute.
"""

NICENESS = 10
"""The same for where there are no control groups."""

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


_OPEN_FILES = 65_536


def open_files_limit() -> int:
    """How many files each process of a program may have open; less where this machine allows no more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)


class RunnerError(Exception):
    """A runner can't be used on this machine; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a job may use.

    Files under ``/tmp`` and ``/mnt/output`` live in memory and count towards ``memory_bytes`` too,
    so ``tmp_bytes`` and ``output_bytes`` are upper bounds, not additions.
    """

    cpu_millis: int
    memory_bytes: int
    gpus: int
    time_limit_s: int
    output_bytes: int
    output_inodes: int
    tmp_bytes: int
    pids: int = 512
    log_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        for name in (
            "cpu_millis",
            "memory_bytes",
            "time_limit_s",
            "output_bytes",
            "output_inodes",
            "tmp_bytes",
            "pids",
            "log_bytes",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"the limit {name} must be above zero, not {getattr(self, name)}")
        if self.gpus < 0:
            raise ValueError(f"the limit gpus must not be negative, not {self.gpus}")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a prover or verifier container.

    ``image`` is an OCI-layout or docker-archive tar whose sha256 the caller has already compared
    with ``image_sha256`` (hex). An empty ``command`` means the image's own entry point and cmd; a
    given one replaces both. The mounted directories and their files must be readable by everyone,
    though nobody need be able to walk to them. ``output_dir`` must be an existing, empty directory;
    it is filled when the program has exited, and is ``None`` for verifiers.

    ``left_s`` is how long from now on anybody wants the result: what takes longer is stopped. ``work`` names what
    the job is for; a container that an earlier process of this node began for the same work, in the same way,
    is gone on with instead of beginning again. Empty where that may not be.
    """

    id: str
    image: Path
    image_sha256: str
    command: tuple[str, ...]
    input_dir: Path
    assets_dir: Path | None
    proof_dir: Path | None
    output_dir: Path | None
    limits: Limits
    env: Mapping[str, str] = field(default_factory=dict)
    left_s: float = math.inf
    work: str = ""

    def __post_init__(self) -> None:
        for name in (self.id, self.work or self.id):
            if not _JOB_ID.fullmatch(name):
                raise ValueError(f"the job id {name!r} must be 1 to 100 letters, digits, '_', '.' or '-'")
        if not _SHA256.fullmatch(self.image_sha256):
            raise ValueError(f"image_sha256 must be 64 lower-case hex digits, not {self.image_sha256!r}")
        for key, value in self.env.items():
            if not key or "=" in key or "\0" in key + value:
                raise ValueError(f"the environment variable {key!r} has an unusable name or value")
        if any("\0" in arg for arg in self.command):
            raise ValueError("a command argument contains a NUL character")

    @property
    def fingerprint(self) -> str:
        """Hash (hex) of all that decides what the program does, but the contents of the mounted files."""
        what = (self.image_sha256, self.command, asdict(self.limits), dict(self.env), self.output_dir is not None)
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


class Reason(enum.Enum):
    """Why a job ended."""

    EXITED = "exited"
    """The program ended by itself (or crashed); ``exit_code`` says how."""
    TIME_LIMIT = "time limit"
    DEADLINE = "deadline"
    """Nobody wants the result any more, although the program had time left."""
    OUT_OF_MEMORY = "out of memory"
    OUTPUT_LIMIT = "output limit"
    """The program failed with its output full, or left more than it may."""
    IMAGE_UNUSABLE = "image unusable"
    """The archive can't be unpacked, is for another machine, or its command can't be executed."""
    CANCELLED = "cancelled"
    RUNNER_ERROR = "runner error"
    """This machine's own fault: nothing follows about the program."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended and what it used.

    ``exit_code`` is the program's, 128 + n where signal n ended it, and ``None`` unless ``reason``
    is ``EXITED``, ``OUT_OF_MEMORY`` or ``OUTPUT_LIMIT``. ``cpu_ms`` and ``peak_memory_bytes`` are 0
    where the machine doesn't account for them; ``gpu_ms`` is how long its GPUs computed, summed over them.
    ``detail`` is one sentence for people.
    """

    reason: Reason
    exit_code: int | None
    wall_ms: int
    cpu_ms: int
    peak_memory_bytes: int
    stdout: bytes
    stderr: bytes
    detail: str
    gpu_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a running job has used of the processors until now, and holds: memory, and GPUs by number.

    0 where the machine doesn't account for it.
    """

    cpu_ms: int
    memory_bytes: int
    gpus: tuple[int, ...]


class Runner(Protocol):
    """Runs jobs under the container contract of protocol §4."""

    @property
    def name(self) -> str:
        """``docker`` or ``sandbox``."""
        ...

    @property
    def gpus(self) -> int:
        """How many GPUs this runner can give to jobs in all."""
        ...

    @property
    def gpu_obstacle(self) -> str:
        """One sentence on why the GPUs of this machine can't be given to jobs; empty if they can, or there are none."""
        ...

    def unenforced(self) -> tuple[str, ...]:
        """Sentences that name what of the contract this machine can't enforce; empty when all is."""
        ...

    async def run(self, job: Job, *, on_start: Callable[[], None] | None = None) -> Outcome:
        """Run ``job`` to its end; never raises for anything that the program or image does.

        ``on_start`` is called once, when the program itself has been started. Cancelling the
        awaiting asyncio task kills the container before the cancellation is passed on.
        """
        ...

    def uses(self) -> Mapping[str, Use]:
        """What each job that runs uses now, by its id."""
        ...

    async def prepare(self, image: Path, image_sha256: str) -> None:
        """Unpack or load an image, so that its first job loses no time; raises :class:`RunnerError` if it can't."""
        ...

    def keep_images(self, sha256s: Collection[str]) -> None:
        """Never remove the images of these archives to make room for others; replaces what was named before."""
        ...

    async def cancel(self, job_id: str) -> None:
        """Kill the job; its ``run`` ends ``CANCELLED``. Unknown or finished ids are ignored."""
        ...

    async def cleanup_orphans(self) -> list[str]:
        """Remove what an earlier process of this node left, but for its :meth:`survivors`; returns the job ids."""
        ...

    def survivors(self) -> Mapping[str, str]:
        """Which containers of an earlier process can be gone on with: the job's id, by what its ``work`` was.

        Known once orphans have been removed. A job with that work takes its survivor over.
        """
        ...

    async def discard_survivors(self, works: Collection[str]) -> None:
        """Remove the survivors with these works, because no job will take them over."""
        ...

    def leave_running(self) -> None:
        """From now on, what stops waiting for a job leaves its container to the next process, where that is possible.

        So before :meth:`close`, in a node that is going to be started again.
        """
        ...

    async def close(self) -> None:
        """Kill what still runs, unless it was left to the next process, and release everything."""
        ...
