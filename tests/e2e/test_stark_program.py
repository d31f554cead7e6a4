"""A chain of Keccak-f permutations between two public states: proved, verified and lied about on every runner."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest

from prover_node.runner.base import Job, Limits, Outcome, Reason, Runner
from prover_node.runner.docker import DockerRunner
from prover_node.runner.sandbox import SandboxRunner
from tests.support.engine import Engine
from tests.support.groth16 import build_groth16
from tests.support.localnet import PATIENCE_S, Localnet, run_mill
from tests.support.stark import SOURCES, Stark, build_stark, make_inputs, true_statement, write_statement

# Building Rust takes its time on a machine that does it for the first time.
pytestmark = pytest.mark.timeout(4 * PATIENCE_S)

PERMUTATIONS = 5
MODULUS = 2**31 - 2**27 + 1
LIMITS = Limits(
    cpu_millis=2000,
    memory_bytes=256 << 20,
    gpus=0,
    time_limit_s=120,
    output_bytes=4 << 20,
    output_inodes=100,
    tmp_bytes=1 << 20,
)


class Bench:
    """Runs the program's two containers on one runner, with directories as the contract wants them."""

    def __init__(self, runner: Runner, stark: Stark, root: Path) -> None:
        self._runner = runner
        self._stark = stark
        self._root = root
        self._jobs = 0

    async def prove(self, statement: object) -> tuple[Outcome, Path]:
        """How the prover ended, and what it left in its output directory."""
        output = self._root / f"output-{self._jobs}"
        output.mkdir()
        return await self._run("prover", statement, output=output, proof=None), output

    async def verify(self, statement: object, proof: Path | bytes) -> Outcome:
        """How the verifier ended on a directory, or on a proof.bin of these bytes."""
        if isinstance(proof, bytes):
            content, proof = proof, self._root / f"proof-{self._jobs}"
            proof.mkdir()
            (proof / "proof.bin").write_bytes(content)
        return await self._run("verifier", statement, output=None, proof=proof)

    async def _run(self, role: str, statement: object, output: Path | None, proof: Path | None) -> Outcome:
        self._jobs += 1
        mounted = self._root / f"mounted-{self._jobs}"
        mounted.mkdir()
        if statement is not None:
            write_statement(mounted, statement)
        image = self._stark.program.prover if role == "prover" else self._stark.program.verifier
        return await self._runner.run(
            Job(
                id=f"{role}-{self._jobs}",
                image=self._stark.directory / image.file,
                image_sha256=image.sha256,
                command=image.command,
                input_dir=mounted,
                assets_dir=None,
                proof_dir=proof,
                output_dir=output,
                limits=LIMITS,
            )
        )


@pytest.fixture(scope="module")
def stark(tmp_path_factory: pytest.TempPathFactory) -> Stark:
    return build_stark(tmp_path_factory.mktemp("stark"))


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """The contract's user inside the container is none of ours."""
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture(params=["docker", "sandbox"])
async def bench(request: pytest.FixtureRequest, stark: Stark, open_path: Path) -> AsyncIterator[Bench]:
    needed = {"docker": "docker_engine", "sandbox": "bwrap"}[request.param]
    # Asked for by name, so that one missing backend doesn't skip the other; the summary counts by these names.
    request.node.fixturenames = [*request.node.fixturenames, needed]
    backend = request.getfixturevalue(needed)
    runner: Runner
    if request.param == "docker":
        runner = await DockerRunner.start("stark-test", open_path / "state", url=cast(Engine, backend).url)
    else:
        runner = await SandboxRunner.start("stark-test", open_path / "state", bwrap=cast(Path, backend))
    yield Bench(runner, stark, open_path)
    await runner.close()


@pytest.fixture
async def sandbox(bwrap: Path, stark: Stark, open_path: Path) -> AsyncIterator[Bench]:
    """The quicker runner alone, for what only depends on the program."""
    runner = await SandboxRunner.start("stark-test", open_path / "state", bwrap=bwrap)
    yield Bench(runner, stark, open_path)
    await runner.close()


