"""The CUDA compiler of a build, without a GPU, a driver or an installed toolkit: pinned wheels of PyPI.

What they don't have is the driver's library, libcuda, which belongs to a machine with a GPU. A stub of it, generated
from the header, is linked and imported against instead: every function is there, and returns CUDA_ERROR_STUB_LIBRARY.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from client.program.errors import BuildError


@dataclass(frozen=True)
class _Wheel:
    name: str
    version: str
    sha256: str


# CUDA 13.0 is the oldest whose wheels hold nvcc itself, and any driver from 580 on runs what it compiles.
_TOOLKITS = {
    "13.0.2": (
        _Wheel("nvidia-cuda-nvcc", "13.0.88", "56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03"),
        _Wheel("nvidia-nvvm", "13.0.88", "c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0"),
        _Wheel("nvidia-cuda-crt", "13.0.88", "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4"),
        _Wheel("nvidia-cuda-runtime", "13.0.96", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
        _Wheel("nvidia-cuda-cccl", "13.0.85", "e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649"),
        _Wheel("nvidia-cuda-nvrtc", "13.0.88", "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575"),
        _Wheel(
            "nvidia-cuda-profiler-api", "13.0.85", "73d2671deac833db6686d6fbde4753fa3a3a497d87540fc246f081f375243f66"
        ),
    ),
}
CUDA_VERSIONS = tuple(_TOOLKITS)

_ROOT_IN_WHEEL = ("nvidia", "cu13")
# Two hundred megabytes that nvcc doesn't use: a second NVRTC, and NVVM as a library beside the compiler that has it.
_LEFT_OUT = re.compile(r"lib/(libnvrtc.*\.alt\.so|libnvvm\.so|cmake/)|\.metadata/")
_NEWEST_GCC = 15  # that nvcc 13.0 takes as its host compiler
_DECLARATION = re.compile(r"\bCUresult\s+(cu[A-Z]\w*)\s*\(")
_HEADERS = ("cuda.h", "cudaProfiler.h")
# Names from all versions of the interface that the header knows, in both flavours of the default stream.
_HEADER_VIEWS = ((), ("-D__CUDA_API_VERSION_INTERNAL",), ("-DCUDA_API_PER_THREAD_DEFAULT_STREAM",))
_STUB = """\
/* Every function of libcuda, of which only those that explain an error do anything. */
typedef int CUresult;
enum { CUDA_ERROR_STUB_LIBRARY = 34 };
CUresult cuGetErrorName(CUresult error, const char **text) { *text = "CUDA_ERROR_STUB_LIBRARY"; return 0; }
CUresult cuGetErrorString(CUresult error, const char **text) { *text = "this is a stub of libcuda"; return 0; }
"""
_WITH_A_BODY = {"cuGetErrorName", "cuGetErrorString"}


def cuda_environment(version: str, place: Path) -> dict[str, str]:
    """Environment variables under which `nvcc` is exactly CUDA `version` and links without a driver.

    The toolkit is put into `place`, once: `place`/cuda-<version>-<hash> has bin, include, lib64 (with the stub as
    libcuda.so and libcuda.so.1) and nvvm. Several processes may ask at the same time. Raises BuildError.
    """
    if version not in _TOOLKITS:
        raise BuildError(f"CUDA {version} is not among the versions that a build can use: {', '.join(CUDA_VERSIONS)}")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise BuildError(
            f"CUDA programs are built on Linux on x86-64, and this machine is {platform.system()} on "
            f"{platform.machine()}: build on another machine and copy the archives"
        )
    compiler = _host_compiler()
    root = _toolkit(version, place, compiler)
    libraries, headers = str(root / "lib64"), str(root / "include")
    return {
        "CPLUS_INCLUDE_PATH": headers,
        "CUDA_HOME": str(root),
        "CUDA_LIB_DIR": libraries,
        "CUDA_PATH": str(root),
        "CUDA_ROOT": str(root),
        "C_INCLUDE_PATH": headers,
        "LIBRARY_PATH": libraries,
        # Where the toolkit lies on this machine must not get into what it compiles.
        "NVCC_APPEND_FLAGS": f"-Xcompiler=-ffile-prefix-map={root}=/cuda",
        "NVCC_CCBIN": compiler,
        "PATH": os.pathsep.join([str(root / "bin"), "/usr/bin", "/bin"]),
    }


def _host_compiler() -> str:
    """Path of a g++ that nvcc takes."""
    found = []
    for name in ("g++", *(f"g++-{major}" for major in range(_NEWEST_GCC, 10, -1))):
        path = shutil.which(name)
        if path is None:
            continue
        done = subprocess.run([path, "-dumpversion"], capture_output=True, text=True, check=False)
        major = done.stdout.strip().split(".")[0]
        if done.returncode == 0 and major.isdigit() and int(major) <= _NEWEST_GCC:
            return path
        found.append(f"{name} {done.stdout.strip()}")
    problem = f"only {', '.join(found)} is installed" if found else "it isn't installed"
    raise BuildError(f"CUDA needs the C++ compiler g++, at most version {_NEWEST_GCC}, and {problem}: install g++-12")


def _toolkit(version: str, place: Path, compiler: str) -> Path:
    """The folder of an assembled toolkit, which is made if `place` doesn't have it."""
    key = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    root = place.resolve() / f"cuda-{version}-{key}"
    if root.is_dir():
        return root
    try:
        place.mkdir(parents=True, exist_ok=True)
        with (place / "cuda.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not root.is_dir():
                with tempfile.TemporaryDirectory(dir=place, prefix="unfinished-") as scratch:
                    finished = Path(scratch, "root")
                    _unpack(_download(version, Path(scratch, "wheels")), finished)
                    _complete(finished)
                    _add_stub(finished, compiler)
                    finished.rename(root)
    except OSError as error:
        raise BuildError(f"CUDA {version} can't be put into {place}: {error.strerror} ({error.filename})") from error
    return root


def _download(version: str, folder: Path) -> list[Path]:
    """Fetch the wheels with pip, which knows the machine's mirrors and proxies, and checks the hashes."""
    folder.mkdir()
    pins = folder / "pins.txt"
    pins.write_text(
        "".join(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in _TOOLKITS[version])
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--require-hashes"),
            *("--only-binary", ":all:", "--platform", "manylinux_2_17_x86_64", "--platform", "manylinux_2_12_x86_64"),
            *("--dest", str(folder), "--requirement", str(pins)),
        ],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if "ERROR" in line), done.stderr.strip())
        raise BuildError(f"CUDA {version} can't be fetched from PyPI, which takes a network and pip: {reason}")
    return sorted(folder.glob("*.whl"))


