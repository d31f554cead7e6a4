"""Real CometBFT drives the ABCI server: blocks, votes with extensions, restarts, and an application that fails."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tendermint.abci import types_pb2 as abci

from tests.support.abci_kv import REFUSED, KvApplication
from validator_node.abci.server import AbciServer
from validator_node.comet import find_comet

DEADLINE = 60.0

# The consensus connection's calls as the ABCI specification's grammar has them, a letter each.
LETTERS = {
    "init_chain": "I",
    "prepare_proposal": "p",
    "process_proposal": "P",
    "extend_vote": "e",
    "verify_vote_extension": "v",
    "finalize_block": "F",
    "commit": "C",
}
HEIGHT = r"(?:v|pP|P|e)*FC"
CLEAN_START = re.compile(rf"I(?:{HEIGHT})*(?:v|p|P|e)*F?")
RECOVERY = re.compile(rf"(?:{HEIGHT})*(?:v|p|P|e)*F?")


def consensus_calls(calls: list[str]) -> str:
    return "".join(LETTERS[call] for call in calls if call in LETTERS)


class Node:
    """A CometBFT process with one validator; its RPC is at a unix socket, so that no two tests want the same port."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.abci_socket = home / "abci.sock"
        self._rpc_socket = home / "rpc.sock"
        self._process: asyncio.subprocess.Process | None = None
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self._rpc_socket)), base_url="http://node", timeout=DEADLINE
        )

    def init(self, *, vote_extensions_from: int = 0) -> None:
        subprocess.run([find_comet().program, "init", "--home", self.home], check=True, capture_output=True)
        genesis = self.home / "config" / "genesis.json"
        content = json.loads(genesis.read_text())
        content["consensus_params"]["abci"]["vote_extensions_enable_height"] = str(vote_extensions_from)
        genesis.write_text(json.dumps(content))

    async def start(self) -> None:
        self._rpc_socket.unlink(missing_ok=True)
        with (self.home / "comet.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                find_comet().program,
                "start",
                f"--home={self.home}",
                f"--proxy_app=unix://{self.abci_socket}",
                f"--rpc.laddr=unix://{self._rpc_socket}",
                "--p2p.laddr=tcp://127.0.0.1:0",
                env={**os.environ, "CMT_CONSENSUS_TIMEOUT_COMMIT": "50ms"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def ended(self) -> int:
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), DEADLINE)

    async def close(self) -> None:
        await self.kill()
        await self._client.aclose()

    async def rpc(self, method: str, **params: object) -> Any:
        """The call's result. Raises httpx.TransportError while the node isn't up."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = (await self._client.post("/", json=request)).json()
        assert "error" not in answer, answer["error"]
        return answer["result"]

    async def height(self) -> int:
        with contextlib.suppress(httpx.TransportError):
            return int((await self.rpc("status"))["sync_info"]["latest_block_height"])
        return 0

    async def reach(self, height: int) -> None:
        async def reached() -> bool:
            return await self.height() >= height

        await eventually(reached, f"height {height}", self.home)


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, home: Path) -> None:
    """Ask until it holds; fail with the end of the node's log if it never does."""
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                if await condition():
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{what} wasn't reached in {DEADLINE} s; the node's log ends:\n{log_tail(home)}")


def log_tail(home: Path) -> str:
    return "\n".join((home / "comet.log").read_text(errors="replace").splitlines()[-20:])


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    it = Node(tmp_path / "node")
    yield it
    await it.close()


