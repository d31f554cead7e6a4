"""Proofs of proofs: made to some depth, verified and lied about on the runners, and asked for on a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from prover_node.runner.docker import DockerRunner
from prover_node.runner.sandbox import SandboxRunner
from tests.support.aggregate import (
    SOURCES,
    Aggregate,
    Bench,
    Statement,
    Tree,
    assert_exited,
    build_aggregate,
    make_statements,
)
from tests.support.engine import Engine
from tests.support.groth16 import build_groth16
from tests.support.localnet import PATIENCE_S, Localnet, run_mill

# Building Rust takes its time on a machine that does it for the first time.
pytestmark = pytest.mark.timeout(4 * PATIENCE_S)

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "aggregate"
ORDER = 2**64 - 2**32 + 1
MARK_BYTES = 8
SHARED_BYTES = 133_448
ROOT_BYTES = 84_653
NAMES = ("leaf-1", "leaf-4", "node-1-2", "node-1-3", "node-1-4", "root")
ONE_OF_EACH = ("leaf-1", "node-1-4", "root")


@pytest.fixture(scope="module")
def aggregate(tmp_path_factory: pytest.TempPathFactory) -> Aggregate:
    return build_aggregate(tmp_path_factory.mktemp("aggregate"))


@pytest.fixture(scope="module")
def tree(bwrap: Path, aggregate: Aggregate, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    root = tmp_path_factory.mktemp("tree")
    tree = Tree(make_statements(root / "statements", *Tree.STEPS))

    async def prove() -> None:
        runner = await SandboxRunner.start("aggregate-tree", root / "state", bwrap=bwrap)
        try:
            await tree.prove(Bench(runner, aggregate, root), root)
        finally:
            await runner.close()

    asyncio.run(prove())
    return tree


@pytest.fixture
async def bench(bwrap: Path, aggregate: Aggregate, tmp_path: Path) -> AsyncIterator[Bench]:
    runner = await SandboxRunner.start("aggregate-test", tmp_path / "state", bwrap=bwrap)
    yield Bench(runner, aggregate, tmp_path)
    await runner.close()


@pytest.fixture
async def docker_bench(docker_engine: Engine, aggregate: Aggregate, tmp_path: Path) -> AsyncIterator[Bench]:
    runner = await DockerRunner.start("aggregate-test", tmp_path / "state", url=docker_engine.url)
    yield Bench(runner, aggregate, tmp_path)
    await runner.close()


@pytest.mark.parametrize("name", NAMES)
async def test_a_proof_of_every_depth_is_valid(bench: Bench, tree: Tree, name: str) -> None:
    assert_exited(await bench.verify(tree.statements[name], tree.proofs[name]), 0, "the proof is valid")
    assert len(tree.proofs[name]) == (ROOT_BYTES if name == "root" else SHARED_BYTES)


async def test_an_engine_proves_and_verifies_too(docker_bench: Bench, tree: Tree) -> None:
    outcome, output = await docker_bench.prove(tree.statements["leaf-2"], cpu_millis=2000)
    assert_exited(outcome, 0, "leaf: 20 steps")
    assert_exited(await docker_bench.verify(tree.statements["leaf-2"], output), 0, "the proof is valid")
    assert_exited(await docker_bench.verify(tree.statements["leaf-3"], output), 1, "another statement")
    assert_exited(await docker_bench.verify(tree.statements["root"], tree.proofs["root"]), 0, "the proof is valid")


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize("key", ["start", "end", "steps"])
async def test_a_proof_of_another_statement_is_invalid(bench: Bench, tree: Tree, name: str, key: str) -> None:
    true = tree.statements[name]
    other = true["steps"] + 1 if key == "steps" else true[key][:-1] + ("1" if true[key][-1] == "0" else "0")

    outcome = await bench.verify(true | {key: other}, tree.proofs[name])

    assert_exited(outcome, 1, "invalid: it is the proof of another statement")


@pytest.mark.parametrize(("asked", "given"), [("leaf-1", "leaf-2"), ("node-1-2", "node-3-4"), ("node-1-3", "node-1-4")])
async def test_a_valid_proof_of_another_part_is_invalid(bench: Bench, tree: Tree, asked: str, given: str) -> None:
    outcome = await bench.verify(tree.statements[asked], tree.proofs[given])

    assert_exited(outcome, 1, "invalid: it is the proof of another statement")


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        *(("leaf-4", "node"), ("leaf-4", "root"), ("node-1-4", "leaf"), ("node-1-4", "root")),
        *(("root", "leaf"), ("root", "node")),
    ],
)
async def test_a_proof_of_another_stage_is_invalid(bench: Bench, tree: Tree, given: str, asked: str) -> None:
    statement = tree.statements[given] | {"stage": asked, "steps": 4096 if asked == "leaf" else 4147}
    proof = tree.proofs[given]

    as_it_is = await bench.verify(statement, proof)
    renamed = await bench.verify(statement, f"agg1{asked}".encode() + proof[MARK_BYTES:])

    assert_exited(as_it_is, 1, f"invalid: it is a {given.partition('-')[0]}'s proof, not a {asked}'s")
    assert_exited(renamed, 1, "verifier: invalid: ")


def changed(proof: bytes, at: int) -> bytes:
    return proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]


def number(proof: bytes, at: int, value: int) -> bytes:
    return proof[:at] + value.to_bytes(8, "little") + proof[at + 8 :]


@pytest.mark.parametrize("name", ONE_OF_EACH)
async def test_a_tampered_proof_is_invalid(bench: Bench, tree: Tree, name: str) -> None:
    proof = tree.proofs[name]
    inputs = 9 if name == "root" else 77
    count_at = len(proof) - 8 * inputs - 8
    steps_at = count_at + 8 + 8 * 8
    assert int.from_bytes(proof[count_at : count_at + 8], "little") == inputs
    steps = int.from_bytes(proof[steps_at : steps_at + 8], "little")
    assert steps == tree.statements[name]["steps"]
    tampered = {
        "empty": b"",
        "a mark and nothing": proof[:MARK_BYTES],
        "cut by a byte": proof[:-1],
        "cut by an element": proof[:-8],
        "cut in the middle": proof[: len(proof) // 2],
        "a byte more": proof + b"\0",
        "an element more": proof + bytes(8),
        "twice": proof + proof,
        "too long": proof + bytes(1 << 20),
        "garbage": b"\xff" * len(proof),
        "zeros": proof[:MARK_BYTES] + bytes(len(proof) - MARK_BYTES),
        "ones": proof[:MARK_BYTES] + b"\xff" * (len(proof) - MARK_BYTES),
        "an unknown mark": b"agg2" + proof[4:],
        "the same element, encoded as another": number(proof, steps_at, steps + ORDER),
        "other steps": number(proof, steps_at, steps + 1),
        "a huge number of public inputs": number(proof, count_at, 2**62),
        "no public inputs": number(proof, count_at, 0)[: count_at + 8],
        "one public input less": number(proof, count_at, inputs - 1)[:-8],
    } | {f"flipped at {at}": changed(proof, at) for at in (*range(8, len(proof), len(proof) // 20), len(proof) - 1)}

    for what, content in tampered.items():
        outcome = await bench.verify(tree.statements[name], content)
        assert (what, outcome.exit_code) == (what, 1), outcome
        assert_exited(outcome, 1, "verifier: invalid: ")


async def test_a_node_whose_children_come_from_another_circuit_is_invalid(bench: Bench) -> None:
    # Made by programs/aggregate/examples/forge.rs, accepted by the node circuit; stale once the circuits change.
    forged = (VECTORS / "forged_node.bin").read_bytes()
    one, three = ("0x" + f"{value:016x}" * 4 for value in (1, 3))
    false = {"stage": "node", "start": one, "end": three, "steps": 2}

    assert_exited(await bench.verify(false, forged), 1, "invalid: it is the proof of another statement")
    outcome, _ = await bench.prove(false | {"stage": "root"}, {"child": forged})
    assert_exited(outcome, 4, "child.bin: it was made for nodes of another program")


async def test_a_proof_without_its_file_is_invalid(bench: Bench, tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "other" / "proof.bin").mkdir(parents=True)
    (tmp_path / "empty").mkdir()

    for folder, why in (("empty", "the prover left no proof.bin"), ("other", "it is not a file")):
        assert_exited(await bench.verify(tree.statements["leaf-1"], tmp_path / folder), 1, why)


async def test_a_proof_of_another_program_is_invalid(bench: Bench, tree: Tree, bwrap: Path, tmp_path: Path) -> None:
    groth16 = build_groth16(tmp_path / "groth16")
    inputs = groth16.make_inputs(tmp_path / "inputs")
    done = await asyncio.to_thread(
        run_mill,
        *("local-run", groth16.directory, "--runner", "sandbox", "--output", tmp_path / "foreign"),
        *("--input", f"public.json={inputs / 'public.json'}"),
        *("--input", f"witness.json={inputs / 'witness.json'}:prover"),
    )
    assert done.returncode == 0, done.stderr

    for name in ONE_OF_EACH:
        outcome = await bench.verify(tree.statements[name], tmp_path / "foreign")
        assert_exited(outcome, 1, "invalid: it is no proof of this program")


MALFORMED: dict[str, tuple[Any, str]] = {
    "missing": (None, "can't be read"),
    "not JSON": (b"{", "must be {"),
    "an array": (b'["leaf", "0x", "0x", 1]', "must be {"),
    "a key too many": ({"depth": 1}, "must be {"),
    "another stage": ({"stage": "trunk"}, "must be {"),
    "steps as text": ({"steps": "20"}, "must be {"),
    "half a step": ({"steps": 20.5}, "must be {"),
    "no steps": ({"steps": 0}, "asks for a leaf of 0 steps: it can have 1 to 4096"),
    "more than a leaf's steps": ({"steps": 4097}, "asks for a leaf of 4097 steps"),
    "a node of one step": ({"stage": "node", "steps": 1}, "asks for a node of 1 steps"),
    "more steps than can be counted": ({"stage": "root", "steps": 2**48}, "it can have 1 to 281474976710655"),
    "a short state": ({"start": "0x01"}, "must have as start 0x and 64 lower-case hexadecimal digits"),
    "upper case": ({"end": "0x" + "A" * 64}, "must have as end 0x and 64 lower-case hexadecimal digits"),
    "an element above the order": ({"end": f"0x{ORDER:016x}" + "0" * 48}, "each below 2^64 - 2^32 + 1"),
    "too long": (b" " * 5000, "it is larger than 4096 bytes"),
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_malformed_statement_is_nobodys_fault(bench: Bench, tree: Tree, what: str) -> None:
    content, message = MALFORMED[what]
    statement = tree.statements["leaf-2"] | content if isinstance(content, dict) else content

    assert_exited(await bench.verify(statement, b""), 3, message)
    outcome, output = await bench.prove(statement)
    assert_exited(outcome, 3, message)
    assert list(output.iterdir()) == []


async def test_a_leaf_that_is_not_true_is_not_proved(bench: Bench, tree: Tree) -> None:
    outcome, output = await bench.prove(tree.statements["leaf-2"] | {"steps": 21})

    assert_exited(outcome, 5, "21 steps from the start don't lead to the end")
    assert list(output.iterdir()) == []


async def test_children_that_do_not_fit_make_no_node(bench: Bench, tree: Tree) -> None:
    left, right = tree.proofs["leaf-1"], tree.proofs["leaf-2"]
    asked = tree.statements["node-1-2"]
    cases: list[tuple[Statement, dict[str, bytes], int, str]] = [
        (asked, {"left": right, "right": left}, 5, "right.bin doesn't begin where left.bin ends"),
        (asked, {"left": left, "right": tree.proofs["leaf-3"]}, 5, "right.bin doesn't begin where left.bin ends"),
        (
            asked | {"steps": 22},
            {"left": left, "right": right},
            5,
            "number of steps is 21, but public.json asks for 22",
        ),
        (tree.statements["node-1-3"], {"left": left, "right": right}, 5, "together prove a chain whose end is"),
        (tree.statements["node-2-3"], {"left": left, "right": right}, 5, "together prove a chain whose start is"),
        (asked, {"left": left}, 4, "right.bin: No such file"),
        (asked, {"left": left, "right": b""}, 4, "right.bin: it is neither a proof.bin of this program nor"),
        (asked, {"left": changed(left, 5000), "right": right}, 4, "left.bin: its proof doesn't hold"),
        (asked, {"left": left, "right": right + b"\0"}, 4, "right.bin: it isn't encoded as this program encodes"),
        (asked, {"left": tree.proofs["root"], "right": right}, 4, "left.bin: it is a root's proof"),
        (tree.statements["root"], {}, 4, "child.bin: No such file"),
        (tree.statements["root"], {"child": tree.proofs["node-1-3"]}, 5, "child.bin proves a chain whose end is"),
        (tree.statements["root"], {"child": tree.proofs["root"]}, 4, "which nothing can be built on"),
    ]

    for statement, children, code, message in cases:
        outcome, output = await bench.prove(statement, children)
        assert_exited(outcome, code, message)
        assert list(output.iterdir()) == []


def test_the_readme_states_the_digests_that_everybody_gets(aggregate: Aggregate) -> None:
    readme = (SOURCES / "README.md").read_text(encoding="utf-8")

    for image in (aggregate.program.prover, aggregate.program.verifier):
        assert f"| {image.file} | `{image.sha256}` |" in readme


async def test_the_readme_states_the_circuits(bench: Bench, tree: Tree) -> None:
    readme = (SOURCES / "README.md").read_text(encoding="utf-8")

    for name in ONE_OF_EACH:
        outcome = await bench.verify(tree.statements[name], tree.proofs[name])
        digest = outcome.stdout.decode().split()[-1]
        assert f"| {name.partition('-')[0]} | `{digest}` |" in readme


def test_the_images_say_nothing_of_the_machine_that_built_them(aggregate: Aggregate) -> None:
    for image in (aggregate.program.prover, aggregate.program.verifier):
        content = (aggregate.directory / image.file).read_bytes()
        assert b"proofmill-build-" not in content
        assert str(Path.home()).encode() + b"/." not in content
        assert image.bytes < 5_000_000


def test_a_tree_is_proved_judged_and_fetched_on_a_network(
    small_localnet: Localnet, aggregate: Aggregate, tmp_path: Path
) -> None:
    network = small_localnet
    program = network.deploy(aggregate.directory)

    def run(name: str, **children: str) -> str:
        """Ask for the proof that the example's statement `name` is of; where the network keeps its bundle."""
        options: list[str] = ["--input", f"public.json={SOURCES / 'example' / name / 'public.json'}"]
        for child, url in children.items():
            options += ["--input", f"{child}.bin={url}:prover"]
        # One account can't sign two transactions at once.
        sender = "bob" if name == "leaf-2" else "alice"
        told = network.ask(
            *("run", "--program", program, "--cpu", "1", "--wait", "--output", str(tmp_path / name)),
            *options,
            sender=sender,
        )
        assert (told["task"]["progress"]["status"], told["task"]["progress"]["verdict"]) == ("DONE", "VALID"), told
        return cast(str, told["task"]["progress"]["proof"]["urls"][0])

    with ThreadPoolExecutor(2) as pool:
        left, right = pool.map(run, ("leaf-1", "leaf-2"))
    node = run("node-1-2", left=left, right=right)
    run("root", child=node)

    assert (tmp_path / "root" / "proof.bin").stat().st_size == ROOT_BYTES