@pytest.fixture(scope="module")
def valid(bwrap: Path, stark: Stark, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A proof of `true_statement(PERMUTATIONS)`."""
    root = tmp_path_factory.mktemp("valid")
    root.chmod(0o755)

    async def prove() -> tuple[Outcome, Path]:
        runner = await SandboxRunner.start("stark-valid", root / "state", bwrap=bwrap)
        try:
            return await Bench(runner, stark, root).prove(true_statement(PERMUTATIONS))
        finally:
            await runner.close()

    outcome, output = asyncio.run(prove())
    assert_exited(outcome, 0, "proved in")
    return (output / "proof.bin").read_bytes()


def assert_exited(outcome: Outcome, code: int, message: str) -> None:
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, code), outcome
    assert message in (outcome.stdout + outcome.stderr).decode()


def word(proof: bytes, index: int, value: int) -> bytes:
    """`proof` with another element at `index`."""
    return proof[: 4 * index] + value.to_bytes(4, "little") + proof[4 * index + 4 :]


def sha3_256(message: bytes, keccak_f: Callable[[bytes], bytes]) -> bytes:
    """FIPS 202's SHA3-256 of less than 136 bytes, made of one permutation."""
    block = bytearray(message + b"\x06").ljust(200, b"\0")
    block[135] ^= 0x80
    return keccak_f(bytes(block))[:32]


@pytest.mark.parametrize("message", [b"", b"proofmill", b"x" * 134])
def test_the_plain_permutation_is_that_of_sha3(message: bytes) -> None:
    assert sha3_256(message, make_inputs.keccak_f) == hashlib.sha3_256(message).digest()


# 5 permutations take 120 of 128 rows, 6 take 144 of 256: both sides of a power of two.
@pytest.mark.parametrize("permutations", [1, 5, 6])
async def test_a_chain_is_proved_and_the_proof_is_valid(bench: Bench, permutations: int) -> None:
    statement = true_statement(permutations)

    outcome, output = await bench.prove(statement)

    assert_exited(outcome, 0, f"{permutations} permutations")
    assert [path.name for path in output.iterdir()] == ["proof.bin"]
    verdict = await bench.verify(statement, output)
    assert_exited(verdict, 0, f"the proof is valid: {permutations} permutations")
    bits = float(verdict.stdout.decode().split(", ")[1].split()[0])
    assert bits >= 100


@pytest.mark.parametrize("permutations", [PERMUTATIONS - 1, PERMUTATIONS + 1, 1, 43_690])
async def test_a_proof_is_not_valid_for_another_number(sandbox: Bench, valid: bytes, permutations: int) -> None:
    assert_exited(
        await sandbox.verify(true_statement(PERMUTATIONS) | {"permutations": permutations}, valid), 1, "inval"
    )


async def test_a_proof_is_valid_for_its_own_states_only(bench: Bench, valid: bytes) -> None:
    own, other = true_statement(PERMUTATIONS), true_statement(PERMUTATIONS, b"other")

    assert_exited(await bench.verify(own, valid), 0, "the proof is valid")
    assert_exited(await bench.verify(other, valid), 1, "invalid")
    assert_exited(await bench.verify(own | {"start": other["start"]}, valid), 1, "invalid")
    assert_exited(await bench.verify(own | {"end": other["end"]}, valid), 1, "invalid")
    assert_exited(await bench.verify(own | {"start": own["end"], "end": own["start"]}, valid), 1, "invalid")


async def test_the_end_of_a_longer_chain_is_not_the_end_of_a_shorter_one(sandbox: Bench, valid: bytes) -> None:
    # Chains from the same start: the longer one passes the end of the shorter one on its way.
    assert_exited(await sandbox.verify(true_statement(PERMUTATIONS + 1), valid), 1, "invalid")
    assert_exited(await sandbox.verify(true_statement(PERMUTATIONS - 1), valid), 1, "invalid")


# In the file's order: a commitment, constraints, openings, Merkle paths, the last polynomial.
@pytest.mark.parametrize("place", [0.0, 0.001, 0.05, 0.3, 0.5, 0.8, 0.9, 1.0])
async def test_a_changed_proof_is_invalid(sandbox: Bench, valid: bytes, place: float) -> None:
    index = int(place * (len(valid) // 4 - 1))
    old = int.from_bytes(valid[4 * index : 4 * index + 4], "little")

    changed = word(valid, index, (old + 1) % MODULUS)

    assert_exited(await sandbox.verify(true_statement(PERMUTATIONS), changed), 1, "invalid: ")


async def test_a_number_that_is_no_element_of_the_field_is_invalid(sandbox: Bench, valid: bytes) -> None:
    old = int.from_bytes(valid[:4], "little")

    # The same element modulo the field's order: accepting it would make two files of one proof.
    again = word(valid, 0, old + MODULUS)

    assert_exited(await sandbox.verify(true_statement(PERMUTATIONS), again), 1, "isn't an element of the field")


@pytest.mark.parametrize("bytes_left", [0, 1, 1000, -1, -4])
async def test_a_truncated_proof_is_invalid(sandbox: Bench, valid: bytes, bytes_left: int) -> None:
    assert_exited(await sandbox.verify(true_statement(PERMUTATIONS), valid[:bytes_left]), 1, "it must have")


@pytest.mark.parametrize("fill", [b"\0", b"\1\0\0\0", b"\xff"])
async def test_bytes_of_a_proofs_size_are_invalid(sandbox: Bench, valid: bytes, fill: bytes) -> None:
    content = (fill * len(valid))[: len(valid)]

    assert_exited(await sandbox.verify(true_statement(PERMUTATIONS), content), 1, "invalid: ")


async def test_a_proof_with_something_behind_it_is_invalid(sandbox: Bench, valid: bytes) -> None:
    assert_exited(await sandbox.verify(true_statement(PERMUTATIONS), valid + b"\0"), 1, "it must have")
    assert_exited(await sandbox.verify(true_statement(PERMUTATIONS), valid + valid * 20), 1, "it must have")


@pytest.fixture(scope="module")
def groth16_proof(bwrap: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A valid proof of another program."""
    root = tmp_path_factory.mktemp("groth16")
    groth16 = build_groth16(root / "built")
    inputs = groth16.make_inputs(root / "inputs")
    done = run_mill(
        *("local-run", groth16.directory, "--runner", "sandbox", "--output", root / "proof"),
        *("--input", f"public.json={inputs / 'public.json'}"),
        *("--input", f"witness.json={inputs / 'witness.json'}:prover"),
    )
    assert done.returncode == 0, done.stderr
    return (root / "proof" / "proof.bin").read_bytes()


async def test_another_programs_proof_is_invalid(bench: Bench, groth16_proof: bytes) -> None:
    assert_exited(await bench.verify(true_statement(PERMUTATIONS), groth16_proof), 1, "it must have")


async def test_a_proof_without_its_file_is_invalid(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd" / "proof.bin").mkdir(parents=True)

    assert_exited(await bench.verify(true_statement(PERMUTATIONS), tmp_path / "empty"), 1, "left no proof.bin")
    assert_exited(await bench.verify(true_statement(PERMUTATIONS), tmp_path / "odd"), 1, "left no proof.bin")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"permutations": 0}, "permutations must be from 1 to 43690, not 0"),
        ({"permutations": 43_691}, "permutations must be from 1 to 43690, not 43691"),
        ({"permutations": -1}, "public.json: invalid value"),
        ({"permutations": "5"}, "public.json: invalid type"),
        ({"start": "0x00"}, "start must be 0x and 400 lower-case hexadecimal digits"),
        ({"end": "0x" + "AB" * 200}, "end must be 0x and 400 lower-case hexadecimal digits"),
        ({"end": "00" * 201}, "end must be 0x and 400 lower-case hexadecimal digits"),
        ({"note": "x"}, "unknown field `note`"),
        ({"start": "0x" + "0" * 5000}, "must be a file of at most 4096 bytes"),
    ],
)
async def test_a_malformed_statement_is_nobodys_fault(sandbox: Bench, change: dict[str, object], message: str) -> None:
    statement = true_statement(PERMUTATIONS) | change

    assert_exited(await sandbox.verify(statement, b""), 3, message)
    outcome, output = await sandbox.prove(statement)
    assert_exited(outcome, 3, message)
    assert list(output.iterdir()) == []


async def test_a_missing_statement_is_nobodys_fault(bench: Bench) -> None:
    assert_exited(await bench.verify(None, b""), 3, "public.json")


async def test_a_false_statement_is_not_proved(bench: Bench) -> None:
    statement = true_statement(PERMUTATIONS) | {"end": true_statement(PERMUTATIONS + 1)["end"]}

    outcome, output = await bench.prove(statement)

    assert_exited(outcome, 5, "the statement is false")
    assert list(output.iterdir()) == []


def test_the_readme_states_the_digests_that_everybody_gets(stark: Stark) -> None:
    readme = (SOURCES / "README.md").read_text(encoding="utf-8")

    for image in (stark.program.prover, stark.program.verifier):
        assert f"| {image.file} | `{image.sha256}` |" in readme


def test_the_images_say_nothing_of_the_machine_that_built_them(stark: Stark) -> None:
    for image in (stark.program.prover, stark.program.verifier):
        content = (stark.directory / image.file).read_bytes()
        assert b"proofmill-build-" not in content
        assert str(Path.home() / ".cargo").encode() not in content
        assert image.bytes < 5_000_000


def test_the_chain_is_proved_judged_and_fetched_on_a_network(
    small_localnet: Localnet, stark: Stark, tmp_path: Path
) -> None:
    program = small_localnet.deploy(stark.directory)
    example = SOURCES / "example" / "public.json"

    told = small_localnet.ask(
        *("run", "--program", program, "--wait", "--output", tmp_path / "proof"),
        *("--input", f"public.json={example}:both"),
        sender="alice",
    )

    assert (told["task"]["progress"]["status"], told["task"]["progress"]["verdict"]) == ("DONE", "VALID")
    assert (tmp_path / "proof" / "proof.bin").stat().st_size > 100_000
