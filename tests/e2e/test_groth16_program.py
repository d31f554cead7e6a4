"""The reference program, in Groth16 and in PLONK, under the container contract, on every runner; and its archives."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import docker
import pytest
from docker.models.images import Image

from client.program.build import build
from client.program.go_toolchain import go_environment
from client.program.manifest import load_manifest
from prover_node.runner.base import Job, Limits, Outcome, Reason, Runner
from prover_node.runner.docker import DockerRunner
from prover_node.runner.sandbox import SandboxRunner
from tests.support.engine import Engine
from tests.support.groth16 import SOURCES, Groth16, build_groth16, read_public, write_public

PROOF_BYTES = {"groth16-mimc": 164, "plonk-mimc": 520}
CONSTRAINTS = {"groth16-mimc": 16501, "plonk-mimc": 22051}
LIMITS = Limits(
    cpu_millis=2000,
    memory_bytes=256 << 20,
    gpus=0,
    time_limit_s=60,
    output_bytes=1 << 20,
    output_inodes=100,
    tmp_bytes=1 << 20,
)


@pytest.fixture(scope="module", params=["program.yaml", "plonk.yaml"], ids=["groth16", "plonk"])
def groth16(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Groth16:
    return build_groth16(tmp_path_factory.mktemp("groth16"), manifest=request.param)


@pytest.fixture(params=["docker", "sandbox"])
async def runner(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Runner]:
    needed = {"docker": "docker_engine", "sandbox": "bwrap"}[request.param]
    # Asked for by name, so that one missing backend doesn't skip the other; the summary counts by these names.
    request.node.fixturenames = [*request.node.fixturenames, needed]
    backend = request.getfixturevalue(needed)
    runner: Runner
    if request.param == "docker":
        runner = await DockerRunner.start("groth16-test", tmp_path / "state", url=cast(Engine, backend).url)
    else:
        runner = await SandboxRunner.start("groth16-test", tmp_path / "state", bwrap=cast(Path, backend))
    yield runner
    await runner.close()


class Bench:
    """Runs the program's two containers on one runner, with directories as the contract wants them."""

    def __init__(self, runner: Runner, groth16: Groth16, root: Path) -> None:
        self._runner = runner
        self._groth16 = groth16
        self._root = root
        self._jobs = 0
        self.inputs = groth16.make_inputs(root / "inputs")
        self.proof = root / "proof"

    async def prove(self) -> Outcome:
        self.proof.mkdir()
        return await self._run("prover", ("public.json", "witness.json"), output=self.proof, proof=None)

    async def verify(self) -> Outcome:
        return await self._run("verifier", ("public.json",), output=None, proof=self.proof)

    def write_proof(self, content: bytes) -> None:
        self.proof.mkdir(exist_ok=True)
        (self.proof / "proof.bin").write_bytes(content)

    async def _run(self, role: str, names: tuple[str, ...], output: Path | None, proof: Path | None) -> Outcome:
        self._jobs += 1
        mounted = self._root / f"mounted-{self._jobs}"
        mounted.mkdir()
        for name in names:
            if (self.inputs / name).exists():
                shutil.copyfile(self.inputs / name, mounted / name)
        program = self._groth16.program
        image = program.prover if role == "prover" else program.verifier
        return await self._runner.run(
            Job(
                id=f"{role}-{self._jobs}",
                image=self._groth16.directory / image.file,
                image_sha256=image.sha256,
                command=image.command,
                input_dir=mounted,
                assets_dir=None,
                proof_dir=proof,
                output_dir=output,
                limits=LIMITS,
            )
        )


@pytest.fixture
def bench(runner: Runner, groth16: Groth16, tmp_path: Path) -> Bench:
    # The contract's user inside the container is none of ours.
    tmp_path.chmod(0o755)
    return Bench(runner, groth16, tmp_path)


def assert_exited(outcome: Outcome, code: int, message: str) -> None:
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, code), outcome
    assert message in (outcome.stdout + outcome.stderr).decode()


async def test_a_proof_is_made_and_is_valid(bench: Bench, groth16: Groth16) -> None:
    assert_exited(await bench.prove(), 0, f"50 rounds, {CONSTRAINTS[groth16.program.name]} constraints")
    assert [path.name for path in bench.proof.iterdir()] == ["proof.bin"]
    assert (bench.proof / "proof.bin").stat().st_size == PROOF_BYTES[groth16.program.name]
    assert_exited(await bench.verify(), 0, "the proof is valid")


async def test_the_shipped_example_can_be_proved(bench: Bench) -> None:
    bench.inputs = SOURCES / "example"

    assert_exited(await bench.prove(), 0, "proved in")
    assert_exited(await bench.verify(), 0, "the proof is valid")


async def test_a_proof_of_another_statement_is_invalid(bench: Bench, groth16: Groth16, tmp_path: Path) -> None:
    await bench.prove()
    bench.inputs = groth16.make_inputs(tmp_path / "other", seed="other")

    assert_exited(await bench.verify(), 1, "verifier: invalid:")


