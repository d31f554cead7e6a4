"""A localnet of real processes: started, asked, killed, restarted, exported and stopped by the commands of users.

The tests of this file share one network and run in their order.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cosmos.base.tendermint.v1beta1 import query_pb2 as node_pb
from cosmos.ics23.v1 import proofs_pb2 as ics23
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value, StringValue
from tendermint.types import types_pb2

from chain import schema
from chain.address import decode_address
from chain.transition import init_chain
from client.keys.keystore import KeyStore
from validator_node.localnet.launch import require_free_ports
from validator_node.localnet.layout import Layout, LocalnetError, Plan
from validator_node.processes import describe, read_record

MILL = str(Path(sys.executable).with_name("mill"))
VALIDATORS, PROVERS = 4, 1
DEADLINE = 60.0


def mill(*arguments: str, status: int = 0) -> str:
    """Run the command; its standard output, or standard error if it should fail."""
    done = subprocess.run([MILL, *arguments], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == status, f"mill {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stderr if status else done.stdout


@dataclass(frozen=True)
class Localnet:
    layout: Layout
    plan: Plan
    http: httpx.Client

    @property
    def home(self) -> str:
        return str(self.layout.root)

    def start(self) -> str:
        return mill("localnet", "start", "--home", self.home)

    def status(self) -> dict[str, dict[str, Any]]:
        done = subprocess.run(
            [MILL, "localnet", "status", "--home", self.home, "-o", "json"], capture_output=True, text=True, check=False
        )
        return {one["name"]: one for one in json.loads(done.stdout)["processes"]}

    def rpc(self, index: int, method: str, **params: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return self.http.post(self.plan.rpc_url(index), json=body).json()["result"]

    def height(self, index: int) -> int:
        return int(self.rpc(index, "status")["sync_info"]["latest_block_height"])

    def app_hash(self, index: int, height: int) -> str:
        """In the header of that height."""
        return str(self.rpc(index, "commit", height=str(height))["signed_header"]["header"]["app_hash"])

    def wait_for_height(self, height: int, index: int = 0) -> None:
        deadline = time.monotonic() + DEADLINE
        while self.height(index) < height:
            assert time.monotonic() < deadline, f"validator{index} never came to height {height}"
            time.sleep(0.1)

    def rest(self, path: str, index: int = 0, **headers: str) -> Any:
        answer = self.http.get(f"http://127.0.0.1:{self.plan.validator_ports(index).rest}{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def address(self, name: str) -> str:
        return KeyStore(self.layout.user / "keys").find(name).address

    def send(self, sender: str, recipient: str, amount: str, index: int = 0) -> dict[str, Any]:
        arguments = ["--home", str(self.layout.user), "--from", sender, "--node", self.plan.rpc_url(index)]
        result: dict[str, Any] = json.loads(mill("send", recipient, amount, *arguments, "-o", "json"))
        return result

    def umill(self, address: str, index: int = 0) -> int:
        path = f"/cosmos/bank/v1beta1/balances/{address}/by_denom?denom=umill"
        return int(self.rest(path, index)["balance"]["amount"])


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localnet]:
    layout = Layout(tmp_path_factory.mktemp("localnet") / "net")
    plan = free_plan()
    mill(
        *("localnet", "start", "--home", str(layout.root), "--port-offset", str(plan.port_offset)),
        *("--validators", str(VALIDATORS), "--provers", str(PROVERS)),
    )
    with httpx.Client(timeout=10, trust_env=False) as http:
        yield Localnet(layout, plan, http)
    mill("localnet", "stop", "--home", str(layout.root))


def free_plan(validators: int = VALIDATORS, provers: int = PROVERS) -> Plan:
    """Ports that nothing uses now, all of them below those that the kernel hands out to clients."""
    offsets = list(range(200, 5_800, 50))
    random.shuffle(offsets)
    for offset in offsets:
        plan = Plan("mill-local", validators, provers, offset, "auto")
        try:
            require_free_ports(plan)
        except LocalnetError:
            continue
        return plan
    pytest.fail("no free ports for a localnet")


def test_all_processes_run_and_agree(net: Localnet) -> None:
    assert all(one["pid"] for one in net.status().values())
    assert len(net.status()) == VALIDATORS + PROVERS + 1
    net.wait_for_height(3)
    for index in range(VALIDATORS):
        net.wait_for_height(3, index)
    assert len({net.app_hash(index, 3) for index in range(VALIDATORS)}) == 1


def test_money_arrives_and_the_transaction_is_found_everywhere(net: Localnet) -> None:
    bob = net.address("bob")
    before = net.umill(bob)
    sent = net.send("alice", bob, "2.5mill")
    net.wait_for_height(sent["height"] + 1, 3)
    assert net.umill(bob, 3) == before + 2_500_000
    found = net.rest(f"/cosmos/tx/v1beta1/txs/{sent['hash']}", 1)
    assert found["tx_response"]["code"] == 0
    assert found["tx_response"]["height"] == str(sent["height"])
    assert found["tx"]["body"]["messages"][0]["@type"] == "/cosmos.bank.v1beta1.MsgSend"
    by_height = net.rest(f"/cosmos/tx/v1beta1/txs?query=tx.height={sent['height']}", 2)
    assert [one["txhash"] for one in by_height["tx_responses"]] == [sent["hash"]]
    block = net.rest(f"/cosmos/tx/v1beta1/txs/block/{sent['height']}")
    assert len(block["txs"]) == 1
    unknown = net.http.get(f"http://127.0.0.1:{net.plan.validator_ports(0).rest}/cosmos/tx/v1beta1/txs/{'0' * 64}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, 5)


def test_what_cometbft_knows_is_served_over_rest_and_grpc(net: Localnet) -> None:
    base = "/cosmos/base/tendermint/v1beta1"
    assert net.rest(f"{base}/node_info")["default_node_info"]["network"] == net.plan.chain_id
    assert net.rest(f"{base}/syncing") == {"syncing": False}
    assert len(net.rest(f"{base}/validatorsets/latest")["validators"]) == VALIDATORS
    page = net.rest(f"{base}/validatorsets/2?pagination.limit=2&pagination.offset=2")
    assert (len(page["validators"]), page["pagination"]["total"]) == (2, str(VALIDATORS))
    block = net.rest(f"{base}/blocks/2")
    assert block["block"]["header"]["height"] == block["sdk_block"]["header"]["height"] == "2"
    assert block["sdk_block"]["header"]["proposer_address"].startswith("millvalcons1")
    assert int(net.rest("/cosmos/consensus/v1/params")["params"]["block"]["max_gas"]) > 0
    with grpc.insecure_channel(f"127.0.0.1:{net.plan.validator_ports(1).grpc}") as channel:
        call = channel.unary_unary(
            "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock",
            request_serializer=node_pb.GetLatestBlockRequest.SerializeToString,
            response_deserializer=node_pb.GetLatestBlockResponse.FromString,
        )
        latest = call(node_pb.GetLatestBlockRequest(), timeout=10)
    # The hash is over all fields of the header, so none was lost or changed on its way through two encodings.
    assert latest.block_id.hash == hash_header(latest.block.header)
    assert latest.block.last_commit.height == latest.block.header.height - 1
    assert len(latest.block.last_commit.signatures) == VALIDATORS


def hash_header(header: types_pb2.Header) -> bytes:
    """CometBFT's own: the root of a Merkle tree over the encoded fields, in their order."""
    fields: list[Message] = [
        header.version,
        StringValue(value=header.chain_id),
        Int64Value(value=header.height),
        header.time,
        header.last_block_id,
    ]
    names = ["last_commit", "data", "validators", "next_validators", "consensus", "app", "last_results", "evidence"]
    fields += [BytesValue(value=getattr(header, f"{name}_hash")) for name in names]
    fields.append(BytesValue(value=header.proposer_address))
    return merkle_root([field.SerializeToString() for field in fields])


