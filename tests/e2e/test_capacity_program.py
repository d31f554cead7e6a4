"""The capacity test's program: its containers on this machine, as a prover node runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client.program.build import build
from client.program.description import BuiltProgram
from client.program.go_toolchain import go_environment
from client.program.manifest import load_manifest
from tests.support.localnet import run_mill

SOURCES = Path(__file__).resolve().parents[2] / "programs" / "capacity"

# The smallest claim. Given what it claims it takes the network's time like any other, but little of this machine's.
CLAIM = {"cpu_millis": 100, "memory_bytes": 128 << 20, "gpus": 0}


@dataclass(frozen=True)
class Capacity:
    """The built program."""

    directory: Path
    program: BuiltProgram

    def local_run(self, challenge: Path, *arguments: str | Path) -> tuple[int, dict[str, Any], str]:
        """Exit code, result and notes of `mill local-run` in the sandbox."""
        done = run_mill(
            *("local-run", self.directory, "--runner", "sandbox", "-o", "json"),
            *("--input", f"challenge.json={challenge}", *arguments),
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout), done.stderr


@dataclass(frozen=True)
class Made:
    """A proof, the challenge that it answers, and the run that made it."""

    challenge: Path
    proof: Path
    result: dict[str, Any]
    notes: str


def write_challenge(directory: Path, *, beacon: int = 1, **claim: int) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "challenge.json"
    fields = {"beacon": f"{beacon:064x}", "prover": "mill1" + "q" * 39, **CLAIM, **claim}
    path.write_text(json.dumps(fields, separators=(",", ":")), encoding="ascii")
    return path


@pytest.fixture(scope="module")
def capacity(tmp_path_factory: pytest.TempPathFactory) -> Capacity:
    directory = tmp_path_factory.mktemp("capacity")
    return Capacity(directory, build(SOURCES, directory).program)


@pytest.fixture(scope="module")
def made(bwrap: Path, capacity: Capacity, tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("proof")
    challenge = write_challenge(root)
    code, result, notes = capacity.local_run(
        challenge, "--cpu", "0.1", "--memory", "128MiB", "--time-limit", "120s", "--output", root / "proof"
    )
    assert (code, result["verdict"]) == (0, "VALID"), result
    return Made(challenge, root / "proof", result, notes)


def test_a_claim_is_proved_with_exactly_what_it_claims(made: Made) -> None:
    assert [path.name for path in made.proof.iterdir()] == ["proof.bin"]
    assert made.result["prover"]["peak_memory_bytes"] > CLAIM["memory_bytes"] * 15 // 16 - (64 << 20)
    *_, last = made.result["prover"]["stderr"].splitlines()
    assert last.startswith("capacity: done in ")


def test_verifying_costs_little(made: Made) -> None:
    verifier = made.result["verifier"]
    assert (verifier["exit_code"], verifier["stderr"]) == (0, "")
    assert verifier["peak_memory_bytes"] < 64 << 20


def test_half_the_cores_miss_the_time_limit(made: Made, capacity: Capacity, tmp_path: Path) -> None:
    if "cpu" in made.notes:
        pytest.skip(f"this machine can't limit a job's cpu: {made.notes}")
    expected_s = made.result["prover"]["cpu_ms"] / 100 / 0.5
    if expected_s < 22:
        pytest.skip(f"a core here is so fast that half of one does a core's work in {expected_s:.0f} s")
    challenge = write_challenge(tmp_path, cpu_millis=1000)

    code, result, _ = capacity.local_run(challenge, "--cpu", "0.5", "--memory", "128MiB", "--time-limit", "20s")

    assert (code, result["prover"]["reason"], result["verdict"]) == (5, "time limit", None)


def test_half_the_memory_is_not_enough(bwrap: Path, capacity: Capacity, tmp_path: Path) -> None:
    challenge = write_challenge(tmp_path, memory_bytes=1 << 30)

    code, result, _ = capacity.local_run(challenge, "--cpu", "1", "--memory", "512MiB")

    assert (code, result["prover"]["reason"], result["verdict"]) == (5, "out of memory", None)


def test_gpus_are_not_met_by_the_processor(bwrap: Path, capacity: Capacity, tmp_path: Path) -> None:
    challenge = write_challenge(tmp_path, gpus=1)

    code, result, _ = capacity.local_run(
        challenge, "--cpu", "1", "--memory", "256MiB", "--gpus", "0", "--time-limit", "10s"
    )

    assert (code, result["prover"]["reason"]) == (5, "time limit")
    assert "no GPU kernel is in this image:" in result["prover"]["stderr"]


def test_a_proof_of_another_challenge_is_invalid(made: Made, capacity: Capacity, tmp_path: Path) -> None:
    for name, other in (
        ("beacon", write_challenge(tmp_path / "a", beacon=2)),
        ("claim", write_challenge(tmp_path / "b", cpu_millis=200)),
    ):
        code, result, _ = capacity.local_run(other, "--verify-only", "--proof", made.proof)
        assert (name, code, result["verdict"]) == (name, 5, "INVALID")


@pytest.mark.parametrize("change", ["cut", "flipped", "garbage", "empty", "missing", "extended"])
def test_a_tampered_proof_is_invalid(made: Made, capacity: Capacity, tmp_path: Path, change: str) -> None:
    proof = (made.proof / "proof.bin").read_bytes()
    middle = len(proof) // 2
    content = {
        "cut": proof[:-1],
        "flipped": proof[:middle] + bytes([proof[middle] ^ 1]) + proof[middle + 1 :],
        "garbage": b"\xff" * len(proof),
        "empty": b"",
        "missing": b"",
        "extended": proof + b"\0",
    }[change]
    folder = tmp_path / "proof"
    folder.mkdir()
    (folder / ("other" if change == "missing" else "proof.bin")).write_bytes(content)

    code, result, _ = capacity.local_run(made.challenge, "--verify-only", "--proof", folder)

    assert (code, result["verdict"], result["verifier"]["exit_code"]) == (5, "INVALID", 1)


def test_a_malformed_challenge_is_nobodys_fault(made: Made, capacity: Capacity, tmp_path: Path) -> None:
    malformed = tmp_path / "challenge.json"
    malformed.write_bytes(made.challenge.read_bytes() + b"\n")

    _, proving, _ = capacity.local_run(malformed)
    _, verifying, _ = capacity.local_run(malformed, "--verify-only", "--proof", made.proof)

    assert (proving["prover"]["exit_code"], proving["verdict"]) == (3, None)
    assert (verifying["verifier"]["exit_code"], verifying["verdict"]) == (3, "INCONCLUSIVE")


def test_two_builds_in_different_places_are_the_same_bytes(capacity: Capacity, tmp_path: Path) -> None:
    moved = tmp_path / "somewhere" / "else"
    shutil.copytree(SOURCES, moved, ignore=shutil.ignore_patterns("build"))

    again = build(moved, tmp_path / "out", cache_dir=tmp_path / "empty-cache")

    assert not again.cached
    assert again.program == capacity.program


def test_the_readme_states_the_digests_that_everybody_gets(capacity: Capacity) -> None:
    readme = (SOURCES / "README.md").read_text(encoding="utf-8")

    for image in (capacity.program.prover, capacity.program.verifier):
        assert f"| {image.file} | `{image.sha256}` |" in readme


def test_the_programs_own_tests_pass() -> None:
    version = load_manifest(SOURCES).recipe.tools["go"]

    done = subprocess.run(
        ["go", "test", "./..."], cwd=SOURCES, env=go_environment(version), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