@contextlib.asynccontextmanager
async def serving(application: KvApplication, path: Path) -> AsyncIterator[list[str]]:
    """The fatal reasons that the server reported while it ran."""
    fatal: list[str] = []
    server = AbciServer(application, on_fatal=fatal.append)
    await server.start(path)
    try:
        yield fatal
    finally:
        await server.stop()


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_blocks_transactions_and_queries(node: Node) -> None:
    application = KvApplication()
    node.init()
    async with serving(application, node.abci_socket) as fatal:
        await node.start()
        await node.reach(2)

        included = await node.rpc("broadcast_tx_commit", tx=base64_text(b"colour=green"))
        assert included["check_tx"]["code"] == 0
        assert included["tx_result"]["gas_used"] == "1"
        assert included["tx_result"]["events"][0]["type"] == "set"
        assert included["hash"] == hashlib.sha256(b"colour=green").hexdigest().upper()
        refused = await node.rpc("broadcast_tx_sync", tx=base64_text(b"nonsense"))
        assert (refused["code"], refused["codespace"]) == (REFUSED, "kv")

        await node.reach(int(included["height"]) + 1)
        answer = (await node.rpc("abci_query", path="", data=b"colour".hex(), prove=False))["response"]
        assert base64.b64decode(answer["value"]) == b"green"
        assert {"check_tx", "query", "info"} <= set(application.calls)
        header = (await node.rpc("block", height=str(int(included["height"]) + 1)))["block"]["header"]
        assert header["app_hash"] == application.app_hash({b"colour": b"green"}).hex().upper()
    assert application.calls[0] == "info"
    assert CLEAN_START.fullmatch(consensus_calls(application.calls))
    assert fatal == []


async def test_a_thousand_transactions_at_once(node: Node) -> None:
    application = KvApplication()
    node.init()
    async with serving(application, node.abci_socket):
        await node.start()
        await node.reach(1)
        await asyncio.gather(*(node.rpc("broadcast_tx_sync", tx=base64_text(b"%d=x" % n)) for n in range(1_000)))

        async def all_in() -> bool:
            return len(application.committed) == 1_000

        await eventually(all_in, "all in blocks", node.home)
    assert application.calls.count("check_tx") == 1_000


async def test_votes_with_extensions(node: Node) -> None:
    application = KvApplication()
    node.init(vote_extensions_from=1)
    async with serving(application, node.abci_socket) as fatal:
        await node.start()
        await node.reach(3)
    assert application.calls.count("extend_vote") >= 3
    assert CLEAN_START.fullmatch(consensus_calls(application.calls))
    assert fatal == []


async def test_a_killed_node_goes_on_where_it_was(node: Node) -> None:
    application = KvApplication()
    node.init()
    async with serving(application, node.abci_socket) as fatal:
        await node.start()
        await node.reach(3)
        await node.kill()
    before, application.calls = application.height, []
    async with serving(application, node.abci_socket):
        await node.start()
        await node.reach(before + 2)
    assert "info" in application.calls
    assert RECOVERY.fullmatch(consensus_calls(application.calls))
    assert fatal == []


async def test_an_application_that_lost_its_state_gets_every_block_again(node: Node) -> None:
    node.init()
    first = KvApplication()
    async with serving(first, node.abci_socket):
        await node.start()
        await node.reach(1)
        await node.rpc("broadcast_tx_commit", tx=base64_text(b"kept=yes"))
        await node.kill()
    second = KvApplication()
    async with serving(second, node.abci_socket) as fatal:
        await node.start()
        await node.reach(first.height + 2)
    assert second.committed == {b"kept": b"yes"}
    assert CLEAN_START.fullmatch(consensus_calls(second.calls))
    assert fatal == []


class FailsAtThree(KvApplication):
    def finalize_block(self, request: abci.RequestFinalizeBlock) -> abci.ResponseFinalizeBlock:
        if request.height == 3:
            raise OSError("no space left")
        return super().finalize_block(request)


async def test_comet_stops_when_the_application_fails(node: Node) -> None:
    application = FailsAtThree()
    node.init()
    async with serving(application, node.abci_socket) as fatal:
        await node.start()
        await node.ended()
    assert fatal == ["the application failed in finalize_block: OSError: no space left"]
    assert "no space left" in (node.home / "comet.log").read_text()
    assert application.height == 2
