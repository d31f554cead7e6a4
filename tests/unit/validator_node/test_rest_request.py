"""Query strings and bodies become exactly the message that they stand for, or a sentence about what is wrong."""

from __future__ import annotations

import base64

import pytest
from cosmos.bank.v1beta1 import query_pb2 as bank_pb
from cosmos.base.query.v1beta1.pagination_pb2 import PageRequest
from cosmos.tx.v1beta1 import service_pb2 as tx_pb
from proofmill.task.v1 import query_pb2 as task_pb, state_pb2 as task_state

from validator_node.grpc_status import QueryError, Status
from validator_node.services.rest_request import build_request


def test_nested_fields_by_dots_in_either_spelling() -> None:
    expected = bank_pb.QueryAllBalancesRequest(
        address="mill1x", pagination=PageRequest(limit=5, count_total=True, key=b"\xff\xfe")
    )
    parameters = [("address", "mill1x"), ("pagination.limit", "5"), ("pagination.key", "//4=")]
    for spelling in ("count_total", "countTotal"):
        request = build_request(
            bank_pb.QueryAllBalancesRequest, [*parameters, (f"pagination.{spelling}", "true")], None
        )
        assert request == expected


def test_repeated_fields_by_repetition() -> None:
    request = build_request(tx_pb.GetTxsEventRequest, [("events", "a=1"), ("events", "b=2")], None)
    assert request == tx_pb.GetTxsEventRequest(events=["a=1", "b=2"])


@pytest.mark.parametrize("text", ["TASK_STATUS_DONE", "8"])
def test_enums_by_name_or_number(text: str) -> None:
    request = build_request(task_pb.QueryTasksRequest, [("status", text)], None)
    assert request == task_pb.QueryTasksRequest(status=task_state.TASK_STATUS_DONE)


@pytest.mark.parametrize("data", [b"\xfb\xff\xbf", b"", b"a", b"ab", b"abc"])
def test_bytes_in_any_usual_base64(data: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for text in (encode(data).decode(), encode(data).decode().rstrip("="), encode(data).decode().replace("+", " ")):
            assert build_request(PageRequest, [("key", text)], None) == PageRequest(key=data)


def test_a_json_body() -> None:
    body = b'{"tx_bytes": "AQID", "mode": "BROADCAST_MODE_SYNC"}'
    expected = tx_pb.BroadcastTxRequest(tx_bytes=b"\x01\x02\x03", mode=tx_pb.BROADCAST_MODE_SYNC)
    assert build_request(tx_pb.BroadcastTxRequest, [], body) == expected
    assert build_request(tx_pb.BroadcastTxRequest, [], body.replace(b"tx_bytes", b"txBytes")) == expected


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("nonsense", "1", "there is no parameter 'nonsense'"),
        ("pagination.nonsense", "1", "there is no parameter"),
        ("pagination", "1", "is a message"),
        ("user.x", "1", "has no fields"),
        ("status", "DONE", "must be one of"),
        ("status", "99", "must be one of"),
        ("pagination.limit", "many", "must be an integer"),
        ("pagination.limit", "1.5", "must be an integer"),
        ("pagination.limit", "-1", "out of range"),
        ("pagination.limit", "18446744073709551616", "out of range"),
        ("pagination.limit", "9" * 400, "must be an integer"),
        ("pagination.reverse", "perhaps", "can't be"),
        ("pagination.key", "a*b", "base64"),
        (".".join(["pagination"] * 20), "1", "too deep"),
    ],
)
def test_a_bad_parameter_is_named(name: str, text: str, reason: str) -> None:
    with pytest.raises(QueryError, match="parameter") as caught:
        build_request(task_pb.QueryTasksRequest, [(name, text)], None)
    assert caught.value.status is Status.INVALID_ARGUMENT
    assert reason in caught.value.message


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"mode": "NONE"}', b'{"unknown": 1}', b"\xff", b"[" * 100_000])
def test_a_bad_body_is_an_error(body: bytes) -> None:
    with pytest.raises(QueryError) as caught:
        build_request(tx_pb.BroadcastTxRequest, [], body)
    assert caught.value.status is Status.INVALID_ARGUMENT
