"""Quantities, URLs, times and plain JSON."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message
from hypothesis import given, strategies as st
from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE, Input, TaskStatus
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH

from chain.messages import MESSAGE_TYPES
from client.errors import InvalidInput
from client.plain import enum_label, to_plain
from client.quantity import QuantityError, format_memory, parse_cpu, parse_duration, parse_memory
from client.rpc import check_url, websocket_url
from client.rpc_types import parse_time_ms


@pytest.mark.parametrize(("text", "millis"), [("2", 2000), ("0.5", 500), ("1.25", 1250), ("500m", 500), ("0.001", 1)])
def test_cpu(text: str, millis: int) -> None:
    assert parse_cpu(text) == millis


@pytest.mark.parametrize("text", ["", "0", "0m", "-1", "1.2345", "1e3", "two", "1.5m", "\uff11"])
def test_invalid_cpu(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_cpu(text)


@pytest.mark.parametrize(("text", "size"), [("1048576", 1 << 20), ("512MiB", 512 << 20), ("2GiB", 2 << 30), ("7B", 7)])
def test_memory(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["1", "5", "512", "1048575"])
def test_memory_without_a_unit_is_taken_for_a_slip(text: str) -> None:
    with pytest.raises(QuantityError, match=f"{text}GiB"):
        parse_memory(text)


@pytest.mark.parametrize("text", ["", "0", "0GiB", "1.5GiB", "1GB", "-1MiB", "1 GiB"])
def test_invalid_memory(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_memory(text)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86400)])
def test_duration(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-5s", "1.5h", "5 minutes"])
def test_invalid_duration(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_duration(text)


@given(st.integers(1, 2**40))
def test_formatted_memory_is_read_back(size: int) -> None:
    assert parse_memory(format_memory(size).replace(" ", "")) == size


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("http://127.0.0.1:26657/", "http://127.0.0.1:26657"),
        ("tcp://node:26657", "http://node:26657"),
        ("https://rpc.example.com/path", "https://rpc.example.com/path"),
    ],
)
def test_urls(url: str, checked: str) -> None:
    assert check_url(url) == checked


@pytest.mark.parametrize(
    "url", ["", "localhost:26657", "ftp://x", "http://", "http://x:99999", "http://x:y", "http://["]
)
def test_invalid_urls(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not a URL such as"):
        check_url(url)


def test_event_stream_is_beside_the_rpc() -> None:
    assert websocket_url("https://rpc.example.com/path") == "wss://rpc.example.com/path/websocket"


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-21T10:53:46.679123456Z", 1795258426679),
        ("2026-11-21T10:53:46.6Z", 1795258426600),
    ],
)
def test_times(text: str, time_ms: int) -> None:
    assert parse_time_ms(text) == time_ms


def test_plain_messages_are_stable() -> None:
    answer = QueryTaskResponse()
    answer.task.progress.status = TASK_STATUS_DONE
    answer.task.task.program_id = bytes.fromhex("00ff")
    answer.task.task.inputs.append(Input(name="a", inline=b"hi", audience=AUDIENCE_BOTH))
    plain = to_plain(answer)
    task = plain["task"]
    assert isinstance(task, dict)
    assert task["progress"]["status"] == "DONE"
    assert task["progress"]["proof"] is None
    assert task["task"]["program_id"] == "00ff"
    assert task["task"]["inputs"] == [
        {"name": "a", "urls": [], "sha256": "", "size": 0, "inline": "aGk=", "audience": "BOTH"}
    ]
    assert plain["assignments"] == []


@pytest.mark.parametrize("kind", MESSAGE_TYPES.values(), ids=lambda kind: kind.DESCRIPTOR.name)
def test_every_message_has_a_plain_form(kind: type[Message]) -> None:
    assert list(to_plain(kind())) == [field.name for field in kind.DESCRIPTOR.fields]


def test_unknown_enum_numbers_stay_numbers() -> None:
    assert enum_label(TaskStatus.DESCRIPTOR, 99) == "99"
