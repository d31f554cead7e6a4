"""Put into root/ what the GPU worker needs of Python, NumPy and PyCUDA, without what it never loads."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

DEBIAN = Path("debian")
PYTHON = Path("usr/lib/python3.11")
LIBRARIES = Path("usr/lib/x86_64-linux-gnu")
MODULES = Path("root") / PYTHON

LOADER = Path("lib64/ld-linux-x86-64.so.2")
# Beside what Python, NumPy and PyCUDA name, what the driver's own library asks for.
SHARED = (
    *("lib/x86_64-linux-gnu/" + name for name in ("libc.so.6", "libm.so.6", "libgcc_s.so.1", "libz.so.1")),
    *("lib/x86_64-linux-gnu/" + name for name in ("libdl.so.2", "libpthread.so.0", "librt.so.1", "libexpat.so.1")),
    *("usr/lib/x86_64-linux-gnu/" + name for name in ("libstdc++.so.6", "libffi.so.8", "libgfortran.so.5")),
    *(
        "usr/lib/x86_64-linux-gnu/" + name
        for name in ("libquadmath.so.0", "blas/libblas.so.3", "lapack/liblapack.so.3")
    ),
)
# Of the standard library all modules of one file, and these.
PACKAGES = ("collections", "concurrent", "ctypes", "encodings", "importlib", "json", "logging", "re", "urllib")
EXTENSIONS = ("_ctypes", "_contextvars", "_json", "_queue", "mmap")
# Nothing that `import numpy` loads, and a fifth of it.
NUMPY_LEFT_OUT = ("_pyinstaller", "array_api", "distutils", "doc", "f2py", "testing", "typing")
LICENCES = ("libc6", "libexpat1", "libffi8", "gcc-12-base", "libblas3", "liblapack3", "python3.11-minimal", "zlib1g")


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def copy_modules(source: Path, target: Path, left_out: tuple[str, ...] = ()) -> None:
    """The modules below `source`, without tests, type stubs and sources of other languages."""
    for path in source.rglob("*"):
        name = path.relative_to(source)
        ours = path.suffix in {".py", ".so"} and not {"tests", *left_out} & set(name.parts)
        if ours and not re.match(r"_simd\.|_(operand_flag|rational|struct_ufunc|umath)_tests\.", path.name):
            copy(path, target / name)


def main() -> None:
    for program in (LOADER, Path("usr/bin/python3.11")):
        copy(DEBIAN / program, Path("root") / program)
        (Path("root") / program).chmod(0o755)
    for name in SHARED:
        # All in one folder, which the loader searches by itself.
        copy(DEBIAN / name, Path("root") / LIBRARIES / Path(name).name)
    for path in (DEBIAN / PYTHON).glob("*.py"):
        copy(path, MODULES / path.name)
    for name in PACKAGES:
        copy_modules(DEBIAN / PYTHON / name, MODULES / name)
    for name in EXTENSIONS:
        file = f"lib-dynload/{name}.cpython-311-x86_64-linux-gnu.so"
        copy(DEBIAN / PYTHON / file, MODULES / file)
    copy_modules(DEBIAN / "usr/lib/python3/dist-packages/numpy", MODULES / "numpy", NUMPY_LEFT_OUT)
    for name in ("__init__.py", "driver.py"):
        copy(Path("pycuda-2026.1/pycuda") / name, MODULES / "pycuda" / name)
    for name in ("_driver.so", "_pvt_struct.so"):
        copy(Path(name), MODULES / "pycuda" / name)
    for name in LICENCES:
        copy(DEBIAN / "usr/share/doc" / name / "copyright", Path("root/licenses") / name)
    copy(DEBIAN / "usr/lib/python3/dist-packages/numpy/LICENSE.txt", Path("root/licenses/numpy"))
    copy(Path("pycuda-2026.1/LICENSE"), Path("root/licenses/pycuda"))


if __name__ == "__main__":
    main()
