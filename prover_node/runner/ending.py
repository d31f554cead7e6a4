"""From what a backend saw of a program's end to its :class:`Outcome`: one set of rules for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from prover_node.runner.base import Job, Outcome, Reason
from prover_node.runner.output import OutputStage, OutputTooLarge

_WITH_EXIT_CODE = (Reason.EXITED, Reason.OUT_OF_MEMORY, Reason.OUTPUT_LIMIT)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What a backend saw.

    ``stopped`` is why we killed it, if we did, and ``fault`` how this machine failed meanwhile. ``out_of_memory``
    says that the kernel killed one of its processes, ``file_too_large`` that a resource limit on file sizes did.
    ``not_executable`` and ``error`` say why the program never ran.
    """

    exit_code: int | None
    stopped: Reason | None
    out_of_memory: bool
    wall_ms: int
    cpu_ms: int
    peak_memory_bytes: int
    stdout: bytes
    stderr: bytes
    file_too_large: bool = False
    not_executable: str | None = None
    error: str | None = None
    fault: str = ""
    gpu_ms: int = 0


def failed(reason: Reason, detail: str) -> Outcome:
    """The outcome of a job whose program never ran."""
    return Outcome(
        reason=reason,
        exit_code=None,
        wall_ms=0,
        cpu_ms=0,
        peak_memory_bytes=0,
        stdout=b"",
        stderr=b"",
        detail=detail,
    )


def call_at_deadline(job: Job, stop: Callable[[Reason], object]) -> asyncio.TimerHandle:
    """Have ``stop`` called when nobody wants the job's result any more; to be cancelled once it has ended."""
    return asyncio.get_running_loop().call_later(max(job.left_s, 0), stop, Reason.DEADLINE)


async def conclude(ending: Ending, job: Job, stage: OutputStage | None) -> Outcome:
    """The outcome; the output of a program that exited is copied to the job's output directory."""
    reason, detail = _reason(ending, stage)
    if reason is Reason.EXITED and stage is not None and job.output_dir is not None:
        try:
            await asyncio.to_thread(stage.collect, job.output_dir)
        except OutputTooLarge as error:
            reason, detail = Reason.OUTPUT_LIMIT, str(error)
    return Outcome(
        reason=reason,
        exit_code=ending.exit_code if reason in _WITH_EXIT_CODE else None,
        wall_ms=ending.wall_ms,
        cpu_ms=ending.cpu_ms,
        peak_memory_bytes=ending.peak_memory_bytes,
        stdout=ending.stdout,
        stderr=ending.stderr,
        detail=detail,
        gpu_ms=ending.gpu_ms,
    )


def _reason(ending: Ending, stage: OutputStage | None) -> tuple[Reason, str]:
    if ending.fault:
        return Reason.RUNNER_ERROR, ending.fault
    if ending.stopped is not None:
        return ending.stopped, f"the program was stopped: {ending.stopped.value}"
    if ending.out_of_memory and ending.exit_code != 0:
        return Reason.OUT_OF_MEMORY, "the program used more memory than it may"
    if ending.not_executable is not None:
        return Reason.IMAGE_UNUSABLE, f"the image's command can't be executed: {ending.not_executable}"
    if ending.exit_code is None:
        return Reason.RUNNER_ERROR, ending.error or "the program ended without an exit code"
    if ending.exit_code != 0 and stage is not None and (ending.file_too_large or stage.exceeded()):
        return Reason.OUTPUT_LIMIT, "the program wrote more output than it may"
    return Reason.EXITED, f"the program exited with code {ending.exit_code}"
