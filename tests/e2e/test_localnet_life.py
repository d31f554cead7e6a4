"""One proof's whole life on a real network, by the commands that a user types: asked, made, checked, paid, fetched."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE, Progress, Task

from chain import schema
from chain.state.keys import U64
from tests.support.ics23 import Claim, build_verifier
from tests.support.localnet import PATIENCE_S, Deployed, Localnet, run_mill

PROVERS = 5

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


@dataclass(frozen=True)
class Life:
    """A finished task, as `mill run --wait --output` told it, and everybody's money before and after."""

    told: dict[str, Any]
    progress_lines: list[str]
    proof: Path
    before: dict[str, dict[str, int]]
    after: dict[str, dict[str, int]]

    @property
    def id(self) -> int:
        return int(self.told["task"]["task"]["id"])

    @property
    def task(self) -> dict[str, Any]:
        task: dict[str, Any] = self.told["task"]["task"]
        return task

    @property
    def progress(self) -> dict[str, Any]:
        progress: dict[str, Any] = self.told["task"]["progress"]
        return progress

    def gained(self, address: str, denom: str) -> int:
        return self.after[address][denom] - self.before[address][denom]


@pytest.fixture(scope="module")
def operators(localnet: Localnet) -> list[str]:
    """The addresses of the provers' cold keys, which sign nothing here."""
    return [localnet.key(f"prover{index}").address for index in range(PROVERS)]


@pytest.fixture(scope="module")
def nodes(localnet: Localnet) -> list[str]:
    """The addresses of the keys that the provers' daemons sign with."""
    return [str(localnet.ask_prover(index, "status")["prover"]["node"]) for index in range(PROVERS)]


