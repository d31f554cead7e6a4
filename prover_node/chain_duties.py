"""Reads the chain's answer to ``ProverDuties`` into the machine's terms."""

from __future__ import annotations

from collections.abc import Iterable

from proofmill.program.v1.state_pb2 import Asset, Image, ProgramSpec
from proofmill.prover.v1.query_pb2 import (
    AssignmentDuty,
    QueryProverDutiesResponse,
    QueryProverStatusResponse,
    VoteDuty as VoteDutyMessage,
)
from proofmill.prover.v1.state_pb2 import ProverStatus, TestResult
from proofmill.task.v1.state_pb2 import ASSIGNMENT_STATUS_ACCEPTED, ASSIGNMENT_STATUS_COMMITTED, Input
from proofmill.types.v1 import types_pb2
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, AUDIENCE_PROVER, AUDIENCE_VERIFIER
from proofmill.verification.v1.state_pb2 import ROUND_PHASE_COMMITTING

from prover_node.duties import ContainerSpec, FileKind, FileRef, ProveDuty, Resources, Standing, VoteDuty
from prover_node.events import DutiesReported

_AT_WORK = (ASSIGNMENT_STATUS_ACCEPTED, ASSIGNMENT_STATUS_COMMITTED)
_PROVER_READS = (AUDIENCE_PROVER, AUDIENCE_BOTH)
_VERIFIER_READS = (AUDIENCE_VERIFIER, AUDIENCE_BOTH)


def read_duties(answer: QueryProverDutiesResponse) -> DutiesReported:
    """The event that tells the machine what ``answer`` says."""
    return DutiesReported(
        height=answer.height,
        time_ms=answer.time_ms,
        assignments=tuple(_prove_duty(duty) for duty in answer.assignments),
        votes=tuple(_vote_duty(duty) for duty in answer.votes),
    )


def read_standing(answer: QueryProverStatusResponse) -> Standing:
    """What ``answer`` says, as far as decisions depend on it."""
    result = TestResult.Name(answer.test_result).removeprefix("TEST_RESULT_").lower()
    return Standing(
        status=ProverStatus.Name(answer.status).removeprefix("PROVER_STATUS_").lower(),
        reason=answer.reason,
        declines_left=answer.declines_left,
        misses=answer.misses,
        bond=answer.bond,
        bond_min=answer.bond_min,
        test_result=result if answer.test_result else "",
        test_ended_ms=answer.test_ended_ms,
        may_request_test_ms=answer.may_request_test_ms,
        next_test_ms=answer.next_idle_test_ms,
    )


def program_files(spec: ProgramSpec) -> tuple[FileRef, ...]:
    """Both images and all assets of a program."""
    every = (AUDIENCE_BOTH, AUDIENCE_PROVER, AUDIENCE_VERIFIER)
    return _image(spec.prover), _image(spec.verifier), *_files((), spec.assets, every)


def _prove_duty(duty: AssignmentDuty) -> ProveDuty:
    task, spec, assignment = duty.task, duty.program.spec, duty.assignment
    return ProveDuty(
        task_id=task.id,
        spec=ContainerSpec(
            image=_image(spec.prover),
            command=tuple(spec.prover.command),
            files=_files(task.inputs, spec.assets, _PROVER_READS),
            resources=resources_of(task.resources),
            time_limit_s=task.time_limit_s,
            program=task.program_id.hex(),
        ),
        accepted=assignment.status in _AT_WORK,
        accept_by_height=assignment.accept_by_height,
        deadline_ms=assignment.deadline_ms,
        transfer_ms=task.transfer_ms,
        commit_first=assignment.commit_first,
        commitment=assignment.commitment,
        is_test=bool(task.test),
    )


def _vote_duty(duty: VoteDutyMessage) -> VoteDuty:
    spec, proof = duty.program.spec, duty.proof
    digest = proof.sha256.hex()
    urls = (*proof.urls, *(proof_url(endpoint, digest) for endpoint in duty.prover_endpoints))
    bundle = FileRef(FileKind.PROOF, "", digest, proof.size, tuple(dict.fromkeys(urls)))
    return VoteDuty(
        task_id=duty.task.id,
        round=duty.round.round,
        spec=ContainerSpec(
            image=_image(spec.verifier),
            command=tuple(spec.verifier.command),
            files=(*_files(duty.task.inputs, spec.assets, _VERIFIER_READS), bundle),
            resources=resources_of(spec.verifier_resources),
            time_limit_s=spec.verifier_time_limit_s,
            program=duty.task.program_id.hex(),
        ),
        commitment=duty.vote.commitment,
        commit_closed=duty.round.phase != ROUND_PHASE_COMMITTING,
        revealed=duty.vote.revealed_height > 0,
        commit_deadline_ms=duty.round.commit_deadline_ms,
    )


def proof_url(endpoint: str, digest: str) -> str:
    """Where a prover node with this base URL serves the blob ``digest`` (hex)."""
    return f"{endpoint.rstrip('/')}/blobs/{digest}"


def resources_of(message: types_pb2.Resources) -> Resources:
    """The plain form of a Resources message."""
    return Resources(message.cpu_millis, message.memory_bytes, message.gpus)


def _image(image: Image) -> FileRef:
    return FileRef(FileKind.IMAGE, "", image.sha256.hex(), image.bytes, tuple(image.urls))


def _files(inputs: Iterable[Input], assets: Iterable[Asset], audiences: tuple[int, ...]) -> tuple[FileRef, ...]:
    wanted_inputs = tuple(
        FileRef(
            FileKind.INPUT,
            given.name,
            given.sha256.hex(),
            given.size,
            tuple(given.urls),
            # An empty file has no URLs and no bytes either.
            None if given.urls else given.inline,
        )
        for given in inputs
        if given.audience in audiences
    )
    wanted_assets = tuple(
        FileRef(FileKind.ASSET, asset.name, asset.sha256.hex(), asset.bytes, tuple(asset.urls))
        for asset in assets
        if asset.audience in audiences
    )
    return wanted_inputs + wanted_assets
