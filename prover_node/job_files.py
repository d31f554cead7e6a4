"""Lays a job out on disk as the container contract wants it (protocol §4), from files in the store."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from client.bundle import BundleInfo, BundleLimits, pack, unpack
from client.proof_limits import PROOF_BYTES_MAX, PROOF_FILES_MAX
from prover_node.duties import ContainerSpec, FileKind, FileRef, JobKey, Role
from prover_node.runner.base import Job, Limits

_OUTPUT = "output"
# Threads count. Runtimes start one a core or two, and a pool or two beside them, whatever a job may use of each core.
_PIDS, _PIDS_A_CORE = 512, 4


def stage_job(
    key: JobKey, spec: ContainerSpec, folder: Path, find: Callable[[FileRef], Path], *, left_s: float = math.inf
) -> Job:
    """Make ``folder`` (which must not exist) and the job that runs in it; ``find`` gives each file's place.

    After ``left_s`` nobody wants its result.
    Raises BundleError when a verifier's proof is no bundle within the limits, OSError when the disk refuses.
    """
    folder.mkdir(parents=True)
    inputs, assets, proof = folder / "input", folder / "assets", folder / "proof"
    for mounted in (inputs, assets):
        mounted.mkdir()
        # Whatever our umask is: the program isn't our user.
        mounted.chmod(0o755)
    image = find(spec.image)
    for ref in spec.files:
        if ref.kind is FileKind.PROOF:
            unpack(find(ref), proof, max_bytes=PROOF_BYTES_MAX, max_files=PROOF_FILES_MAX)
        else:
            _place(find(ref), (assets if ref.kind is FileKind.ASSET else inputs) / ref.name)
    proves = key.role is Role.PROVE
    if proves:
        (folder / _OUTPUT).mkdir()
    return Job(
        id=key.name,
        image=image,
        image_sha256=archive_sha256(spec.image, image),
        command=spec.command,
        input_dir=inputs,
        assets_dir=assets,
        proof_dir=None if proves else proof,
        output_dir=folder / _OUTPUT if proves else None,
        limits=_limits(spec),
        env=_environment(key, spec),
        left_s=left_s,
        work=key.work,
    )


def pack_output(folder: Path) -> tuple[Path, BundleInfo]:
    """Pack what the job in ``folder`` left; the bundle lies in ``folder`` too. Raises BundleError, OSError."""
    bundle = folder / "bundle.tar"
    limits = BundleLimits(max_bytes=PROOF_BYTES_MAX, max_files=PROOF_FILES_MAX)
    return bundle, pack(folder / _OUTPUT, bundle, limits)


def archive_sha256(image: FileRef, archive: Path) -> str:
    """Hash (hex) of an image's archive in the store: what runners know it by."""
    return _hash_of_archive(image.sha256, archive) if image.in_registry else image.sha256


@lru_cache(maxsize=4096)
def _hash_of_archive(manifest: str, archive: Path) -> str:
    """Hash of an archive that is a function of the manifest with this hash: so it never changes."""
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _limits(spec: ContainerSpec) -> Limits:
    resources = spec.resources
    return Limits(
        cpu_millis=resources.cpu_millis,
        memory_bytes=resources.memory_bytes,
        gpus=resources.gpus,
        time_limit_s=spec.time_limit_s,
        output_bytes=min(PROOF_BYTES_MAX, resources.memory_bytes // 2),
        output_inodes=PROOF_FILES_MAX,
        tmp_bytes=resources.memory_bytes,
        pids=_PIDS + _PIDS_A_CORE * math.ceil(resources.cpu_millis / 1000),
    )


def _environment(key: JobKey, spec: ContainerSpec) -> dict[str, str]:
    return {
        "MILL_TASK_ID": str(key.task_id),
        "MILL_CPU_MILLIS": str(spec.resources.cpu_millis),
        "MILL_MEMORY_BYTES": str(spec.resources.memory_bytes),
        "MILL_GPUS": str(spec.resources.gpus),
        "MILL_TIME_LIMIT": str(spec.time_limit_s),
    }


def _place(source: Path, target: Path) -> None:
    """The mounts are read-only, so a second name for the stored file will do; another file system needs a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(0o644)