def merkle_root(leaves: list[bytes]) -> bytes:
    """RFC 6962's tree hash."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + merkle_root(leaves[:split]) + merkle_root(leaves[split:])).digest()


def test_a_proof_leads_to_the_app_hash_of_the_header_that_the_answer_names(net: Localnet) -> None:
    key = schema.ACCOUNTS.prefix + decode_address(net.address("alice"))
    answer = net.rpc(0, "abci_query", path=f"/store/{key.hex()}", data="", height="0", prove=True)["response"]
    (operation,) = answer["proofOps"]["ops"]
    proof = ics23.CommitmentProof()
    proof.ParseFromString(base64.b64decode(operation["data"]))
    height = int(answer["height"])
    net.wait_for_height(height)
    assert root_of(proof.exist).hex().upper() == net.app_hash(0, height)


def root_of(proof: ics23.ExistenceProof) -> bytes:
    """ICS-23's own arithmetic, for the operations that our ProofSpec allows."""

    def digest(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    node = digest(proof.leaf.prefix + digest(proof.key) + digest(proof.value))
    for step in proof.path:
        node = digest(step.prefix + node + step.suffix)
    return node


def test_a_validator_killed_in_the_middle_of_work_replays_to_the_same_hash(net: Localnet) -> None:
    record = read_record(net.layout.record("validator3"))
    comet = read_record(net.layout.validator(3).comet_record)
    assert record is not None
    assert comet is not None
    os.kill(record.pid, signal.SIGKILL)
    assert record.wait_gone(DEADLINE)
    # Without its application CometBFT gives up by itself.
    assert comet.wait_gone(DEADLINE)
    sent = net.send("alice", net.address("bob"), "1mill")
    net.wait_for_height(sent["height"] + 2)
    assert net.status()["validator3"]["pid"] is None
    net.start()
    net.wait_for_height(sent["height"] + 2, 3)
    for height in range(2, sent["height"] + 3):
        assert net.app_hash(3, height) == net.app_hash(0, height)


def test_killed_again_and_again_a_validator_still_agrees(net: Localnet) -> None:
    for delay in (0.0, 0.3, 0.7):
        time.sleep(delay)  # to hit another moment of a block
        record = read_record(net.layout.record("validator2"))
        assert record is not None
        os.kill(record.pid, signal.SIGKILL)
        assert record.wait_gone(DEADLINE)
        net.start()
    height = net.height(0)
    net.wait_for_height(height, 2)
    assert net.app_hash(2, height) == net.app_hash(0, height)


def test_the_end_of_cometbft_is_the_end_of_the_node_with_the_reason(net: Localnet) -> None:
    record = read_record(net.layout.record("validator1"))
    comet = read_record(net.layout.validator(1).comet_record)
    assert record is not None
    assert comet is not None
    os.kill(comet.pid, signal.SIGKILL)
    assert record.wait_gone(DEADLINE)
    assert "CometBFT ended with status -9" in net.layout.log("validator1").read_text()
    net.start()


def test_starting_what_runs_changes_nothing(net: Localnet) -> None:
    before = {name: one["pid"] for name, one in net.status().items()}
    net.start()
    assert {name: one["pid"] for name, one in net.status().items()} == before


def test_addresses_are_told_to_programs_too(net: Localnet) -> None:
    said = json.loads(mill("localnet", "start", "--home", net.home, "-o", "json"))
    assert [one["rpc"] for one in said["validators"]] == [net.plan.rpc_url(index) for index in range(VALIDATORS)]
    assert [one["url"] for one in said["provers"]] == [net.plan.prover_url(index) for index in range(PROVERS)]
    assert (said["blobs"], said["user_home"]) == (net.plan.blob_url, str(net.layout.user))


def test_a_second_node_in_a_home_is_refused_and_the_first_goes_on(net: Localnet) -> None:
    said = mill("node", "start", "--home", str(net.layout.validator(1).root), status=1)
    assert "in use by another process" in said
    net.wait_for_height(net.height(1) + 1, 1)
    assert net.status()["validator1"]["pid"]


def test_another_shape_is_refused(net: Localnet) -> None:
    said = mill("localnet", "start", "--home", net.home, "--validators", "2", status=1)
    assert "--validators 4" in said


def test_logs_are_at_hand(net: Localnet) -> None:
    assert "committed" in mill("localnet", "logs", "--home", net.home, "-n", "3", "validator0")
    assert "blobs" in mill("localnet", "logs", "--home", net.home, "nobody", status=1)


def test_a_blob_can_be_stored_and_fetched(net: Localnet) -> None:
    url = f"{net.plan.blob_url}/blobs/{hashlib.sha256(b'input').hexdigest()}"
    assert net.http.put(url, content=b"input").status_code == 201
    assert net.http.get(url).content == b"input"


def test_a_running_node_is_not_exported(net: Localnet) -> None:
    said = mill("node", "export", "--home", str(net.layout.validator(0).root), status=1)
    assert "in use" in said


def test_stop_ends_every_process_and_no_other(net: Localnet) -> None:
    pids = [one["pid"] for one in net.status().values()]
    comets = [read_record(net.layout.validator(index).comet_record) for index in range(VALIDATORS)]
    mill("localnet", "stop", "--home", net.home)
    assert [pid for pid in pids if describe(pid)] == []
    assert not any(one.alive() for one in comets if one)
    assert "Nothing was running" in mill("localnet", "stop", "--home", net.home)
    assert mill("localnet", "status", "--home", net.home, status=1) == ""


def test_an_exported_state_starts_a_chain_with_the_same_hash(net: Localnet, tmp_path: Path) -> None:
    home = str(net.layout.validator(0).root)
    document = json.loads(mill("node", "export", "--home", home))
    earlier = json.loads(mill("node", "export", "--home", home, "--height", "3"))
    states = [json.dumps(one["app_state"]).encode() for one in (document, earlier)]
    # The header of height 4 carries what block 3 made.
    net.start()
    assert init_chain(states[1]).app_hash.hex().upper() == net.app_hash(0, 4)
    assert init_chain(states[0]).app_hash != init_chain(states[1]).app_hash
    assert net.umill(net.address("bob")) > 0
    target = tmp_path / "genesis.json"
    target.write_text("mine")
    mill("localnet", "stop", "--home", net.home)
    said = mill("node", "export", "--home", home, "--to", str(target), status=1)
    assert "isn't overwritten" in said
    assert target.read_text() == "mine"


def test_a_start_that_fails_says_which_process_and_why_and_leaves_nothing_running(net: Localnet) -> None:
    settings = net.layout.validator(2).settings
    good = settings.read_text()
    settings.write_text("nonsense = 1\n")
    said = mill("localnet", "start", "--home", net.home, status=1)
    assert "validator2 ended with status 1" in said
    assert "'nonsense', which isn't a setting" in said
    assert not any(one["pid"] for one in net.status().values())
    settings.write_text(good)
    net.start()
    net.wait_for_height(net.height(0) + 1)


@pytest.fixture
def foreground(tmp_path: Path) -> Iterator[tuple[Layout, subprocess.Popen[str]]]:
    """A network of one validator, started with --foreground, whose first block was made."""
    layout, plan = Layout(tmp_path / "net"), free_plan(1, 0)
    command = [MILL, "localnet", "start", "--home", str(layout.root), "--port-offset", str(plan.port_offset)]
    command += ["--validators", "1", "--provers", "0", "--foreground"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Stop it with"):
                break
        yield layout, process
        process.kill()
    mill("localnet", "stop", "--home", str(layout.root))


def test_ctrl_c_ends_a_network_in_the_foreground(foreground: tuple[Layout, subprocess.Popen[str]]) -> None:
    layout, process = foreground
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE) == 0
    assert "Nothing was running" in mill("localnet", "stop", "--home", str(layout.root))


def test_a_network_in_the_foreground_ends_with_any_of_its_processes(
    foreground: tuple[Layout, subprocess.Popen[str]],
) -> None:
    layout, process = foreground
    record = read_record(layout.record("blobs"))
    assert record is not None
    record.kill()
    assert process.wait(DEADLINE) == 1
    assert process.stderr is not None
    assert "blobs ended by itself" in process.stderr.read()
    assert "Nothing was running" in mill("localnet", "stop", "--home", str(layout.root))
