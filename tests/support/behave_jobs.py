"""Jobs of the program in tests/support/behave, for the tests that run it on each kind of runner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from prover_node.runner.base import Job, Limits
from tests.support.image_archives import directory, docker_archive, file, image_config, tar

MIB = 1 << 20
LIMITS = Limits(
    cpu_millis=1000,
    memory_bytes=128 * MIB,
    gpus=0,
    time_limit_s=60,
    output_bytes=8 * MIB,
    output_inodes=64,
    tmp_bytes=4 * MIB,
    pids=64,
)


@dataclass(frozen=True)
class Backend:
    """A kind of runner, and the engine's URL or bubblewrap's path."""

    kind: str
    where: str


@dataclass(frozen=True)
class Image:
    """An archive and its hash."""

    path: Path
    sha256: str


def make_image(path: Path, program: bytes) -> Image:
    """An image with the program at /behave, and at /setuid as a file of root's that would run as root."""
    layers = [tar([file("behave", program, 0o755), file("setuid", program, 0o4755), directory("etc")])]
    return Image(path, docker_archive(path, layers, image_config(layers, {"Entrypoint": ["/behave"]})))


def make_job(image: Image, folder: Path, *arguments: str, **limits: int) -> Job:
    """A job that works in the new folder ``folder``, with one file of input and one asset."""
    folder.mkdir()
    for name, content in (("input", b"input"), ("assets", b"key")):
        (folder / name).mkdir()
        (folder / name / name).write_bytes(content)
        (folder / name / name).chmod(0o644)
        (folder / name).chmod(0o755)
    (folder / "output").mkdir()
    return Job(
        id=folder.name,
        image=image.path,
        image_sha256=image.sha256,
        command=("/behave", *arguments),
        input_dir=folder / "input",
        assets_dir=folder / "assets",
        proof_dir=None,
        output_dir=folder / "output",
        limits=replace(LIMITS, **limits),
    )


def outputs(job: Job) -> list[str]:
    """Names of what the job left."""
    assert job.output_dir is not None
    return sorted(path.name for path in job.output_dir.iterdir())
