"""The CUDA prover of the Keccak chain: built, linked and packed anywhere; run where there is a GPU.

Everywhere else it has to say in a sentence why it can't, whatever it is that is missing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from client.program.cache import cache_folder
from client.program.cuda_toolchain import CUDA_VERSIONS, cuda_environment
from prover_node.runner.base import Job, Limits, Outcome, Reason, Runner
from prover_node.runner.docker import DockerRunner
from prover_node.runner.gpu_driver import Driver
from prover_node.runner.gpus import Gpu
from prover_node.runner.sandbox import SandboxRunner
from tests.support.capacity_gpu import has_gpu
from tests.support.localnet import PATIENCE_S
from tests.support.stark import SOURCES, Stark, build_stark, build_stark_cuda, true_statement, write_statement

# Compiling the kernels takes its time on a machine that does it for the first time.
pytestmark = pytest.mark.timeout(8 * PATIENCE_S)

REFUSING_DRIVER = Path(__file__).resolve().parents[1] / "support" / "refusing_driver.c"
PERMUTATIONS = 42


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> Stark:
    return build_stark_cuda(tmp_path_factory.mktemp("stark-cuda"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """The contract's user inside the container is none of ours, and has to reach devices and libraries."""
    with tempfile.TemporaryDirectory(prefix="mill-stark-cuda-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def job(stark: Stark, role: str, folder: Path, *, gpus: int) -> Job:
    """A job of the prover into `folder`/proof, or of the verifier on that."""
    image = stark.program.prover if role == "prover" else stark.program.verifier
    inputs, proof = folder / "inputs", folder / "proof"
    write_statement(inputs, true_statement(PERMUTATIONS))
    proof.mkdir(exist_ok=True)
    return Job(
        id=role,
        image=stark.directory / image.file,
        image_sha256=image.sha256,
        command=image.command,
        input_dir=inputs,
        assets_dir=None,
        proof_dir=proof if role == "verifier" else None,
        output_dir=proof if role == "prover" else None,
        limits=Limits(
            cpu_millis=2000, memory_bytes=4 << 30, gpus=gpus, time_limit_s=120,
            output_bytes=4 << 20, output_inodes=10, tmp_bytes=1 << 20,
        ),
    )  # fmt: skip


async def prove_with_driver(stark: Stark, folder: Path, bwrap: Path, libraries: Mapping[str, Path]) -> Outcome:
    """The prover on a machine with one GPU, which is a plain file, and a driver of these libraries."""
    (folder / "nvidia0").touch()
    gpus = (Gpu(0, devices=folder),)
    runner = await SandboxRunner.start(
        "cuda-test", folder / "state", bwrap=bwrap, gpus=gpus, driver=Driver(dict(libraries))
    )
    try:
        return await runner.run(job(stark, "prover", folder, gpus=1))
    finally:
        await runner.close()


def refusing_driver(folder: Path, *, version: int = 13_000, devices: int = 1, capability: int = 90) -> dict[str, Path]:
    """A driver that says this of the machine and then refuses to work."""
    library = folder / "libcuda.so.1"
    said = {"VERSION": version, "DEVICES": devices, "CAPABILITY": capability}
    macros = [f"-D{name}={value}" for name, value in said.items()]
    subprocess.run(["cc", "-shared", "-fPIC", *macros, "-o", str(library), str(REFUSING_DRIVER)], check=True)
    return {library.name: library}


def assert_gave_up(outcome: Outcome, code: int, message: str) -> None:
    """It exited with `code`, and the last line that it printed is the sentence for people."""
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, code), outcome
    last = outcome.stderr.decode().splitlines()[-1]
    assert last.startswith("prover: ")
    assert message in last


def layer_of(archive_path: Path) -> dict[str, tarfile.TarInfo]:
    """The plain files of an image, by their paths."""
    with tarfile.open(archive_path) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        layer = archive.extractfile(json.load(manifest)[0]["Layers"][0])
        assert layer is not None
        with tarfile.open(fileobj=layer) as files:
            return {member.name: member for member in files if member.isfile()}


def test_both_provers_have_the_same_verifier(cuda: Stark, tmp_path: Path) -> None:
    assert cuda.program.verifier == build_stark(tmp_path).program.verifier


def test_the_image_holds_the_program_and_what_it_is_linked_with(cuda: Stark) -> None:
    files = layer_of(cuda.directory / cuda.program.prover.file)

    libraries = {Path(name).name for name in files if name.startswith("usr/lib/x86_64-linux-gnu/")}
    assert libraries == {
        *("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"),
        *("libcudart.so.13", "libgcc_s.so.1", "libstdc++.so.6"),
    }
    others = {name for name in files if not name.startswith(("usr/", "licenses/"))}
    assert others == {"prover", "prover-cuda", "lib64/ld-linux-x86-64.so.2", "etc/ld.so.conf"}
    assert cuda.program.prover.bytes < 25_000_000