@pytest.fixture(scope="module")
def life(
    localnet: Localnet,
    groth16_deployed: Deployed,
    operators: list[str],
    nodes: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Life:
    alice = localnet.key("alice").address
    proof = tmp_path_factory.mktemp("life") / "proof"
    before = {address: localnet.balances(address) for address in (alice, *operators, *nodes)}
    done = localnet.mill(
        *("run", "--program", groth16_deployed.program_id, *groth16_deployed.inputs()),
        *("--wait", "--output", proof, "-o", "json"),
        sender="alice",
    )
    assert done.returncode == 0, done.stderr + localnet.tails()
    after = {address: localnet.balances(address) for address in (alice, *operators, *nodes)}
    return Life(json.loads(done.stdout), done.stderr.splitlines(), proof, before, after)


def payouts(life: Life, kind: str) -> list[dict[str, Any]]:
    return [one for one in life.progress["payouts"] if one["kind"] == kind]


def test_the_task_is_done_and_each_step_was_told_as_it_happened(life: Life) -> None:
    assert (life.progress["status"], life.progress["verdict"]) == ("DONE", "VALID")
    steps = [step["name"] for step in life.told["steps"]]
    # Votes that came in several blocks are a step each.
    assert [name for name, _ in groupby(steps)] == [
        *("created", "offered", "accepted", "proved", "committee", "committed", "revealed", "decided"),
        *("paid", "burned", "ended"),
    ]
    heights = [step["height"] for step in life.told["steps"]]
    assert heights == sorted(heights)
    told = [line for line in life.progress_lines if " height " in line]
    assert len(told) == len(steps)
    assert all(name in line for name, line in zip(steps, told, strict=True))


def test_a_prover_is_drawn_in_the_next_block_and_the_committee_excludes_it(life: Life, operators: list[str]) -> None:
    assert life.progress["offered_height"] == life.task["created_height"] + 1
    (round_,) = life.told["rounds"]
    assert round_["round"]["drawn_height"] == life.progress["proved_height"] + 1
    voters = {vote["voter"] for vote in round_["votes"]}
    assert voters == set(operators) - {life.progress["prover"]}
    assert all(vote["committed_height"] < vote["revealed_height"] for vote in round_["votes"])


def test_the_fee_is_split_as_the_parameters_say(life: Life, localnet: Localnet) -> None:
    fee, terms = life.task["fee"], localnet.ask("params", "--version", str(life.task["params_version"]))
    (prover,), verifiers, burns = (
        payouts(life, "PROVER_REWARD"),
        payouts(life, "VERIFIER_REWARD"),
        payouts(life, "BURN"),
    )
    assert prover["ucredit"] == fee * terms["prover_share_bp"] // 10_000
    assert prover["recipient"] == life.progress["prover"]
    share = fee * terms["verifier_share_bp"] // 10_000 // len(verifiers)
    assert [one["ucredit"] for one in verifiers] == [share] * (PROVERS - 1)
    assert sum(one["ucredit"] for one in (prover, *verifiers, *burns)) == fee


def test_balances_change_exactly_as_the_payouts_say(life: Life, operators: list[str]) -> None:
    earned = Counter[str]()
    for one in life.progress["payouts"]:
        earned[one["recipient"]] += one["umill"]
    assert {address: life.gained(address, "umill") for address in operators} == {
        address: earned[address] for address in operators
    }
    assert all(life.gained(address, "ucredit") == 0 for address in operators)


def test_the_user_pays_the_fee_in_credits_and_the_transaction_in_mill(life: Life, localnet: Localnet) -> None:
    block = localnet.rpc(0, "block", height=str(life.task["created_height"]))["block"]
    hashes = [sha256(base64.b64decode(tx)).hexdigest() for tx in block["data"]["txs"]]
    (run,) = [tx for tx in (localnet.ask("tx", "show", one) for one in hashes) if "MsgRunTask" in str(tx["messages"])]
    (cost,) = run["fee"]
    user = life.task["user"]
    assert life.gained(user, "ucredit") == -life.task["fee"]
    assert life.gained(user, "umill") == -int(cost.removesuffix("umill"))


def test_the_provers_paid_nothing_for_doing_their_duty(life: Life, nodes: list[str]) -> None:
    assert [life.gained(node, "umill") for node in nodes] == [0] * PROVERS


def test_the_proof_is_valid_outside_the_network(life: Life, groth16_deployed: Deployed) -> None:
    assert [file.name for file in life.proof.iterdir()] == ["proof.bin"]
    public = groth16_deployed.inputs()[:2]
    done = run_mill("local-run", groth16_deployed.folder, "--verify-only", "--proof", life.proof, *public)
    assert done.returncode == 0, done.stderr
    assert "VALID" in done.stdout


def test_a_changed_proof_is_not(life: Life, groth16_deployed: Deployed, tmp_path: Path) -> None:
    content = bytearray((life.proof / "proof.bin").read_bytes())
    content[40] ^= 1
    (tmp_path / "proof.bin").write_bytes(content)
    public = groth16_deployed.inputs()[:2]
    done = run_mill("local-run", groth16_deployed.folder, "--verify-only", "--proof", tmp_path, *public, "-o", "json")
    assert done.returncode == 5
    assert json.loads(done.stdout)["verdict"] == "INVALID"


def test_the_proof_can_be_fetched_again_and_is_the_one_on_chain(life: Life, localnet: Localnet, tmp_path: Path) -> None:
    again = tmp_path / "again"
    localnet.ask("task", "proof", str(life.id), "--output", again)
    assert (again / "proof.bin").read_bytes() == (life.proof / "proof.bin").read_bytes()


def test_the_programs_words_can_be_read(life: Life, localnet: Localnet) -> None:
    logs = localnet.ask("task", "logs", str(life.id))
    assert "50 rounds" in logs["stdout"] + logs["stderr"]


def test_tables_are_for_people(life: Life, localnet: Localnet) -> None:
    table = localnet.mill("task", "show", str(life.id)).stdout
    assert "DONE: the committee found the proof valid" in table
    assert life.progress["proof"]["sha256"] in table
    listed = localnet.mill("task", "list", "--user", "alice", "--status", "done").stdout
    assert any(line.split()[0] == str(life.id) for line in listed.splitlines())


def read_proved(localnet: Localnet, validator: int, key: bytes, height: int) -> Claim:
    """A row at a header's height, and its proof; the root is what another validator's header says."""
    answer = localnet.rpc(
        validator, "abci_query", path=f'"/store/{key.hex()}"', prove="true", height=str(height), data='""'
    )["response"]
    assert (answer.get("code", 0), int(answer["height"])) == (0, height), answer.get("log")
    (operation,) = answer["proofOps"]["ops"]
    assert base64.b64decode(operation["key"]) == key
    root = bytes.fromhex(localnet.app_hash((validator + 1) % localnet.plan.validators, height))
    value = base64.b64decode(answer["value"]) if answer.get("value") else None
    return Claim(root, key, value, base64.b64decode(operation["data"]))


@pytest.fixture(scope="module")
def claims(life: Life, localnet: Localnet) -> dict[str, Claim]:
    height = localnet.height()
    localnet.reach(height)
    rows = {"task": schema.TASKS.prefix, "progress": schema.PROGRESS.prefix}
    found = {name: read_proved(localnet, 0, prefix + U64.encode(life.id), height) for name, prefix in rows.items()}
    found["absent"] = read_proved(localnet, 2, schema.TASKS.prefix + U64.encode(10**9), height)
    return found


def test_the_tasks_rows_are_proved_under_the_block_headers_app_hash(
    claims: dict[str, Claim], tmp_path_factory: pytest.TempPathFactory
) -> None:
    verify = build_verifier(tmp_path_factory.mktemp("ics23"))
    assert verify(list(claims.values())) == ["ok"] * len(claims)
    lie = Claim(claims["task"].root, claims["task"].key, claims["progress"].value, claims["task"].proof)
    assert verify([lie]) == ["failed"]


def test_the_proved_rows_say_what_the_queries_said(claims: dict[str, Claim], life: Life) -> None:
    def decode(name: str, kind: type[Message]) -> Any:
        value = claims[name].value
        assert value is not None
        return kind.FromString(value)

    task, progress = decode("task", Task), decode("progress", Progress)
    assert (task.id, task.fee, task.user) == (life.id, life.task["fee"], life.task["user"])
    assert progress.status == TASK_STATUS_DONE
    assert progress.proof.sha256.hex() == life.progress["proof"]["sha256"]
    assert claims["absent"].value is None
