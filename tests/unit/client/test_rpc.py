"""What a node may answer, and a stream of blocks that survives its restarts."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cosmos.bank.v1beta1.query_pb2 import QueryBalanceRequest, QueryBalanceResponse

from client.errors import NodeUnreachable, QueryFailed, RpcFailed, WrongChain
from client.rpc import Rpc
from tests.support.http_node import HttpNode
from tests.support.network import ALICE, RICH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from client.rpc_types import BlockHeader
    from tests.support.memory_node import MemoryNode


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> Rpc:
    return Rpc("http://node", transport=httpx.MockTransport(answer))


def with_result(result: Any) -> Rpc:
    return answering(lambda request: httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": result}))


async def test_status_and_chain(rpc: Rpc) -> None:
    status = await rpc.require_chain("test-1")
    assert (status.chain_id, status.moniker, status.latest_height) == ("test-1", "memory", 0)
    with pytest.raises(WrongChain, match="follows chain 'test-1', not 'main-1'"):
        await rpc.require_chain("main-1")


async def test_grpc_query(rpc: Rpc) -> None:
    request = QueryBalanceRequest(address=ALICE.address, denom="umill")
    answer = await rpc.query("/cosmos.bank.v1beta1.Query/Balance", request, QueryBalanceResponse)
    assert int(answer.balance.amount) == RICH


async def test_unknown_query_is_the_chains_error(rpc: Rpc) -> None:
    with pytest.raises(QueryFailed, match=r"is not a query of this chain \(sdk 6\)") as caught:
        await rpc.abci_query("/x.y.Query/Z")
    assert (caught.value.codespace, caught.value.code) == ("sdk", 6)


async def test_grpc_status_is_left_out_of_messages() -> None:
    log = "rpc error: code = NotFound desc = there is no task 7"
    async with with_result({"response": {"code": 2, "codespace": "task", "log": log}}) as rpc:
        with pytest.raises(QueryFailed, match=r"^there is no task 7 \(task 2\)$"):
            await rpc.abci_query("/x")


async def test_json_rpc_errors_carry_their_detail() -> None:
    error = {"code": -32603, "message": "Internal error", "data": "height 9 must be less than 5"}
    async with answering(lambda _: httpx.Response(500, json={"error": error})) as rpc:
        with pytest.raises(RpcFailed, match="the node refused block: height 9 must be less than 5") as caught:
            await rpc.block(9)
    assert caught.value.code == -32603


async def test_an_application_that_is_down_is_an_unreachable_node() -> None:
    error = {"code": -32603, "message": "Internal error", "data": "read unix: connection reset by peer"}
    async with answering(lambda _: httpx.Response(500, json={"error": error})) as rpc:
        with pytest.raises(NodeUnreachable, match="can't ask its application: read unix"):
            await rpc.abci_query("/x")


@pytest.mark.parametrize("error", ["no", {"message": "no"}, {"code": "x", "message": "no"}])
async def test_odd_json_rpc_errors(error: object) -> None:
    async with answering(lambda _: httpx.Response(200, json={"error": error})) as rpc:
        with pytest.raises(RpcFailed, match="no"):
            await rpc.status()


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, content=b"\xff"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"result": None}),
        httpx.Response(404, text="not found"),
    ],
)
async def test_servers_that_are_no_nodes(response: httpx.Response) -> None:
    async with answering(lambda _: response) as rpc:
        with pytest.raises(NodeUnreachable, match="doesn't speak CometBFT's JSON-RPC"):
            await rpc.status()


@pytest.mark.parametrize("result", [{}, {"node_info": []}, {"node_info": {"network": "a"}, "sync_info": {}}])
async def test_unreadable_answers(result: object) -> None:
    async with with_result(result) as rpc:
        with pytest.raises(NodeUnreachable, match="unreadable answer to status"):
            await rpc.status()


async def test_query_answers_that_do_not_decode() -> None:
    async with with_result({"response": {"value": "/////w=="}}) as rpc:
        with pytest.raises(NodeUnreachable, match="unreadable answer"):
            await rpc.query("/x", QueryBalanceRequest(), QueryBalanceResponse)


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.ReadError("")])
async def test_transport_errors(error: httpx.HTTPError) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    async with answering(fail) as rpc:
        with pytest.raises(NodeUnreachable, match="http://node can't be reached"):
            await rpc.status()


async def test_a_transaction_that_is_nowhere(rpc: Rpc) -> None:
    assert await rpc.tx("AB" * 32) is None


async def test_headers_that_are_gone_have_no_time(rpc: Rpc) -> None:
    assert await rpc.block_time_ms(99) == 0


async def test_search_and_validators_are_read_page_by_page() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        call = json.loads(request.content)
        page = int(call["params"]["page"])
        one = {"address": f"{page:02x}" * 20, "pub_key": {"value": "AAA="}, "voting_power": str(page)}
        return httpx.Response(200, json={"result": {"validators": [one], "total": "3"}})

    async with answering(answer) as rpc:
        assert [validator.power for validator in await rpc.validators()] == [1, 2, 3]


async def heights(headers: AsyncIterator[BlockHeader], count: int) -> list[int]:
    found: list[int] = []
    async for header in headers:
        found.append(header.height)
        if len(found) == count:
            break
    return found


async def test_new_blocks_start_with_the_latest_and_follow(node: MemoryNode) -> None:
    for _ in range(3):
        node.commit()
    with HttpNode(node) as server:
        async with Rpc(server.url) as rpc:
            stream = rpc.new_blocks()
            assert (await anext(stream)).height == 3
            for height in (4, 5):
                node.commit()
                header = await anext(stream)
                assert (header.height, header.time_ms, header.chain_id) == (height, node.network.time_ms, "test-1")
            await stream.aclose()


async def test_new_blocks_go_on_after_the_node_was_away(node: MemoryNode) -> None:
    with HttpNode(node) as server:
        async with Rpc(server.url) as rpc:
            stream = rpc.new_blocks()
            node.commit()
            assert (await anext(stream)).height == 1
            await asyncio.to_thread(server.drop_connections)
            for _ in range(2):
                node.commit()
            # Heights that passed meanwhile are skipped, the latest isn't.
            assert (await anext(stream)).height == 3
            node.commit()
            assert (await anext(stream)).height == 4
            await stream.aclose()


async def test_new_blocks_give_up_when_patience_ends() -> None:
    async with Rpc("http://127.0.0.1:9") as rpc:
        with pytest.raises(NodeUnreachable, match="can't be reached"):
            await anext(rpc.new_blocks(patience_s=0))
