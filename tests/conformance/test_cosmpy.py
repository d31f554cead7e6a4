"""CosmPy, unmodified and in an environment of its own, uses a localnet over gRPC and over REST."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from proofmill.task.v1 import tx_pb2 as task_pb
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, AUDIENCE_PROVER

from chain.address import encode_address
from client.keys.derivation import generate_mnemonic, key_from_mnemonic
from tests.support.foreign_clients import COSMPY, NotHere, cosmpy_python
from tests.support.localnet import GROTH16, PATIENCE_S, Deployed, Localnet

AMOUNT = 4_321
STRANGER = encode_address(bytes(20))

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)
each_transport = pytest.mark.parametrize("transport", ["grpc", "rest"])


@pytest.fixture(scope="module")
def words() -> str:
    return generate_mnemonic(24)


@pytest.fixture(scope="module")
def report(
    localnet: Localnet, groth16_deployed: Deployed, words: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What CosmPy found, from one run of the script."""
    try:
        python = cosmpy_python()
    except NotHere as error:
        pytest.skip(f"CosmPy: {error}")
    descriptors = tmp_path_factory.mktemp("cosmpy") / "descriptors"
    write_descriptors(descriptors)
    ports = localnet.plan.validator_ports(0)
    inputs = [("public.json", AUDIENCE_BOTH), ("witness.json", AUDIENCE_PROVER)]
    given = {
        "urls": {"grpc": f"grpc+http://127.0.0.1:{ports.grpc}", "rest": f"rest+http://127.0.0.1:{ports.rest}"},
        "chain_id": localnet.plan.chain_id,
        "mnemonic": words,
        "key": localnet.key("bob").secret.hex(),
        "recipient": localnet.key("authority").address,
        "stranger": STRANGER,
        "amount": AMOUNT,
        "descriptors": str(descriptors),
        "program_id": groth16_deployed.program_id,
        "inputs": [
            {"name": name, "hex": (GROTH16 / "example" / name).read_bytes().hex(), "audience": audience}
            for name, audience in inputs
        ],
    }
    done = subprocess.run(
        [python, "-I", COSMPY / "conformance.py"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def write_descriptors(target: Path) -> None:
    """The file of MsgRunTask and those that it imports, in the order in which a pool takes them."""
    found: dict[str, FileDescriptor] = {}

    def collect(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            collect(imported)
        found.setdefault(file.name, file)

    collect(task_pb.DESCRIPTOR)
    files = FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(files.file.add())
    target.write_bytes(files.SerializeToString())


def test_it_derives_the_same_addresses(report: dict[str, Any], localnet: Localnet, words: str) -> None:
    assert report["sender"] == localnet.key("bob").address
    assert report["address_of_words"] == key_from_mnemonic(words).address


@each_transport
def test_it_asks_for_chain_blocks_and_balances(report: dict[str, Any], localnet: Localnet, transport: str) -> None:
    asked = report[transport]
    assert asked["chain_id"] == localnet.plan.chain_id
    assert asked["first_block"] == {"height": 1, "chain_id": localnet.plan.chain_id}
    assert asked["height"] >= 1
    assert asked["app"] == "proofmill"
    assert asked["all"]["umill"] == asked["balance"] > 0


@each_transport
def test_what_isnt_there_is_told_apart_from_a_failure(report: dict[str, Any], transport: str) -> None:
    assert report[transport]["strangers_balance"] == 0
    assert report[transport]["unknown_tx"] == "not found"


@each_transport
def test_it_sends_coins_and_finds_the_transaction(report: dict[str, Any], localnet: Localnet, transport: str) -> None:
    sent = report[transport]["sent"]
    assert (sent["found"]["hash"], sent["found"]["code"]) == (sent["hash"], 0)
    assert sent["found"]["gas_used"] <= sent["gas_wanted"]
    assert sent["sequence"][1] == sent["sequence"][0] + 1
    assert sent["recipient"] == report[transport]["balance"] + AMOUNT
    fee = sent["balance"][0] - sent["balance"][1] - AMOUNT
    assert fee > 0
    shown = localnet.ask("tx", "show", sent["hash"])
    assert shown["height"] == sent["found"]["height"]
    assert (shown["memo"], shown["fee"]) == ("a note", [f"{fee}umill"])
    assert sent["events"]["transfer"]["amount"] == f"{AMOUNT}umill"


@each_transport
@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("no_fee", "but the fee is 0 umill"),
        ("little_gas", "but its limit is 1"),
        ("other_denom", "exactly one coin, umill"),
    ],
)
def test_what_is_refused_reaches_the_user_as_a_sentence(
    report: dict[str, Any], transport: str, case: str, said: str
) -> None:
    assert said in report[transport]["refused"][case]


@each_transport
def test_it_requests_a_proof(
    report: dict[str, Any], localnet: Localnet, groth16_deployed: Deployed, transport: str
) -> None:
    run = report[transport]["run"]
    assert run["code"] == 0
    created = run["events"]["proofmill.task.v1.EventTaskCreated"]
    assert created["user"] == report["sender"]
    ended = localnet.mill("task", "watch", created["task_id"])
    assert ended.returncode == 0, ended.stderr
    task = localnet.ask("task", "show", created["task_id"])["task"]
    assert task["task"]["program_id"] == groth16_deployed.program_id
    assert task["progress"]["status"] == "DONE"