def _unpack(wheels: list[Path], root: Path) -> None:
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                parts = PurePosixPath(entry.filename).parts
                name = "/".join(parts[2:])
                if entry.is_dir() or parts[:2] != _ROOT_IN_WHEEL or _LEFT_OUT.match(name):
                    continue
                target = root / re.sub(r"^lib/", "lib64/", name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out)
                target.chmod(0o755 if entry.external_attr >> 16 & 0o100 else 0o644)


def _complete(root: Path) -> None:
    """What wheels can't hold: symbolic links, and settings that keep this machine's paths out of compiled files."""
    (root / "lib").symlink_to("lib64")
    for library in sorted((root / "lib64").glob("*.so.*")):
        plain = library.with_name(library.name.split(".so.")[0] + ".so")
        if not plain.exists():
            plain.symlink_to(library.name)
    # nvcc writes the linker's options into programs. LIBRARY_PATH says the same without a trace.
    profile = root / "bin" / "nvcc.profile"
    lines = profile.read_text().splitlines(keepends=True)
    profile.write_text("".join(line for line in lines if not line.startswith("LIBRARIES")))


def _add_stub(root: Path, compiler: str) -> None:
    names = set()
    for view in _HEADER_VIEWS:
        headers = [f"-I{root / 'include'}", *(word for name in _HEADERS for word in ("-include", name))]
        declared = _compile(compiler, ["-x", "c++", "-E", "-P", *view, *headers, "/dev/null"])
        names |= set(_DECLARATION.findall(declared))
    source = root / "libcuda.c"
    bodies = [f"CUresult {name}(void) {{ return CUDA_ERROR_STUB_LIBRARY; }}\n" for name in sorted(names - _WITH_A_BODY)]
    source.write_text(_STUB + "".join(bodies))
    library = root / "lib64" / "libcuda.so.1"
    _compile(
        compiler, ["-x", "c", "-shared", "-fPIC", "-O1", "-Wl,-soname,libcuda.so.1", "-o", str(library), str(source)]
    )
    source.unlink()
    (root / "lib64" / "libcuda.so").symlink_to(library.name)


def _compile(compiler: str, arguments: list[str]) -> str:
    done = subprocess.run([compiler, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"the stub of libcuda can't be compiled with {compiler}: {done.stderr.strip()}")
    return done.stdout
