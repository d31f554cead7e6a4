"""CometBFT is made to die at each of its own crash points, with transactions in flight; every time the node replays.

CometBFT exits at its n-th crash point if FAIL_TEST_INDEX is n. They lie around everything that it saves when a block is
decided: its write-ahead log, the block, the application's results, its own state.
"""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cosmos.auth.v1beta1 import query_pb2 as auth_pb

from chain.signatures import SignatureCache
from chain.state.kv import MemoryKV
from chain.transition import BlockInput, BlockResult, apply_block, init_chain
from client.cli.main import run as run_mill
from client.rpc_types import parse_time_ms
from tests.support.network import ALICE, BOB, make_tx
from tests.support.sends import make_send
from validator_node.home import NodeHome
from validator_node.ports import Ports
from validator_node.setup import configure_comet

MILL = str(Path(sys.executable).with_name("mill"))
CHAIN_ID = "crash-1"
# A block passes about twelve of them. These are those of the second block after a start, when transactions are there.
CRASH_POINTS = range(11, 24)
DEADLINE = 60.0
ABSENT = 1  # BLOCK_ID_FLAG_ABSENT


class Node:
    """One validator's home, and the RPC of whatever runs in it."""

    def __init__(self, home: NodeHome, ports: Ports, http: httpx.Client) -> None:
        self.home = home
        self._url = f"http://127.0.0.1:{ports.rpc}"
        self._http = http

    def start(self, *, crash_point: int | None = None) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        if crash_point is not None:
            environment["FAIL_TEST_INDEX"] = str(crash_point)
        with (self.home.root / "output.log").open("ab") as output:
            command = [MILL, "node", "start", "--home", str(self.home.root)]
            return subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    def rpc(self, method: str, **params: object) -> Any:
        """The result of a call; None while nobody answers it."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            return self._http.post(self._url, json=body).json().get("result")
        except (httpx.HTTPError, ValueError):
            return None

    def send(self) -> None:
        """Offer one transaction for every state of the account."""
        request = auth_pb.QueryAccountInfoRequest(address=ALICE.address).SerializeToString().hex()
        answer = self.rpc("abci_query", path="/cosmos.auth.v1beta1.Query/AccountInfo", data=request)
        if not answer or answer["response"].get("code"):
            return
        account = auth_pb.QueryAccountInfoResponse.FromString(base64.b64decode(answer["response"]["value"])).info
        tx = make_tx(
            ALICE,
            [make_send(ALICE, BOB.address, 5)],
            account_number=account.account_number,
            sequence=account.sequence,
            chain_id=CHAIN_ID,
        )
        self.rpc("broadcast_tx_sync", tx=base64.b64encode(tx).decode())

    def height(self) -> int:
        status = self.rpc("status")
        return int(status["sync_info"]["latest_block_height"]) if status else 0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    home = NodeHome(tmp_path_factory.mktemp("crash") / "node")
    offset = random.randrange(200, 5_800, 10)
    arguments = ["node", "init", "--home", str(home.root), "--chain-id", CHAIN_ID, "--port-offset", str(offset)]
    arguments += ["--operator", BOB.address, "--account", f"{ALICE.address}=1000mill"]
    assert run_mill(arguments) == 0
    configure_comet(home, {"consensus.timeout_commit": "300ms"})
    with httpx.Client(timeout=10, trust_env=False) as http:
        yield Node(home, Ports.of(0, offset), http)


@pytest.mark.parametrize("crash_point", CRASH_POINTS)
def test_a_crash_at_every_point_is_survived(node: Node, crash_point: int) -> None:
    with node.start(crash_point=crash_point) as process:
        deadline = time.monotonic() + DEADLINE
        while process.poll() is None:
            node.send()
            if time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"CometBFT never came to crash point {crash_point}")
            time.sleep(0.02)
    assert process.returncode == 1
    assert f"*** fail-test {crash_point} ***" in (node.home.logs / "cometbft.log").read_text()


def test_every_block_of_that_history_leads_to_the_hash_in_the_next_header(node: Node) -> None:
    with node.start() as process:
        deadline = time.monotonic() + DEADLINE
        while node.height() <= len(CRASH_POINTS):
            assert process.poll() is None, "the node doesn't survive its past"
            assert time.monotonic() < deadline
            time.sleep(0.1)
        blocks = [node.rpc("block", height=str(height)) for height in range(1, node.height() + 1)]
        process.terminate()
    assert process.returncode == 0
    assert sum(len(one["block"]["data"]["txs"] or ()) for one in blocks) > 0
    headers = [one["block"]["header"] for one in blocks]
    assert replay(node, blocks[:-1]) == [header["app_hash"].lower() for header in headers]


def replay(node: Node, blocks: list[Any]) -> list[str]:
    """The application hashes from genesis on, by the transition functions alone."""
    genesis = json.loads(node.home.genesis.read_text())
    values, nodes = MemoryKV(), MemoryKV()
    result = init_chain(json.dumps(genesis["app_state"]).encode())
    write(values, nodes, result)
    hashes = [result.app_hash.hex()]
    for one in blocks:
        block, header = one["block"], one["block"]["header"]
        result = apply_block(
            values,
            nodes,
            BlockInput(
                chain_id=CHAIN_ID,
                height=int(header["height"]),
                time_ms=parse_time_ms(header["time"]),
                hash=bytes.fromhex(one["block_id"]["hash"]),
                txs=tuple(base64.b64decode(tx) for tx in block["data"]["txs"] or ()),
                proposer=bytes.fromhex(header["proposer_address"]),
                votes=tuple(
                    (bytes.fromhex(vote["validator_address"]), 10, vote["block_id_flag"] != ABSENT)
                    for vote in block["last_commit"]["signatures"]
                ),
            ),
            SignatureCache(0),
        )
        write(values, nodes, result)
        hashes.append(result.app_hash.hex())
    return hashes


def write(values: MemoryKV, nodes: MemoryKV, result: BlockResult) -> None:
    """Commit, in memory."""
    for rows, changes in ((values, result.writes), (nodes, result.nodes)):
        for key, value in changes.items():
            if value is None:
                rows.delete(key)
            else:
                rows.set(key, value)