def test_the_readme_states_the_digest_for_the_gpus_of_this_build(cuda: Stark) -> None:
    readme = (SOURCES / "README.md").read_text(encoding="utf-8")

    assert f"| prover.tar of cuda.yaml, `--set archs=80` | `{cuda.program.prover.sha256}` |" in readme


def test_the_image_says_nothing_of_the_machine_that_built_it(cuda: Stark) -> None:
    content = (cuda.directory / cuda.program.prover.file).read_bytes()

    for place in ("proofmill-build-", str(Path.home() / ".cargo"), str(cache_folder("toolchains"))):
        assert place.encode() not in content


@pytest.mark.parametrize("runner_name", ["docker", "sandbox"])
async def test_without_a_driver_one_sentence_says_so(
    request: pytest.FixtureRequest, cuda: Stark, folder: Path, runner_name: str
) -> None:
    runner: Runner = await start_runner(request, runner_name, folder)
    outcome = await runner.run(job(cuda, "prover", folder, gpus=0))
    await runner.close()

    assert_gave_up(outcome, 11, "no NVIDIA driver: libcuda.so.1 is neither")
    assert len(outcome.stderr.decode().splitlines()) == 1
    assert list((folder / "proof").iterdir()) == []


async def start_runner(request: pytest.FixtureRequest, name: str, folder: Path) -> Runner:
    """A runner without GPUs; skips the test where its backend is missing."""
    needed = {"docker": "docker_engine", "sandbox": "bwrap"}[name]
    request.node.fixturenames = [*request.node.fixturenames, needed]
    backend = request.getfixturevalue(needed)
    if name == "docker":
        return await DockerRunner.start("cuda-test", folder / "state", url=backend.url)
    return await SandboxRunner.start("cuda-test", folder / "state", bwrap=backend, gpus=())


async def test_a_stub_of_the_driver_is_told_from_a_driver(cuda: Stark, folder: Path, bwrap: Path) -> None:
    toolkit = cuda_environment(CUDA_VERSIONS[-1], cache_folder("toolchains"))
    stub = folder / "libcuda.so.1"
    shutil.copyfile(Path(toolkit["CUDA_LIB_DIR"], stub.name), stub)

    outcome = await prove_with_driver(cuda, folder, bwrap, {stub.name: stub})

    assert_gave_up(outcome, 12, "the GPU can't be used: cuDriverGetVersion says CUDA_ERROR_STUB_LIBRARY (34)")


async def test_a_file_that_is_no_library_is_named(cuda: Stark, folder: Path, bwrap: Path) -> None:
    library = folder / "libcuda.so.1"
    library.write_bytes(b"no library")

    outcome = await prove_with_driver(cuda, folder, bwrap, {library.name: library})

    assert_gave_up(outcome, 11, "the NVIDIA driver's library can't be loaded")


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ({"version": 12_080}, "the NVIDIA driver is for CUDA 12.8, and this image needs one for CUDA 13.0"),
        ({"devices": 0}, "no GPU is assigned to this task"),
        ({"capability": 75}, "the GPU has compute capability 7.5, and this image needs 8.0"),
    ],
)
async def test_a_machine_that_will_not_do_is_told_why(
    cuda: Stark, folder: Path, bwrap: Path, machine: dict[str, int], message: str
) -> None:
    outcome = await prove_with_driver(cuda, folder, bwrap, refusing_driver(folder, **machine))

    assert_gave_up(outcome, 12, message)


async def test_a_gpu_that_is_lost_after_the_first_look_is_told(cuda: Stark, folder: Path, bwrap: Path) -> None:
    outcome = await prove_with_driver(cuda, folder, bwrap, refusing_driver(folder))

    assert_gave_up(outcome, 13, "the GPU was lost")
    assert list((folder / "proof").iterdir()) == []


async def test_a_gpu_makes_a_proof_for_the_cpus_verifier(cuda: Stark, folder: Path, bwrap: Path) -> None:
    if not has_gpu():
        pytest.skip("not run: no GPU")
    stark = build_stark(folder / "built")
    runner = await SandboxRunner.start("cuda-test", folder / "state", bwrap=bwrap)

    proved = await runner.run(job(cuda, "prover", folder, gpus=1))
    verified = await runner.run(job(stark, "verifier", folder, gpus=0))
    await runner.close()

    assert (proved.reason, proved.exit_code) == (Reason.EXITED, 0), proved
    assert (verified.reason, verified.exit_code) == (Reason.EXITED, 0), verified
