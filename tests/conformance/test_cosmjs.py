"""CosmJS, unmodified, uses a localnet: asks, sends, and requests a proof with a message that it was taught."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from typing import Any

import pytest
from proofmill.task.v1 import tx_pb2 as task_pb

from chain.address import encode_address
from client.keys.derivation import generate_mnemonic, key_from_mnemonic
from tests.support.foreign_clients import COSMJS, ROOT, NotHere, cosmjs_folder, find_node
from tests.support.localnet import GROTH16, PATIENCE_S, Deployed, Localnet

AMOUNT = 1_234_567
STRANGER = encode_address(bytes(20))
DONE = 8

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


@pytest.fixture(scope="module")
def words() -> str:
    return generate_mnemonic(24)


@pytest.fixture(scope="module")
def report(localnet: Localnet, groth16_deployed: Deployed, words: str) -> dict[str, Any]:
    """What CosmJS found, from one run of the script."""
    try:
        node, folder = find_node(), cosmjs_folder()
    except NotHere as error:
        pytest.skip(f"CosmJS: {error}")
    # Beside its packages, which is where Node.js looks for them.
    script = shutil.copy(COSMJS / "conformance.mjs", folder)
    inputs = [("public.json", "AUDIENCE_BOTH"), ("witness.json", "AUDIENCE_PROVER")]
    given = {
        "rpc": localnet.node,
        "mnemonic": words,
        "key": localnet.key("bob").secret.hex(),
        "recipient": localnet.key("authority").address,
        "stranger": STRANGER,
        "amount": str(AMOUNT),
        "protos": str(ROOT / "proto"),
        "programId": groth16_deployed.program_id,
        "inputs": [
            {
                "name": name,
                "base64": base64.b64encode((GROTH16 / "example" / name).read_bytes()).decode(),
                "audience": audience,
            }
            for name, audience in inputs
        ],
    }
    done = subprocess.run(
        [node, script], input=json.dumps(given), capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def umill(amount: int) -> dict[str, str]:
    return {"denom": "umill", "amount": str(amount)}


def test_it_derives_the_same_addresses(report: dict[str, Any], localnet: Localnet, words: str) -> None:
    assert report["sender"] == localnet.key("bob").address
    assert report["addressOfWords"] == key_from_mnemonic(words).address


def test_it_asks_for_chain_blocks_and_balances(report: dict[str, Any], localnet: Localnet) -> None:
    asked = report["asked"]
    assert asked["chainId"] == asked["blockChainId"] == localnet.plan.chain_id
    assert asked["height"] >= 1
    assert asked["balance"]["denom"] == "umill"
    assert int(asked["balance"]["amount"]) > 0


def test_what_isnt_there_is_no_error(report: dict[str, Any]) -> None:
    asked = report["asked"]
    assert (asked["stranger"], asked["unknownTx"]) == (None, None)
    assert (asked["strangersBalance"], asked["strangersBalances"]) == (umill(0), [])


def test_it_sends_coins_with_the_gas_that_a_simulation_says(report: dict[str, Any]) -> None:
    sent, before, after = report["sent"], report["sent"]["before"], report["sent"]["after"]
    result = sent["result"]
    assert (result["code"], result["rawLog"]) == (0, "")
    assert result["gasWanted"] == result["gasUsed"] == str(sent["gas"])
    assert [one["typeUrl"] for one in result["msgResponses"]] == ["/cosmos.bank.v1beta1.MsgSendResponse"]
    assert after["sequence"]["sequence"] == before["account"]["sequence"] + 1

    (held_before,) = [int(coin["amount"]) for coin in before["all"] if coin["denom"] == "umill"]
    (held_after,) = [int(coin["amount"]) for coin in after["all"] if coin["denom"] == "umill"]
    assert held_before - held_after == AMOUNT + int(sent["fee"])
    assert int(after["recipient"]["amount"]) - int(before["recipient"]["amount"]) == AMOUNT


def test_it_finds_the_transaction_by_hash_and_by_height(report: dict[str, Any]) -> None:
    sent = report["sent"]
    tx_hash = sent["result"]["transactionHash"]
    assert sent["found"] == {
        "height": sent["result"]["height"],
        "code": 0,
        "hash": tx_hash,
        "gasUsed": sent["result"]["gasUsed"],
    }
    assert sent["bytesHash"] == tx_hash
    assert tx_hash in sent["searched"]


@pytest.mark.parametrize(
    ("case", "code", "said"),
    [
        ("tooMuch", None, "but the account holds"),
        ("noFee", 13, "but the fee is 0 umill"),
        ("littleGas", 11, "but its limit is 1"),
        ("otherDenom", 10, "exactly one coin, umill"),
        ("noAccount", None, "does not exist on chain"),
    ],
)
def test_what_is_refused_reaches_the_user_as_a_sentence(
    report: dict[str, Any], case: str, code: int | None, said: str
) -> None:
    refused = report["refused"][case]
    assert not refused["delivered"]
    assert refused["code"] == code
    assert said in refused["log"]


def test_it_requests_a_proof_with_a_registered_message(
    report: dict[str, Any], localnet: Localnet, groth16_deployed: Deployed
) -> None:
    run = report["run"]
    assert run["typeUrl"] == "/proofmill.task.v1.MsgRunTaskResponse"

    task = localnet.ask("task", "show", str(run["taskId"]))["task"]["task"]
    assert task["user"] == report["sender"]
    assert task["program_id"] == groth16_deployed.program_id
    assert (task["fee"], task["created_height"], task["time_limit_s"]) == (run["fee"], run["height"], 60)
    assert [one["name"] for one in task["inputs"]] == ["public.json", "witness.json"]


def test_its_encoding_of_our_message_is_canonical(report: dict[str, Any]) -> None:
    encoded = bytes.fromhex(report["run"]["message"])
    assert task_pb.MsgRunTask.FromString(encoded).SerializeToString(deterministic=True) == encoded


def test_it_follows_the_task_until_everybody_is_paid(report: dict[str, Any]) -> None:
    task = report["task"]
    assert task["status"] == DONE
    assert task["seen"] == sorted(set(task["seen"]))
    assert sum(task["paid"]) == report["run"]["fee"]