async def test_a_proof_of_the_other_system_is_invalid(
    bench: Bench, groth16: Groth16, runner: Runner, tmp_path: Path
) -> None:
    other = "program.yaml" if groth16.program.name == "plonk-mimc" else "plonk.yaml"
    prover = Bench(runner, build_groth16(tmp_path / "other", manifest=other), tmp_path / "of-the-other")
    assert_exited(await prover.prove(), 0, "proved in")
    bench.proof = prover.proof

    assert_exited(await bench.verify(), 1, "verifier: invalid:")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\0" * 164, b"\0" * 520, b"\xff" * 100_000])
async def test_a_malformed_proof_is_invalid(bench: Bench, content: bytes) -> None:
    bench.write_proof(content)

    assert_exited(await bench.verify(), 1, "verifier: invalid:")


async def test_a_changed_proof_is_invalid(bench: Bench) -> None:
    await bench.prove()
    proof = bytearray((bench.proof / "proof.bin").read_bytes())
    proof[40] ^= 1
    (bench.proof / "proof.bin").unlink()
    bench.write_proof(bytes(proof))

    assert_exited(await bench.verify(), 1, "verifier: invalid:")


async def test_a_proof_without_its_file_is_invalid(bench: Bench) -> None:
    bench.proof.mkdir()

    assert_exited(await bench.verify(), 1, "the prover left no proof.bin")


async def test_a_malformed_statement_is_nobodys_fault(bench: Bench, groth16: Groth16) -> None:
    write_public(bench.inputs, groth16.rounds, "0x01")
    bench.write_proof(b"")

    assert_exited(await bench.verify(), 3, "must be 0x and 64 lower-case hexadecimal digits")


async def test_a_missing_statement_is_nobodys_fault(bench: Bench) -> None:
    (bench.inputs / "public.json").unlink()
    bench.write_proof(b"")

    assert_exited(await bench.verify(), 3, "public.json")


async def test_a_statement_for_another_size_is_refused(bench: Bench, groth16: Groth16, tmp_path: Path) -> None:
    bench.inputs = groth16.make_inputs(tmp_path / "other", rounds=51)

    assert_exited(await bench.prove(), 3, "asks for 51 rounds, but this program was built for 50")


async def test_a_missing_witness_is_named(bench: Bench) -> None:
    (bench.inputs / "witness.json").unlink()

    assert_exited(await bench.prove(), 4, "witness.json")
    assert list(bench.proof.iterdir()) == []


async def test_a_witness_for_another_statement_is_refused(bench: Bench, groth16: Groth16, tmp_path: Path) -> None:
    other = groth16.make_inputs(tmp_path / "other", seed="other")
    write_public(bench.inputs, groth16.rounds, read_public(other)["image"])

    assert_exited(await bench.prove(), 5, "don't lead to the image")
    assert list(bench.proof.iterdir()) == []


def test_two_builds_in_different_places_are_the_same_bytes(groth16: Groth16, tmp_path: Path) -> None:
    moved = tmp_path / "somewhere" / "else"
    shutil.copytree(SOURCES, moved)

    manifest = "program.yaml" if groth16.program.name == "groth16-mimc" else "plonk.yaml"
    again = build(moved / manifest, tmp_path / "out", cache_dir=tmp_path / "empty-cache")

    assert not again.cached
    assert again.program == groth16.program


def test_the_readme_states_the_digests_that_everybody_gets(groth16: Groth16) -> None:
    readme = (SOURCES / "README.md").read_text(encoding="utf-8")

    for image in (groth16.program.prover, groth16.program.verifier):
        assert f"| {image.file} | `{image.sha256}` |" in readme


@pytest.mark.parametrize("setting", ["GOMODCACHE", "GOCACHE"])
def test_the_images_say_nothing_of_the_machine_that_built_them(groth16: Groth16, setting: str) -> None:
    version = load_manifest(SOURCES).recipe.tools["go"]
    place = go_environment(version)[setting].encode()

    for image in (groth16.program.prover, groth16.program.verifier):
        assert place not in (groth16.directory / image.file).read_bytes()


def test_the_verifier_holds_no_proving_key(groth16: Groth16) -> None:
    assert groth16.program.verifier.bytes < 5_000_000
    assert groth16.program.prover.bytes < 15_000_000


def test_the_programs_own_tests_pass() -> None:
    version = load_manifest(SOURCES).recipe.tools["go"]
    environment = go_environment(version)

    done = subprocess.run(
        ["go", "test", "-tags=purego", "./..."],
        cwd=SOURCES,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def engine_client(docker_engine: Engine) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=docker_engine.url)
    yield client
    client.close()


@pytest.mark.parametrize("role", ["prover", "verifier"])
def test_an_engine_loads_the_archives_under_the_promised_id(
    engine_client: docker.DockerClient, groth16: Groth16, role: str
) -> None:
    built = groth16.program.prover if role == "prover" else groth16.program.verifier
    with (groth16.directory / built.file).open("rb") as archive:
        images: list[Image] = engine_client.images.load(archive)

    (image,) = images
    try:
        assert image.id == built.image_id
        assert image.tags == []
        assert image.attrs["Config"]["Cmd"] == list(built.command)
        assert image.attrs["Config"]["Labels"]["proofmill.keys"].startswith("demo keys")
    finally:
        engine_client.images.remove(built.image_id, force=True)
