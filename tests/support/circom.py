"""The circom program's builds, and its two containers on a runner, one call each."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from client.bundle import BundleLimits, pack
from client.inputs import InputSpec
from client.program.build import build
from client.program.description import BuiltAsset, BuiltProgram
from prover_node.duties import Resources
from prover_node.local_run import LocalRun, Proved
from prover_node.runner.base import Outcome, Runner

SOURCES = Path(__file__).resolve().parents[2] / "programs" / "circom"
EXAMPLE = SOURCES / "example"
PROOF_LIMITS = BundleLimits(1 << 20, 10)
TIME_LIMIT_S = 120


@dataclass(frozen=True)
class Circom:
    """The program for one circuit and protocol: its folder, and what program.json there says."""

    directory: Path
    program: BuiltProgram

    def asset(self, suffix: str) -> BuiltAsset:
        """The asset whose name ends in `suffix`."""
        (found,) = (asset for asset in self.program.assets if asset.name.endswith(suffix))
        return found

    def read_asset(self, suffix: str) -> bytes:
        return (self.directory / self.asset(suffix).file).read_bytes()

    def with_assets(self, directory: Path, changes: Mapping[str, bytes | None]) -> Circom:
        """The same images with other assets: `changes` maps names or their endings to bytes, or to None for "left out".

        A name that no asset ends in is a further asset, for prover and verifier.
        """
        (directory / "assets").mkdir(parents=True)
        for image in (self.program.prover, self.program.verifier):
            (directory / image.file).symlink_to(self.directory / image.file)
        contents: dict[str, tuple[str, bytes | None]] = {
            asset.name: (asset.audience, self.read_asset(asset.name)) for asset in self.program.assets
        }
        for ending, content in changes.items():
            name = next((name for name in contents if name.endswith(ending)), ending)
            audience, _ = contents.get(name, ("both", None))
            contents[name] = (audience, content)
        assets = []
        for name, (audience, content) in contents.items():
            if content is not None:
                (directory / "assets" / name).write_bytes(content)
                digest = hashlib.sha256(content).hexdigest()
                assets.append(BuiltAsset(name, audience, digest, len(content), (), f"assets/{name}"))
        return Circom(directory, replace(self.program, assets=tuple(assets)))


def build_circom(directory: Path, *, sources: Path = SOURCES, cache: Path | None = None, **parameters: str) -> Circom:
    """Build the program into `directory`; `parameters` as for `--set`. Half a minute the first time on a machine."""
    return Circom(directory, build(sources, directory, parameters, cache_dir=cache).program)


def load_make_inputs() -> ModuleType:
    """programs/circom/make_inputs.py, which users run as a script."""
    spec = importlib.util.spec_from_file_location("circom_make_inputs", SOURCES / "make_inputs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Bench:
    """Runs both containers of a program, each time with the inputs and the proof that are given."""

    def __init__(self, start: Callable[[], Awaitable[Runner]], root: Path) -> None:
        self._start = start
        self._root = root
        self._runs = 0

    def prove(self, circom: Circom, public: object, inputs: object, *, cpu_millis: int = 1000) -> Proved:
        """Run the prover; `public` and `inputs` are JSON values, bytes for a file of those, or None for no file."""
        folder = self._folder()
        specs = self._inputs(folder, {"public.json": public, "input.json": inputs})
        resources = Resources(cpu_millis, circom.program.default_resources.memory_bytes, 0)
        return asyncio.run(self._prove(circom, specs, resources, folder))

    def verify(self, circom: Circom, public: object, proof: object) -> Outcome:
        """Run the verifier on a proof.json with the content `proof`; values as for `prove`."""
        folder = self._folder()
        specs = self._inputs(folder, {"public.json": public})
        (folder / "proof").mkdir()
        if proof is None:
            (folder / "proof" / "other.json").write_bytes(b"{}")
        else:
            (folder / "proof" / "proof.json").write_bytes(_encode(proof))
        pack(folder / "proof", folder / "proof.tar", PROOF_LIMITS)
        return asyncio.run(self._verify(circom, specs, folder))

    def _folder(self) -> Path:
        self._runs += 1
        folder = self._root / f"run-{self._runs}"
        folder.mkdir()
        return folder

    def _inputs(self, folder: Path, contents: Mapping[str, object]) -> list[InputSpec]:
        specs = []
        for name, content in contents.items():
            if content is not None:
                (folder / name).write_bytes(_encode(content))
                specs.append(InputSpec(name, file=folder / name))
        return specs

    async def _prove(self, circom: Circom, specs: list[InputSpec], resources: Resources, folder: Path) -> Proved:
        runner = await self._start()
        try:
            run = LocalRun(circom.directory, circom.program, specs, runner, folder / "work")
            return await run.prove(resources, TIME_LIMIT_S)
        finally:
            await runner.close()

    async def _verify(self, circom: Circom, specs: list[InputSpec], folder: Path) -> Outcome:
        runner = await self._start()
        try:
            run = LocalRun(circom.directory, circom.program, specs, runner, folder / "work")
            return await run.verify(folder / "proof.tar")
        finally:
            await runner.close()


def _encode(content: object) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def proof_of(proved: Proved) -> dict[str, Any]:
    """What the prover wrote into proof.json, the only file that it may leave."""
    assert proved.bundle is not None, (proved.problem, proved.outcome.stderr)
    with tarfile.open(proved.bundle) as bundle:
        assert bundle.getnames() == ["proof.json"]
        file = bundle.extractfile("proof.json")
        assert file is not None
        proof: dict[str, Any] = json.load(file)
    return proof
