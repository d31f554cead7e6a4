"""The gRPC and REST servers of a real state, called as strangers' clients call them."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from cosmos.bank.v1beta1 import query_pb2 as bank_pb
from cosmos.base.tendermint.v1beta1 import query_pb2 as node_pb
from cosmos.tx.v1beta1 import service_pb2 as tx_pb
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from chain.query import QUERY_PATHS
from tests.support.consensus import Consensus
from tests.support.network import ALICE, BOB, Key, make_tx
from tests.support.sends import make_send
from validator_node.services.catalog import Catalog
from validator_node.services.listen import ServerError
from validator_node.services.servers import QueryServers
from validator_node.settings import Settings


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def settings() -> Settings:
    return Settings(grpc_address=free_address(), rest_address=free_address(), metrics_address=free_address())


@pytest.fixture
def served(running: Consensus, settings: Settings) -> Iterator[Settings]:
    # Nothing listens where CometBFT would.
    servers = QueryServers(settings, running.application.queries, f"http://{free_address()}", running.metrics)
    servers.start()
    yield settings
    servers.stop()


@pytest.fixture
def rest(served: Settings) -> Iterator[httpx.Client]:
    # Loading certificate authorities takes longer than these tests, and nothing here is encrypted.
    with httpx.Client(base_url=f"http://{served.rest_address}", trust_env=False, verify=False) as client:  # noqa: S501
        yield client


@pytest.fixture
def channel(served: Settings) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.grpc_address) as channel:
        yield channel


def call(channel: grpc.Channel, path: str, request: Any, response: Any, **metadata: str) -> Any:
    method = channel.unary_unary(
        path, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
    )
    return method(request, timeout=10, metadata=[(key.replace("_", "-"), value) for key, value in metadata.items()])


BALANCE = "/cosmos.bank.v1beta1.Query/Balance"


def test_grpc_and_rest_give_the_same_answer(rest: httpx.Client, channel: grpc.Channel) -> None:
    request = bank_pb.QueryBalanceRequest(address=ALICE.address, denom="umill")
    by_grpc = call(channel, BALANCE, request, bank_pb.QueryBalanceResponse)
    answer = rest.get(f"/cosmos/bank/v1beta1/balances/{ALICE.address}/by_denom?denom=umill")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    by_rest = json_format.ParseDict(answer.json(), bank_pb.QueryBalanceResponse())
    assert by_rest == by_grpc
    assert int(by_grpc.balance.amount) > 0


def test_rest_json_is_in_the_form_that_cosmos_clients_read(rest: httpx.Client) -> None:
    account = rest.get(f"/cosmos/auth/v1beta1/accounts/{ALICE.address}").json()["account"]
    assert account["@type"] == "/cosmos.auth.v1beta1.BaseAccount"
    assert account["account_number"] == "1"
    assert account["sequence"] == "0"


def test_every_query_of_the_chain_has_a_rest_route_and_a_grpc_method(running: Consensus) -> None:
    methods = Catalog(running.application.queries, {}).methods()
    assert {method.path for method in methods} == set(QUERY_PATHS)
    assert [method.path for method in methods if not method.rules] == []
    routes = [(rule.verb, rule.template) for method in methods for rule in method.rules]
    assert len(set(routes)) == len(routes)


def test_a_height_asks_for_the_state_after_that_block(
    running: Consensus, rest: httpx.Client, channel: grpc.Channel
) -> None:
    running.block(make_tx(ALICE, [make_send(ALICE, BOB.address, 1_000)], account_number=1, sequence=0))
    request = bank_pb.QueryBalanceRequest(address=BOB.address, denom="umill")
    now, before = (
        int(call(channel, BALANCE, request, bank_pb.QueryBalanceResponse, x_cosmos_block_height=at).balance.amount)
        for at in ("3", "2")
    )
    assert now == before + 1_000
    path = f"/cosmos/bank/v1beta1/balances/{BOB.address}/by_denom?denom=umill"
    answer = rest.get(path, headers={"x-cosmos-block-height": "2"})
    assert int(answer.json()["balance"]["amount"]) == before
    assert answer.headers["grpc-metadata-x-cosmos-block-height"] == "2"
    for height, status in (("-1", 400), ("x", 400), ("99", 404), ("1" * 30, 400)):
        assert rest.get(path, headers={"x-cosmos-block-height": height}).status_code == status


ERRORS = (
    ("/nonsense", 404, 12),
    (f"/cosmos/auth/v1beta1/accounts/{Key('nobody').address}", 404, 5),
    ("/cosmos/auth/v1beta1/accounts/junk", 400, 3),
    (f"/cosmos/bank/v1beta1/balances/{ALICE.address}?pagination.limit=x", 400, 3),
    (f"/cosmos/bank/v1beta1/balances/{ALICE.address}?what=1", 400, 3),
    ("/proofmill/task/v1/tasks/99", 404, 5),
    ("/proofmill/task/v1/tasks/notanumber", 400, 3),
    ("/cosmos/tx/v1beta1/txs/zz", 400, 3),
    ("/cosmos/base/tendermint/v1beta1/node_info", 503, 14),
)


def test_rest_errors_have_cosmos_form(rest: httpx.Client) -> None:
    for path, status, code in ERRORS:
        answer = rest.get(path)
        body = answer.json()
        assert (path, answer.status_code, body["code"]) == (path, status, code)
        assert body["message"]
        assert body["details"] == []


def test_rest_refuses_methods_and_bodies_that_it_does_not_know(rest: httpx.Client) -> None:
    assert rest.delete("/cosmos/bank/v1beta1/supply").status_code == 405
    assert rest.post("/cosmos/tx/v1beta1/simulate", content=b"{").status_code == 400
    assert rest.post("/cosmos/tx/v1beta1/txs", json={}).status_code == 400
    assert rest.post("/cosmos/tx/v1beta1/txs", content=b"x" * (5 << 20)).status_code == 413


def test_grpc_errors_have_their_status(channel: grpc.Channel) -> None:
    nobody = bank_pb.QueryBalanceRequest(address="junk", denom="umill")
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, BALANCE, nobody, bank_pb.QueryBalanceResponse)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "/cosmos.staking.v1beta1.Query/Pool", nobody, bank_pb.QueryBalanceResponse)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.RpcError) as caught:
        path = "/cosmos.base.tendermint.v1beta1.Service/GetSyncing"
        call(channel, path, node_pb.GetSyncingRequest(), node_pb.GetSyncingResponse)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_reflection_tells_a_stranger_everything(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    assert {path.split("/")[1] for path in QUERY_PATHS} <= services
    pool = DescriptorPool(database)
    method = pool.FindServiceByName("proofmill.task.v1.Query").FindMethodByName("Task")
    assert method.input_type.full_name == "proofmill.task.v1.QueryTaskRequest"


def test_simulate_over_rest_says_the_gas(rest: httpx.Client) -> None:
    tx = make_tx(ALICE, [make_send(ALICE, BOB.address, 1)], account_number=1, sequence=0)
    answer = rest.post("/cosmos/tx/v1beta1/simulate", json={"tx_bytes": base64.b64encode(tx).decode()})
    assert answer.status_code == 200, answer.text
    simulated = json_format.ParseDict(answer.json(), tx_pb.SimulateResponse())
    assert simulated.gas_info.gas_used > 0


def test_metrics_are_served(served: Settings, running: Consensus) -> None:
    running.check(b"garbage")
    text = httpx.get(f"http://{served.metrics_address}/metrics", trust_env=False).text
    assert "mill_height 2.0" in text
    assert 'mill_mempool_checks_total{kind="new",result="refused"} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_web_wallets_may_ask_from_any_origin(rest: httpx.Client) -> None:
    for answer in (rest.get("/cosmos/bank/v1beta1/supply"), rest.get("/nonsense"), rest.options("/anything")):
        assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("what", ["grpc_address", "rest_address", "metrics_address"])
def test_a_taken_port_is_named_and_nothing_is_left_running(running: Consensus, settings: Settings, what: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        wrong = Settings(**{**vars(settings), what: address})
        servers = QueryServers(wrong, running.application.queries, "http://127.0.0.1:1", running.metrics)
        try:
            with pytest.raises(ServerError, match=address):
                servers.start()
        finally:
            servers.stop()
