"""Programs are built ahead, with what processor time other tests leave: networks wait for blocks most of the time.

Compilers take minutes where nothing was built before. The builder lets a test wait for a build that is under way.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from tests.support.localnet import MILL

PROGRAMS: Final = Path(__file__).resolve().parents[2] / "programs"
# Each file of tests with what it builds.
_BUILDS: Final = {
    "test_aggregate_program.py": (("aggregate",),),
    "test_capacity_gpu.py": (("capacity/gpu.yaml",),),
    "test_circom_program.py": (("circom",), ("circom", "--set", "protocol=plonk")),
    "test_stark_program.py": (("stark",),),
    "test_tampered_proofs.py": (),
    "test_stark_cuda.py": (("stark/cuda.yaml", "--set", "archs=80"),),
}


class BuiltAhead:
    """One process that builds, one after another, what the selected tests will want."""

    def __init__(self, files: set[str]) -> None:
        self._builds = [build for file, builds in _BUILDS.items() if file in files for build in builds]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        with tempfile.TemporaryDirectory() as out:
            script = "; ".join(
                f'"$0" program build "$1/{place}" --out "$2" {" ".join(options)}' for place, *options in self._builds
            )
            # A build that fails says so in the test that needs it; here it is only early.
            builder = subprocess.Popen(
                ["nice", "-n", "19", "sh", "-c", script, MILL, PROGRAMS, out],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0,
            )  # fmt: skip
            try:
                return (yield)
            finally:
                if builder.poll() is None:
                    os.killpg(builder.pid, signal.SIGINT)  # lets it remove what it has begun
                builder.wait()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these files last, so that their builds are there."""
    items.sort(key=lambda item: item.path.name in _BUILDS)


def pytest_collection_finish(session: pytest.Session) -> None:
    files = {item.path.name for item in session.items} & set(_BUILDS)
    # Who runs one of these files waits for its build either way.
    if len(files) > 1 and not session.config.option.collectonly:
        session.config.pluginmanager.register(BuiltAhead(files))
