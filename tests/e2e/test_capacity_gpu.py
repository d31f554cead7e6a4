"""The capacity program's GPU half: compiled by the real compilers, and run as far as a machine goes.

Without a GPU the kernels' own source runs on the processor's threads, below real PyCUDA and the built image's worker,
through a driver of ours (tests/support/cpu_gpu). What only a device can show says "not run: no GPU".
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from client.program.build import build
from client.program.cache import cache_folder
from client.program.cuda_toolchain import CUDA_VERSIONS, cuda_environment
from client.program.go_toolchain import go_environment
from client.program.manifest import load_manifest
from tests.e2e.test_capacity_program import write_challenge
from tests.support.capacity_gpu import CHUNK_LEAVES, SOURCES, GpuImage, build_gpu_image, driver_folder, has_gpu
from tests.support.localnet import run_mill
from tests.unit.program.test_capacity_vectors import VECTORS, gpu_leaf

SUPPORT = Path(__file__).resolve().parents[1] / "support" / "cpu_gpu"
SEED = hashlib.sha256(b"a seed").digest()


@pytest.fixture(scope="module")
def cuda() -> dict[str, str]:
    return cuda_environment(CUDA_VERSIONS[-1], cache_folder("toolchains"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> GpuImage:
    return build_gpu_image(tmp_path_factory.mktemp("capacity-gpu"))


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of check.cpp, which watches the threads of a block for races."""
    program = tmp_path_factory.mktemp("check") / "check"
    compile_cpp(["-fsanitize=thread", "-o", str(program)], SUPPORT / "check.cpp")
    return program


