"""Runs a built program's containers on this machine, under the same contract as on the network."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.blobs import file_digest
from client.bundle import BundleError, BundleInfo
from client.errors import ClientError
from client.inputs import InputSpec
from client.program.description import BuiltAsset, BuiltImage, BuiltProgram
from prover_node.duties import ContainerSpec, FileKind, FileRef, JobKey, Resources, Role
from prover_node.job_files import pack_output, stage_job
from prover_node.runner.base import Outcome, Reason, Runner

LOCAL_TASK_ID = 0


class LocalRunError(ClientError):
    """The program can't be run with what was given."""


@dataclass(frozen=True)
class Proved:
    """How the prover ended; ``bundle`` and ``info`` only if it left a proof, ``problem`` if it didn't."""

    outcome: Outcome
    bundle: Path | None = None
    info: BundleInfo | None = None
    problem: str = ""


class LocalRun:
    """A program with inputs; its jobs work below ``folder``. ``inputs`` name files."""

    def __init__(
        self, directory: Path, program: BuiltProgram, inputs: Sequence[InputSpec], runner: Runner, folder: Path
    ) -> None:
        self._directory = directory
        self._program = program
        self._inputs = inputs
        self._runner = runner
        self._folder = folder

    async def prove(self, resources: Resources, time_limit_s: int) -> Proved:
        """Run the prover and pack what it leaves."""
        places = self._places("prover")
        image = self._image(self._program.prover, places)
        spec = ContainerSpec(image, self._program.prover.command, tuple(places), resources, time_limit_s)
        folder = self._folder / "prove"
        outcome = await self._run(Role.PROVE, spec, folder, places)
        if outcome.reason is not Reason.EXITED or outcome.exit_code != 0:
            return Proved(outcome, problem=outcome.detail)
        try:
            bundle, info = pack_output(folder)
        except BundleError as error:
            return Proved(outcome, problem=str(error))
        return Proved(outcome, bundle, info)

    async def verify(self, bundle: Path) -> Outcome:
        """Run the verifier on a proof bundle; raises LocalRunError if the bundle isn't one."""
        places = self._places("verifier")
        image = self._image(self._program.verifier, places)
        digest = file_digest(bundle)
        proof = FileRef(FileKind.PROOF, "", digest.sha256.hex(), digest.size)
        places[proof] = bundle
        limits = self._program.verifier_resources
        resources = Resources(limits.cpu_millis, limits.memory_bytes, limits.gpus)
        spec = ContainerSpec(
            image, self._program.verifier.command, tuple(places), resources, self._program.verifier_time_limit_s
        )
        try:
            return await self._run(Role.VERIFY, spec, self._folder / "verify", places)
        except BundleError as error:
            raise LocalRunError(f"{bundle} is no proof, so every verifier votes INVALID: {error}") from error

    async def _run(self, role: Role, spec: ContainerSpec, folder: Path, places: Mapping[FileRef, Path]) -> Outcome:
        key = JobKey(role, LOCAL_TASK_ID, 0, 1)
        shutil.rmtree(folder, ignore_errors=True)
        found = {ref.sha256: path for ref, path in places.items()}
        found[spec.image.sha256] = self._directory / spec.image.name
        return await self._runner.run(stage_job(key, spec, folder, lambda ref: found[ref.sha256]))

    def _image(self, image: BuiltImage, places: Mapping[FileRef, Path]) -> FileRef:
        return FileRef(FileKind.IMAGE, image.file, image.sha256, image.bytes)

    def _places(self, role: str) -> dict[FileRef, Path]:
        """The role's inputs and assets, and where they are."""
        places: dict[FileRef, Path] = {}
        for given in self._inputs:
            if given.audience in (role, "both"):
                path = self._input_file(given)
                digest = file_digest(path)
                places[FileRef(FileKind.INPUT, given.name, digest.sha256.hex(), digest.size)] = path
        for asset in self._program.assets:
            if asset.audience in (role, "both"):
                places[FileRef(FileKind.ASSET, asset.name, asset.sha256, asset.bytes)] = self._asset_file(asset)
        return places

    def _input_file(self, given: InputSpec) -> Path:
        if given.file is None:
            raise LocalRunError(
                f"the input {given.name} is a URL: download it and name the file, nothing is fetched here"
            )
        if not given.file.is_file():
            raise LocalRunError(f"the input {given.name}: there is no file {given.file}")
        return given.file

    def _asset_file(self, asset: BuiltAsset) -> Path:
        path = self._directory / (asset.file or Path("assets") / asset.name)
        if not path.is_file():
            raise LocalRunError(f"the asset {asset.name} is missing: download {asset.urls[0]} to {path}")
        if file_digest(path).sha256.hex() != asset.sha256:
            raise LocalRunError(f"the asset {path} isn't the file that the program names")
        return path
