"""Builds the static program in tests/support/behave, which does each thing that a runner must confine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from client.program.image import LayerFile, write_image
from tests.support.image_archives import ARCHITECTURE

SOURCES = Path(__file__).parent / "behave"
TOOLS = Path(__file__).parents[2] / ".tools" / "bin"


def build_behave(folder: Path) -> bytes:
    """The program's executable, compiled in ``folder`` with the Go on PATH or the project's own."""
    compiler = shutil.which("go") or shutil.which("go", path=str(TOOLS))
    if compiler is None:
        raise FileNotFoundError("these tests need Go: run `make setup`")
    binary = folder / "behave"
    subprocess.run(
        [compiler, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, "."],
        cwd=SOURCES,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local"},
        check=True,
    )
    return binary.read_bytes()


def build_behave_image(folder: Path) -> bytes:
    """An image archive with nothing but the program, at /behave."""
    program, archive = folder / "behave", folder / "image.tar"
    build_behave(folder)
    write_image(archive, [LayerFile(program, "/behave", 0o755)], ("/behave",), {}, ARCHITECTURE)
    return archive.read_bytes()