@pytest.fixture(scope="module")
def cpu_driver(cuda: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a libcuda.so.1 whose devices are this processor; what it lacks is as in the stub."""
    folder = tmp_path_factory.mktemp("driver")
    ours, rest, library = folder / "ours.o", folder / "rest.c", folder / "libcuda.so.1"
    compile_cpp(["-fPIC", "-c", "-isystem", cuda["CPLUS_INCLUDE_PATH"], "-o", str(ours)], SUPPORT / "driver.cpp")
    missing = names_in(Path(cuda["CUDA_LIB_DIR"], "libcuda.so.1"), "-D") - names_in(ours)
    rest.write_text("".join(f"int {name}(void) {{ return 34; }}\n" for name in sorted(missing)))
    subprocess.run(["gcc", "-fPIC", "-c", str(rest), "-o", str(folder / "rest.o")], check=True)
    subprocess.run(
        [
            *("g++", "-shared", "-pthread", "-Wl,-soname,libcuda.so.1", "-o", str(library)),
            *(str(ours), str(folder / "rest.o")),
        ],
        check=True,
    )
    return folder


def compile_cpp(options: list[str], source: Path) -> None:
    done = subprocess.run(
        [
            *("g++", "-std=c++20", "-O1", "-pthread", "-Wall", "-Wextra", "-Werror", f"-I{SOURCES / 'gpu'}"),
            *("-x", "c++", *options, str(source)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def names_in(library: Path, *options: str) -> set[str]:
    done = subprocess.run(
        ["nm", "--defined-only", "--format=posix", *options, str(library)], capture_output=True, text=True, check=True
    )
    words = (line.split() for line in done.stdout.splitlines())
    return {name for name, kind, *_ in words if kind == "T" and name.startswith("cu")}


def printed(check: Path, *arguments: str | int) -> list[bytes]:
    done = subprocess.run([check, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [bytes.fromhex(line) for line in done.stdout.splitlines()]


def merkle_root(leaves: list[bytes]) -> bytes:
    while len(leaves) > 1:
        leaves = [hashlib.sha256(a + b).digest() for a, b in zip(leaves[::2], leaves[1::2], strict=True)]
    return leaves[0]


def test_the_gpu_variant_is_the_same_bytes_everywhere_and_has_the_same_verifier(
    image: GpuImage, tmp_path: Path
) -> None:
    plain = build(SOURCES, tmp_path).program
    readme = (SOURCES / "README.md").read_text()

    assert image.program.verifier == plain.verifier
    for archive in (plain.prover, plain.verifier, image.program.prover):
        assert f"`{archive.sha256}`" in readme, f"{archive.file} has the sha256 {archive.sha256}"


def test_a_leaf_of_the_kernels_source_is_the_vectors(check: Path) -> None:
    vectors = json.loads(VECTORS.read_text())
    vector = vectors["gpu_leaf"]
    start = hashlib.sha256(b"capacity gpu " + bytes.fromhex(vectors["seed"])).hexdigest()

    assert printed(check, "leaf", start, vector["index"], vector["rounds"]) == [bytes.fromhex(vector["leaf"])]


@pytest.mark.parametrize("threads", [1, 8, 32])
def test_the_kernels_give_the_leaves_and_their_trees_root_with_any_number_of_threads(check: Path, threads: int) -> None:
    # Beyond 2^32 leaves the upper half of the number counts.
    chunk = (1 << 21) + 3
    start = hashlib.sha256(b"capacity gpu " + SEED).hexdigest()
    leaves = [gpu_leaf(SEED, chunk * CHUNK_LEAVES + i, 2) for i in range(CHUNK_LEAVES)]

    assert printed(check, "leaves", start, 2, chunk, threads) == leaves
    assert printed(check, "roots", start, 2, chunk - 1, 2, threads)[1] == merkle_root(leaves)


def test_nvcc_links_against_the_stub_and_leaves_no_path_of_this_machine(cuda: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "main.cu").write_text(
        "#include <cstdio>\n#include <cub/version.cuh>\n#include <cuda.h>\n"
        "__global__ void nothing() {}\n"
        "int main() { nothing<<<1, 1>>>(); std::puts(cudaGetErrorString(cudaGetLastError())); return cuInit(0); }\n"
    )
    environment = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), **cuda}
    nvcc = [shutil.which("nvcc", path=cuda["PATH"]) or "nvcc", "-arch=sm_90", "-o", "main", "main.cu", "-lcuda"]

    compiled = subprocess.run(nvcc, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (compiled.returncode, compiled.stderr) == (0, "")
    run = subprocess.run(
        [tmp_path / "main"], env={"LD_LIBRARY_PATH": cuda["CUDA_LIB_DIR"]}, capture_output=True, text=True, check=False
    )

    assert (run.returncode, run.stdout) == (34, "CUDA driver is a stub library\n")
    assert cuda["CUDA_ROOT"].encode() not in (tmp_path / "main").read_bytes()


def test_nvrtc_compiles_the_kernels(cuda: dict[str, str]) -> None:
    libraries = Path(cuda["CUDA_LIB_DIR"])
    # NVRTC loads it by name, from wherever it has been loaded.
    ctypes.CDLL(str(libraries / "libnvrtc-builtins.so.13.0"))
    nvrtc = ctypes.CDLL(str(libraries / "libnvrtc.so.13"))
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    text = [(SOURCES / "gpu" / name).read_bytes() for name in ("kernel.cu", "work.h")]
    headers, names = (ctypes.c_char_p * 1)(text[1]), (ctypes.c_char_p * 1)(b"work.h")
    options = (ctypes.c_char_p * 2)(b"--gpu-architecture=sm_90", b"--std=c++17")

    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text[0], b"kernel.cu", 1, headers, names) == 0
    compiled = nvrtc.nvrtcCompileProgram(program, 2, options)
    log = ctypes.create_string_buffer(1 << 16)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert compiled == 0, log.value.decode()
    assert nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)) == 0
    assert size.value > 1000


def test_pycuda_can_be_imported_against_the_stub(image: GpuImage, cuda: dict[str, str]) -> None:
    done = subprocess.run(
        [*image.python(Path(cuda["CUDA_LIB_DIR"])), "-c", "import pycuda.driver as d; print(d.get_version())"],
        env=image.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("(13, 0, 0)\n", "")


def test_a_stub_in_the_drivers_place_is_one_sentence(image: GpuImage, cuda: dict[str, str]) -> None:
    done = subprocess.run(
        [*image.worker(Path(cuda["CUDA_LIB_DIR"])), "1", "2048", "1", "00" * 32],
        env=image.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (10, "")
    assert done.stderr == (
        "the NVIDIA driver in this container can't be used (cuInit failed: this is a stub of libcuda): "
        "does nvidia-smi work there?\n"
    )


def test_an_image_without_a_driver_says_so_in_one_sentence(bwrap: Path, image: GpuImage, tmp_path: Path) -> None:
    challenge = write_challenge(tmp_path, gpus=1)

    done = run_mill(
        *("local-run", image.directory, "--runner", "sandbox", "-o", "json", "--input", f"challenge.json={challenge}"),
        *("--cpu", "1", "--memory", "256MiB", "--gpus", "0"),
    )

    prover = json.loads(done.stdout)["prover"]
    assert (done.returncode, prover["exit_code"]) == (5, 10)
    assert prover["stderr"].splitlines()[-1] == (
        "prover: no proof could be made: no NVIDIA driver is in this container (libcuda.so.1 is missing): install it "
        "and the NVIDIA Container Toolkit on the machine and start the container with its GPUs, or claim no GPUs"
    )
    assert "Traceback" not in prover["stderr"]


def test_the_image_proves_a_claim_without_gpus(bwrap: Path, image: GpuImage, tmp_path: Path) -> None:
    challenge = write_challenge(tmp_path)

    done = run_mill(
        *("local-run", image.directory, "--runner", "sandbox", "-o", "json", "--input", f"challenge.json={challenge}"),
        *("--cpu", "0.1", "--memory", "128MiB", "--gpus", "0", "--time-limit", "120s"),
    )

    assert json.loads(done.stdout)["verdict"] == "VALID"


def test_the_worker_makes_the_processors_proof_and_says_why_it_cannot(image: GpuImage, cpu_driver: Path) -> None:
    said = go_test_of_the_worker(image, cpu_driver, {"EMULATED_GPUS": "2", "CAPACITY_GPUS": "2"})

    assert "--- PASS: TestAWorkersProofIsTheOneOfTheCPU" in said
    assert "--- PASS: TestAWorkerThatCannotWorkSaysWhy/lost_at_the_opening" in said
    assert "GPU 1: the processor, compute capability 9.0, 1024 MiB, CUDA 13.0: 10240 leaves in " in said
    assert "not run" not in said
    assert "Warning" not in said


def test_a_device_makes_the_processors_proof(image: GpuImage) -> None:
    if not has_gpu():
        pytest.skip("not run: no GPU")

    said = go_test_of_the_worker(image, driver_folder(), {"CAPACITY_GPUS": "1"})

    assert "--- PASS: TestAWorkersProofIsTheOneOfTheCPU" in said


def go_test_of_the_worker(image: GpuImage, driver: Path, settings: dict[str, str]) -> str:
    version = load_manifest(SOURCES).recipe.tools["go"]
    worker = {"CAPACITY_GPU_WORKER": " ".join(image.worker(driver))}
    environment = image.environment | go_environment(version) | worker | settings
    done = subprocess.run(
        [shutil.which("go", path=environment["PATH"]) or "go", "test", "-count=1", "-v", "./cmd/prover"],
        cwd=SOURCES, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
