"""The circom program: one pair of images for every circuit and both protocols, under the container contract."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client.program.cache import cache_folder
from prover_node.local_run import Proved
from prover_node.runner.base import Outcome, Reason
from prover_node.runner.docker import DockerRunner
from prover_node.runner.sandbox import SandboxRunner
from tests.support.circom import EXAMPLE, SOURCES, Bench, Circom, build_circom, load_make_inputs, proof_of
from tests.support.engine import Engine
from tests.support.localnet import PATIENCE_S, Localnet

SCALARS = 21888242871839275222246405745257275088548364400416034343698204186575808495617
COORDINATES = 21888242871839275222246405745257275088696311157297823662689037894645226208583
# On BN254's twist, whose order is a multiple of the subgroup's.
OUTSIDE_OF_THE_SUBGROUP = [
    ["1", "0"],
    [
        "18278151005453108793778860132295291098363647455926340152056652516292830556603",
        "5912654199736721486680175016176231956195085055698687135131307249486702594212",
    ],
    ["1", "0"],
]
FACTORS_PUBLIC = [str(1_000_003 * 998_244_353)]
FACTORS_INPUT: dict[str, Any] = {"product": FACTORS_PUBLIC[0], "factor": ["1000003", 998_244_353]}

Json = Any


@pytest.fixture(scope="module")
def groth16(tmp_path_factory: pytest.TempPathFactory) -> Circom:
    return build_circom(tmp_path_factory.mktemp("circom") / "groth16")


@pytest.fixture(scope="module")
def plonk(tmp_path_factory: pytest.TempPathFactory) -> Circom:
    return build_circom(tmp_path_factory.mktemp("circom") / "plonk", protocol="plonk")


@pytest.fixture(scope="module")
def factors(tmp_path_factory: pytest.TempPathFactory) -> Circom:
    """Another circuit."""
    return build_circom(tmp_path_factory.mktemp("circom") / "factors", circuit="factors", power="8")


@pytest.fixture(scope="module")
def bench(bwrap: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    root = tmp_path_factory.mktemp("circom")
    # The contract's user inside the container is none of ours.
    root.chmod(0o755)
    return Bench(lambda: SandboxRunner.start("circom-test", root / "state", bwrap=bwrap), root)


@dataclass(frozen=True)
class Proven:
    """A program, a statement, and a proof of it."""

    circom: Circom
    public: list[str]
    proof: dict[str, Json]


def example() -> tuple[list[str], dict[str, str]]:
    public, inputs = ((EXAMPLE / name).read_text(encoding="utf-8") for name in ("public.json", "input.json"))
    return json.loads(public), json.loads(inputs)


def chain_inputs(seed: str) -> tuple[list[str], dict[str, str]]:
    """A statement about the chain and its secret, from the script that users have."""
    public, inputs = load_make_inputs().inputs_for(seed)
    return public, inputs


def prove(bench: Bench, circom: Circom, public: list[str], inputs: Json) -> Proven:
    return Proven(circom, public, proof_of(bench.prove(circom, public, inputs)))


@pytest.fixture(scope="module")
def by_groth16(bench: Bench, groth16: Circom) -> Proven:
    return prove(bench, groth16, *example())


@pytest.fixture(scope="module")
def by_plonk(bench: Bench, plonk: Circom) -> Proven:
    return prove(bench, plonk, *chain_inputs("plonk"))


@pytest.fixture(scope="module")
def by_factors(bench: Bench, factors: Circom) -> Proved:
    return bench.prove(factors, FACTORS_PUBLIC, FACTORS_INPUT)


@pytest.fixture(params=["groth16", "plonk"])
def proven(request: pytest.FixtureRequest, by_groth16: Proven, by_plonk: Proven) -> Proven:
    return {"groth16": by_groth16, "plonk": by_plonk}[request.param]


def assert_exited(outcome: Outcome, code: int, message: str) -> None:
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, code), outcome
    said = (outcome.stdout + outcome.stderr).decode()
    assert message in said
    assert said.count("\n") == 1


def assert_refused(proved: Proved, code: int, message: str) -> None:
    assert proved.bundle is None
    assert_exited(proved.outcome, code, message)


def test_a_proof_is_valid(bench: Bench, proven: Proven) -> None:
    protocol = proven.circom.program.parameters["protocol"]
    assert proven.proof["protocol"] == protocol
    outcome = bench.verify(proven.circom, proven.public, proven.proof)
    assert_exited(outcome, 0, f"{protocol} bn128: the proof is valid")


def test_a_proof_is_made_and_verified_in_a_real_engine(docker_engine: Engine, groth16: Circom, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    bench = Bench(lambda: DockerRunner.start("circom-test", tmp_path / "state", url=docker_engine.url), tmp_path)
    made = prove(bench, groth16, *example())
    assert_exited(bench.verify(groth16, made.public, made.proof), 0, "the proof is valid")


def test_several_cores_make_the_same_kind_of_proof(bench: Bench, groth16: Circom) -> None:
    public, inputs = chain_inputs("two cores")
    proved = bench.prove(groth16, public, inputs, cpu_millis=2000)
    assert_exited(bench.verify(groth16, public, proof_of(proved)), 0, "the proof is valid")


# --- Invalid proofs


def changed(proof: dict[str, Json], change: Callable[[dict[str, Json]], Json]) -> dict[str, Json]:
    copied = copy.deepcopy(proof)
    change(copied)
    return copied


def first_point(proof: dict[str, Json]) -> list[Json]:
    point: list[Json] = proof["pi_a" if "pi_a" in proof else "A"]
    return point


def swap_points(proof: dict[str, Json]) -> None:
    one, other = ("pi_a", "pi_c") if "pi_a" in proof else ("A", "B")
    proof[one], proof[other] = proof[other], proof[one]


CHANGES: dict[str, tuple[Callable[[dict[str, Json]], Json], str]] = {
    "valid points in each other's place": (swap_points, "doesn't prove these public signals"),
    "a coordinate of its own": (lambda proof: first_point(proof).__setitem__(0, "5"), "is not on the curve"),
    "a coordinate plus the field's order": (
        lambda proof: first_point(proof).__setitem__(0, str(int(first_point(proof)[0]) + COORDINATES)),
        "isn't a decimal string below the base field's order",
    ),
    "a coordinate with a leading zero": (
        lambda proof: first_point(proof).__setitem__(0, "0" + first_point(proof)[0]),
        "isn't a decimal string below the base field's order",
    ),
    "the point at infinity": (lambda proof: first_point(proof).__setitem__(slice(3), ["0", "1", "0"]), "not an affine"),
    "a projective point": (lambda proof: first_point(proof).__setitem__(2, "2"), "is not an affine point"),
    "a point of two coordinates": (lambda proof: first_point(proof).pop(), "is not a point"),
    "another field": (lambda proof: proof.__setitem__("pi_d", "1"), "exactly the fields"),
    "a field too few": (lambda proof: proof.pop("pi_c" if "pi_c" in proof else "Wxi"), "exactly the fields"),
    "another curve": (lambda proof: proof.__setitem__("curve", "bls12381"), "isn't for the curve bn128"),
    "another name of the protocol": (lambda proof: proof.__setitem__("protocol", "toString"), "protocol is unknown"),
}


def assert_change_is_noticed(bench: Bench, proven: Proven, name: str) -> None:
    change, message = CHANGES[name]
    outcome = bench.verify(proven.circom, proven.public, changed(proven.proof, change))
    assert_exited(outcome, 1, "verifier: invalid: ")
    assert message in outcome.stderr.decode()


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_groth16_proof_is_invalid(bench: Bench, by_groth16: Proven, name: str) -> None:
    assert_change_is_noticed(bench, by_groth16, name)


@pytest.mark.parametrize(
    "name",
    [
        "valid points in each other's place",
        "a coordinate of its own",
        "a coordinate plus the field's order",
        "the point at infinity",
        "a field too few",
    ],
)
def test_a_changed_plonk_proof_is_invalid(bench: Bench, by_plonk: Proven, name: str) -> None:
    assert_change_is_noticed(bench, by_plonk, name)


def test_a_point_outside_of_the_subgroup_is_invalid(bench: Bench, by_groth16: Proven) -> None:
    proof = by_groth16.proof | {"pi_b": OUTSIDE_OF_THE_SUBGROUP}
    assert_exited(bench.verify(by_groth16.circom, by_groth16.public, proof), 1, "pi_b is not in the subgroup")


@pytest.mark.parametrize("evaluation", ["0", None])
def test_another_evaluation_is_invalid(bench: Bench, by_plonk: Proven, evaluation: str | None) -> None:
    # None: the same value, spelled as one above the field's order.
    value = evaluation or str(int(by_plonk.proof["eval_a"]) + SCALARS)
    message = "doesn't prove" if evaluation else "eval_a is not a decimal string below the scalar field's order"
    proof = by_plonk.proof | {"eval_a": value}
    assert_exited(bench.verify(by_plonk.circom, by_plonk.public, proof), 1, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "proof.json is empty"),
        (b"\xff{}", "proof.json is not JSON"),
        (b"[" * 8192, "proof.json is not JSON"),
        (b" " * 100_000, "proof.json has more than 8192 bytes"),
        (None, "proof.json is missing"),
    ],
    ids=["empty", "no UTF-8", "deeply nested", "large", "missing"],
)
def test_what_is_no_proof_is_invalid(bench: Bench, by_groth16: Proven, content: bytes | None, message: str) -> None:
    assert_exited(bench.verify(by_groth16.circom, by_groth16.public, content), 1, f"verifier: invalid: {message}")


def test_a_truncated_proof_is_invalid(bench: Bench, proven: Proven) -> None:
    whole = json.dumps(proven.proof).encode()
    assert_exited(bench.verify(proven.circom, proven.public, whole[: len(whole) // 2]), 1, "proof.json is not JSON")


def test_a_proof_of_another_statement_is_invalid(bench: Bench, proven: Proven) -> None:
    other, _ = chain_inputs("other")
    assert_exited(bench.verify(proven.circom, other, proven.proof), 1, "doesn't prove these public signals")


@pytest.mark.parametrize("index", [0, 1])
def test_one_wrong_public_signal_is_enough(bench: Bench, proven: Proven, index: int) -> None:
    public = list(proven.public)
    public[index] = str((int(public[index]) + 1) % SCALARS)
    assert_exited(bench.verify(proven.circom, public, proven.proof), 1, "doesn't prove these public signals")


def test_a_proof_of_the_other_protocol_is_invalid(
    bench: Bench, by_groth16: Proven, by_plonk: Proven, proven: Proven
) -> None:
    other = by_plonk if proven is by_groth16 else by_groth16
    assert_exited(bench.verify(proven.circom, proven.public, other.proof), 1, "verifier: invalid: its protocol is")


def test_a_proof_by_another_circuit_is_invalid(
    bench: Bench, factors: Circom, by_factors: Proved, by_groth16: Proven
) -> None:
    proof = proof_of(by_factors)
    assert_exited(bench.verify(factors, FACTORS_PUBLIC, proof), 0, "the proof is valid")
    assert_exited(bench.verify(by_groth16.circom, by_groth16.public, proof), 1, "doesn't prove these public signals")


# --- Statements that nobody can prove or verify


@pytest.mark.parametrize(
    ("public", "message"),
    [
        (None, "public.json is missing"),
        (b"[1", "public.json is not JSON"),
        ({"image": "1"}, "must be a list of decimal strings"),
        (["1", "2", "3"], "has 3 public signals, but the circuit has 2"),
        (["1", 2], "signal 1 isn't"),
        (["-1", "2"], "signal 0 isn't"),
    ],
)
def test_a_malformed_statement_is_nobodys_fault(bench: Bench, by_groth16: Proven, public: Json, message: str) -> None:
    assert_exited(bench.verify(by_groth16.circom, public, by_groth16.proof), 3, message)


def test_a_public_signal_has_one_spelling(bench: Bench, proven: Proven) -> None:
    public = [proven.public[0], str(int(proven.public[1]) + SCALARS)]
    assert_exited(bench.verify(proven.circom, public, proven.proof), 3, "below the field's order: signal 1 isn't one")
    _, inputs = example()
    assert_refused(bench.prove(proven.circom, public, inputs), 3, "below the field's order: signal 1 isn't one")


# --- The prover's inputs


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "input.json is missing"),
        (b"{", "input.json is not JSON"),
        ([1], "must be an object from the names of the circuit's input signals"),
        ({"preimage": "1"}, "it gives values to 1 out of 2 input signals"),
        ({"preimage": "1", "salt": "1", "pepper": "1"}, "pepper has too many values, or is no input signal"),
        ({"preimage": ["1", "2"], "salt": "1"}, "preimage has too many values"),
        ({"preimage": 2**53, "salt": "1"}, "gives preimage a number that JSON can't hold exactly"),
        ({"preimage": str(SCALARS), "salt": "1"}, "gives preimage a value that isn't below the field's order"),
        ({"preimage": True, "salt": "1"}, "must give preimage whole numbers"),
    ],
)
def test_inputs_that_do_not_fit_the_circuit_are_named(
    bench: Bench, groth16: Circom, inputs: Json, message: str
) -> None:
    public, _ = example()
    assert_refused(bench.prove(groth16, public, inputs), 4, message)


def test_inputs_may_be_hexadecimal_or_negative(bench: Bench, factors: Circom) -> None:
    product, factor = hex(15), [hex(3), str(5)]
    made = prove(bench, factors, ["15"], {"product": product, "factor": factor})
    assert_exited(bench.verify(factors, ["15"], made.proof), 0, "the proof is valid")
    assert_refused(
        bench.prove(factors, ["15"], {"product": "15", "factor": [-3, "-5"]}), 10, "don't satisfy the circuit"
    )


@pytest.mark.parametrize("which", [0, 1])
def test_inputs_for_another_statement_are_refused(bench: Bench, groth16: Circom, which: int) -> None:
    public, inputs = example()
    other, _ = chain_inputs("other")
    public[which] = other[which]
    assert_refused(bench.prove(groth16, public, inputs), 5, f"lead to another public signal {which} than public.json's")


@pytest.mark.parametrize("factor", [["3", "6"], ["1", "15"]])
def test_inputs_that_break_a_constraint_are_refused(bench: Bench, factors: Circom, factor: list[str]) -> None:
    proved = bench.prove(factors, ["15"], {"product": "15", "factor": factor})
    assert_refused(proved, 10, "the inputs don't satisfy the circuit: Error in template")


def test_what_a_circuit_logs_stays_secret(by_factors: Proved) -> None:
    assert_exited(by_factors.outcome, 0, "groth16 bn128: 1 public signals, proved in")
    assert b"1000003" not in by_factors.outcome.stdout + by_factors.outcome.stderr


# --- Assets


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({".wasm": None}, "the program must have one asset *.wasm, the witness generator, but has none"),
        ({".zkey": None}, "the program must have one asset *.zkey, the proving key, but has none"),
        ({"second.zkey": b"zkey"}, "the program must have one asset *.zkey, the proving key, but has 2"),
        ({".zkey": b"garbage" * 1000}, "the asset demo_chain_groth16.zkey"),
        ({".wasm": b"garbage"}, "the asset chain.wasm is not WebAssembly"),
        ({".wasm": b"\0asm\1\0\0\0"}, "the asset chain.wasm is not a witness generator of circom 2"),
    ],
)
def test_unusable_assets_of_the_prover_are_named(
    bench: Bench, groth16: Circom, tmp_path: Path, changes: dict[str, bytes | None], message: str
) -> None:
    public, inputs = example()
    assert_refused(bench.prove(groth16.with_assets(tmp_path / "program", changes), public, inputs), 6, message)


@pytest.mark.parametrize("damage", ["truncated", "one bit changed"])
def test_a_damaged_proving_key_makes_no_proof(bench: Bench, groth16: Circom, tmp_path: Path, damage: str) -> None:
    key = bytearray(groth16.read_asset(".zkey"))
    middle = len(key) * 2 // 3
    if damage == "truncated":
        del key[middle:]
    else:
        key[middle] ^= 1
    damaged = groth16.with_assets(tmp_path / "program", {".zkey": bytes(key)})
    assert_refused(bench.prove(damaged, *example()), 7, "no proof can be made: an asset is damaged")


def test_assets_of_two_circuits_make_no_proof(bench: Bench, groth16: Circom, factors: Circom, tmp_path: Path) -> None:
    mixed = factors.with_assets(tmp_path / "program", {".zkey": groth16.read_asset(".zkey")})
    # The first two elements of this circuit's witness, which the other circuit's key takes for public signals.
    public = [*FACTORS_PUBLIC, FACTORS_INPUT["factor"][0]]
    assert_refused(bench.prove(mixed, public, FACTORS_INPUT), 7, "or they don't belong to one circuit")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "the program must have one asset *.json, the verification key, but has none"),
        (lambda key: key.__setitem__("protocol", "fflonk"), "is for the protocol fflonk"),
        (lambda key: key.__setitem__("curve", "secp256k1"), "is for the curve secp256k1"),
        (lambda key: key.pop("nPublic"), "doesn't say how many public signals"),
        (lambda key: key["IC"].pop(), "IC must have 3 points"),
        (lambda key: key["IC"][1].__setitem__(0, "5"), "IC[1] is not on the curve"),
        (lambda key: key.__setitem__("vk_beta_2", OUTSIDE_OF_THE_SUBGROUP), "vk_beta_2 is not in the subgroup"),
    ],
)
def test_unusable_verification_keys_are_named(
    bench: Bench,
    by_groth16: Proven,
    tmp_path: Path,
    change: Callable[[dict[str, Json]], Json] | None,
    message: str,
) -> None:
    key = None
    if change is not None:
        key = json.dumps(changed(json.loads(by_groth16.circom.read_asset(".json")), change)).encode()
    changed_program = by_groth16.circom.with_assets(tmp_path / "program", {".json": key})
    assert_exited(bench.verify(changed_program, by_groth16.public, by_groth16.proof), 6, message)


# --- The build


def assert_same_images(one: Circom, other: Circom) -> None:
    assert (one.program.prover, one.program.verifier) == (other.program.prover, other.program.verifier)


def test_one_pair_of_images_serves_every_circuit_and_protocol(groth16: Circom, plonk: Circom, factors: Circom) -> None:
    assert_same_images(groth16, plonk)
    assert_same_images(groth16, factors)


def test_keys_of_ones_own_are_taken_and_another_place_gives_the_same_bytes(plonk: Circom, tmp_path: Path) -> None:
    sources, cache = tmp_path / "some" / "where", tmp_path / "cache"
    shutil.copytree(SOURCES, sources, ignore=shutil.ignore_patterns("build*"))
    (sources / "own" / "mine.wasm").write_bytes(plonk.read_asset(".wasm"))
    (sources / "own" / "mine.zkey").write_bytes(plonk.read_asset(".zkey"))
    cache.mkdir()
    (cache / "downloads").symlink_to(cache_folder("programs") / "downloads")

    mine = build_circom(tmp_path / "built", sources=sources, cache=cache, circuit="mine", keys="own", protocol="plonk")

    assert_same_images(mine, plonk)
    assert [asset.sha256 for asset in mine.program.assets] == [asset.sha256 for asset in plonk.program.assets]
    assert mine.asset(".zkey").name == "own_mine_plonk.zkey"


def test_the_readme_states_the_digests_that_everybody_gets(groth16: Circom, plonk: Circom) -> None:
    readme = (SOURCES / "README.md").read_text(encoding="utf-8")
    for image in (groth16.program.prover, groth16.program.verifier):
        assert f"| {image.file} | `{image.sha256}` |" in readme
    for asset in {*groth16.program.assets, *plonk.program.assets}:
        assert f"| {asset.name} | `{asset.sha256}` |" in readme


def test_demo_keys_say_that_they_are(groth16: Circom) -> None:
    keys = [asset.name for asset in groth16.program.assets if not asset.name.endswith(".wasm")]
    assert all(name.startswith("demo_") for name in keys)
    assert "demo keys" in groth16.program.description
    assert groth16.program.version.endswith("-demo")


# --- On a network


@pytest.mark.timeout(3 * PATIENCE_S)
def test_a_circuit_is_deployed_proved_and_judged(localnet: Localnet, plonk: Circom, tmp_path: Path) -> None:
    program = localnet.deploy(plonk.directory)
    told = localnet.ask(
        *("run", "--program", program, "--wait", "--output", tmp_path / "proof"),
        *("--input", f"public.json={EXAMPLE / 'public.json'}:both"),
        *("--input", f"input.json={EXAMPLE / 'input.json'}:prover"),
        sender="alice",
    )
    assert (told["task"]["progress"]["status"], told["task"]["progress"]["verdict"]) == ("DONE", "VALID")
    proof = json.loads((tmp_path / "proof" / "proof.json").read_text(encoding="utf-8"))
    assert proof["protocol"] == "plonk"
