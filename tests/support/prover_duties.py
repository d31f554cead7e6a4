"""Duties, outcomes and keys for tests of the prover's decisions."""

from __future__ import annotations

from prover_node.ballots import Ballots
from prover_node.duties import ContainerSpec, FileKind, FileRef, JobKey, ProveDuty, Resources, Role, Standing, VoteDuty
from prover_node.machine import Machine, MachineConfig
from prover_node.proof_commitments import ProofCommitments
from prover_node.runner.base import Outcome, Reason

OPERATOR = bytes(range(20))
GIB = 1 << 30


def ballots(secret: bytes = b"s" * 32) -> Ballots:
    return Ballots((secret,), "test-1", OPERATOR)


def commitments(secret: bytes = b"s" * 32) -> ProofCommitments:
    return ProofCommitments((secret,), "test-1", OPERATOR)


def machine(
    *, cpu_millis: int = 4000, parallel_verifiers: int = 2, auto_retest: bool = False, trust_learned: bool = False
) -> Machine:
    config = MachineConfig(Resources(cpu_millis, 8 * GIB), parallel_verifiers, auto_retest, trust_learned)
    return Machine(config, ballots(), commitments())


def standing(
    status: str = "active", *, declines_left: int = 1, may_request_test_ms: int = 0, bond: int = 2000, misses: int = 0
) -> Standing:
    """A prover's standing, with a least bond of 1000."""
    return Standing(status, "because", declines_left, misses, bond, 1000, "", 0, may_request_test_ms)


def spec(cpu_millis: int = 1000, files: tuple[FileRef, ...] = ()) -> ContainerSpec:
    image = FileRef(FileKind.IMAGE, "", "1" * 64, 100, ("http://files/image",))
    return ContainerSpec(image, (), files, Resources(cpu_millis, GIB), 60)


def prove_duty(
    task_id: int = 1,
    *,
    accepted: bool = False,
    accept_by: int = 100,
    cpu_millis: int = 1000,
    deadline_ms: int = 100_000,
    commit_first: bool = False,
    commitment: bytes = b"",
    is_test: bool = False,
    files: tuple[FileRef, ...] = (),
) -> ProveDuty:
    """An assignment with a time limit of 60 s and an allowance of 30 s."""
    deadline = deadline_ms if accepted else 0
    what = spec(cpu_millis, files)
    return ProveDuty(task_id, what, accepted, accept_by, deadline, 30_000, commit_first, commitment, is_test)


def vote_duty(
    task_id: int = 1,
    round_: int = 1,
    *,
    commitment: bytes = b"",
    closed: bool = False,
    revealed: bool = False,
    deadline_ms: int = 60_000,
) -> VoteDuty:
    proof = FileRef(FileKind.PROOF, "", "2" * 64, 10_240, ("http://prover/proof",))
    return VoteDuty(task_id, round_, spec(files=(proof,)), commitment, closed, revealed, deadline_ms)


def prove_key(task_id: int = 1, attempt: int = 1) -> JobKey:
    return JobKey(Role.PROVE, task_id, 0, attempt)


def verify_key(task_id: int = 1, round_: int = 1, attempt: int = 1) -> JobKey:
    return JobKey(Role.VERIFY, task_id, round_, attempt)


def outcome(reason: Reason = Reason.EXITED, exit_code: int | None = 0, detail: str = "it ended") -> Outcome:
    return Outcome(
        reason=reason,
        exit_code=exit_code,
        wall_ms=1200,
        cpu_ms=1100,
        peak_memory_bytes=4096,
        stdout=b"",
        stderr=b"",
        detail=detail,
    )
