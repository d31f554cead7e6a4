"""Containers that an earlier process of this node left: what their labels say, and which can be gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prover_node.runner.base import Job
from prover_node.runner.engine import Found
from prover_node.runner.gpus import Gpu, GpuPool

NODE_LABEL, JOB_LABEL = "proofmill.node", "proofmill.job"
_WORK_LABEL, _FINGERPRINT_LABEL, _GPUS_LABEL = "proofmill.work", "proofmill.fingerprint", "proofmill.gpus"


@dataclass(frozen=True)
class Survivor:
    """A container that was started for ``work``, and still has its ``home`` and its GPUs."""

    job_id: str
    work: str
    fingerprint: str
    container: str
    home: Path
    gpus: tuple[Gpu, ...]

    def fits(self, job: Job) -> bool:
        """Whether it does exactly what the job asks for."""
        return self.fingerprint == job.fingerprint


def labels(node_id: str, job: Job, gpus: tuple[Gpu, ...]) -> dict[str, str]:
    """What a job's container says about itself."""
    return {
        NODE_LABEL: node_id,
        JOB_LABEL: job.id,
        _WORK_LABEL: job.work,
        _FINGERPRINT_LABEL: job.fingerprint,
        _GPUS_LABEL: ",".join(gpu.engine_id for gpu in gpus),
    }


def as_survivor(found: Found, homes: Path, pool: GpuPool) -> Survivor | None:
    """The container as one to go on with, its GPUs taken from the pool; ``None`` if it isn't one."""
    said: Mapping[str, str] = found.labels
    job_id, work = said.get(JOB_LABEL, ""), said.get(_WORK_LABEL, "")
    home = homes / job_id
    if not found.started or not job_id or not work or not home.is_dir():
        return None
    gpus = pool.take_these(filter(None, said.get(_GPUS_LABEL, "").split(",")))
    if gpus is None:
        return None
    return Survivor(job_id, work, said.get(_FINGERPRINT_LABEL, ""), found.id, home, gpus)
