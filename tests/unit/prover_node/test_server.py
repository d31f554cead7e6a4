"""What the node serves, over real HTTP on loopback, and what it never serves."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from client.errors import ClientError
from prover_node.metrics import Metrics
from prover_node.server import Server
from prover_node.storage import BlobStore
from prover_node.task_files import TaskFiles

PROOF = b"a proof bundle" * 100
DIGEST = hashlib.sha256(PROOF).hexdigest()
TAG = f'"{DIGEST}"'


async def put(store: BlobStore, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    async with store.receive(digest, len(data)) as sink:
        sink.write(data)
    return digest


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    store, tasks = BlobStore(tmp_path / "blobs", 1 << 20), TaskFiles(tmp_path / "tasks")
    tasks.save_proof(7, await put(store, PROOF))
    tasks.save_proof(8, DIGEST)
    tasks.save_proof(9, hashlib.sha256(b"gone").hexdigest())
    tasks.save_logs(7, b"proving\n", "Käse <script>".encode())
    await put(store, b"a witness")
    metrics = Metrics()
    metrics.proofs.inc()
    server = Server(store, tasks, metrics, lambda: {"status": "ok", "height": 12})
    (tmp_path / "secret").write_bytes(b"key")
    port = await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session
    await server.stop()


@pytest.mark.parametrize(("status", "code"), [("ok", 200), ("chain unreachable", 503), ("stopping", 503)])
async def test_a_node_that_takes_no_part_is_not_ready_but_alive(tmp_path: Path, status: str, code: int) -> None:
    server = Server(
        BlobStore(tmp_path / "blobs", 10), TaskFiles(tmp_path / "tasks"), Metrics(), lambda: {"status": status}
    )
    port = await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.get("/health") as answer:
            assert (answer.status, await answer.json()) == (code, {"status": status})
        async with session.get("/health/live") as answer:
            assert answer.status == 200
    await server.stop()


async def test_metrics_on_an_address_of_their_own_are_nowhere_else(tmp_path: Path, taken_port: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        apart = probe.getsockname()[1]
    server = Server(BlobStore(tmp_path / "blobs", 10), TaskFiles(tmp_path / "tasks"), Metrics(), dict)
    port = await server.start("127.0.0.1", 0, ("127.0.0.1", apart))
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.status == 404
        async with session.get(f"http://127.0.0.1:{apart}/metrics") as answer:
            assert answer.status == 200
        async with session.get(f"http://127.0.0.1:{apart}/tasks") as answer:
            assert answer.status == 404
    await server.stop()
    other = Server(BlobStore(tmp_path / "b2", 10), TaskFiles(tmp_path / "t2"), Metrics(), dict)
    with pytest.raises(ClientError, match=r"choose another http\.metrics_listen"):
        await other.start("127.0.0.1", 0, ("127.0.0.1", taken_port))


@pytest.fixture
async def taken_port(tmp_path: Path) -> AsyncIterator[int]:
    server = Server(BlobStore(tmp_path / "b1", 10), TaskFiles(tmp_path / "t1"), Metrics(), dict)
    yield await server.start("127.0.0.1", 0)
    await server.stop()


@pytest.mark.parametrize(
    ("path", "caching"),
    [(f"/blobs/{DIGEST}", "public, max-age=31536000, immutable"), ("/tasks/7/proof", "public, no-cache")],
)
async def test_a_proof_is_served_by_hash_and_by_task(http: aiohttp.ClientSession, path: str, caching: str) -> None:
    for _ in range(2):
        async with http.get(path) as answer:
            assert (answer.status, await answer.read()) == (200, PROOF)
            assert answer.headers["Content-Type"] == "application/x-tar"
            assert answer.headers["Content-Length"] == str(len(PROOF))
            assert answer.headers["Cache-Control"] == caching
            assert answer.headers["ETag"] == TAG
            assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "status", "part", "content_range"),
    [
        ("bytes=2-6", 206, PROOF[2:7], "bytes 2-6/1400"),
        ("bytes=1390-", 206, PROOF[1390:], "bytes 1390-1399/1400"),
        ("bytes=-10", 206, PROOF[-10:], "bytes 1390-1399/1400"),
        ("bytes=1390-99999", 206, PROOF[1390:], "bytes 1390-1399/1400"),
        ("bytes=-99999", 200, PROOF, None),
        ("bytes=0-", 200, PROOF, None),
        ("bytes=1400-", 416, None, "bytes */1400"),
        ("bytes=6-2", 416, None, "bytes */1400"),
        ("bytes=-0", 416, None, "bytes */1400"),
        ("bytes=x-", 416, None, "bytes */1400"),
        ("bytes=-", 416, None, "bytes */1400"),
        (f"bytes={'9' * 30}-", 416, None, "bytes */1400"),
        ("bytes=0-1,4-5", 200, PROOF, None),
        ("chapters=1-2", 200, PROOF, None),
    ],
)
async def test_a_part_of_a_proof_can_be_asked_for(
    http: aiohttp.ClientSession, asked: str, status: int, part: bytes | None, content_range: str | None
) -> None:
    for method in ("GET", "HEAD"):
        async with http.request(method, f"/blobs/{DIGEST}", headers={"Range": asked}) as answer:
            assert answer.status == status
            assert answer.headers.get("Content-Range") == content_range
            if part is not None:
                assert answer.headers["Content-Length"] == str(len(part))
                assert await answer.read() == (part if method == "GET" else b"")


@pytest.mark.parametrize(
    ("condition", "status"),
    [(TAG, 206), ('"another"', 200), (f"W/{TAG}", 200), ("Sat, 28 Nov 2026 06:00:00 GMT", 200)],
)
async def test_a_part_is_sent_only_of_what_the_rest_is_of(
    http: aiohttp.ClientSession, condition: str, status: int
) -> None:
    headers = {"Range": "bytes=2-6", "If-Range": condition}
    async with http.get(f"/blobs/{DIGEST}", headers=headers) as answer:
        assert (answer.status, await answer.read()) == (status, PROOF[2:7] if status == 206 else PROOF)


@pytest.mark.parametrize(
    ("condition", "status"), [(TAG, 304), (f'"x", W/{TAG}', 304), ("*", 304), ('"x"', 200), ("x", 200)]
)
async def test_what_somebody_has_already_is_not_sent_again(
    http: aiohttp.ClientSession, condition: str, status: int
) -> None:
    for path in (f"/blobs/{DIGEST}", "/tasks/7/proof"):
        async with http.get(path, headers={"If-None-Match": condition}) as answer:
            assert (answer.status, answer.headers["ETag"]) == (status, TAG)
            assert await answer.read() == (b"" if status == 304 else PROOF)


async def test_whoever_goes_away_in_the_middle_is_not_worth_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, tasks = BlobStore(tmp_path / "blobs", 1 << 26), TaskFiles(tmp_path / "tasks")
    tasks.save_proof(1, await put(store, bytes(1 << 25)))
    server = Server(store, tasks, Metrics(), dict)
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /tasks/1/proof HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.read(1 << 16)
    writer.transport.abort()
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/tasks/1/proof") as answer:
        assert len(await answer.read()) == 1 << 25
    await server.stop()
    assert caplog.records == []


async def test_head_says_what_get_would_send(http: aiohttp.ClientSession) -> None:
    async with http.get(f"/blobs/{DIGEST}") as whole, http.head(f"/blobs/{DIGEST}") as answer:
        assert await answer.read() == b""
        changing = ("Date",)
        assert {name: value for name, value in answer.headers.items() if name not in changing} == {
            name: value for name, value in whole.headers.items() if name not in changing
        }


async def test_tasks_are_listed_newest_first_and_a_page_at_a_time(http: aiohttp.ClientSession) -> None:
    async def ask(query: str) -> object:
        async with http.get(f"/tasks{query}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    def row(task_id: int, size: int | None) -> dict[str, object]:
        digest = DIGEST if size else hashlib.sha256(b"gone").hexdigest()
        return {"task": task_id, "sha256": digest, "size": size}

    assert await ask("") == {"tasks": [row(9, None), row(8, 1400), row(7, 1400)], "before": None}
    assert await ask("?limit=2") == {"tasks": [row(9, None), row(8, 1400)], "before": 8}
    assert await ask("?limit=2&before=8") == {"tasks": [row(7, 1400)], "before": None}
    assert await ask("?before=7") == {"tasks": [], "before": None}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "before=x", "before=" + "9" * 30])
async def test_a_list_of_any_length_is_not_to_be_had(http: aiohttp.ClientSession, query: str) -> None:
    async with http.get(f"/tasks?{query}") as answer:
        assert answer.status == 400
        assert "must be" in await answer.text()


async def test_logs_are_plain_text_whatever_the_program_printed(http: aiohttp.ClientSession) -> None:
    async with http.get("/tasks/7/stderr") as answer:
        assert await answer.text() == "Käse <script>"
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_what_the_node_only_fetched_is_never_served(http: aiohttp.ClientSession) -> None:
    async with http.get(f"/blobs/{hashlib.sha256(b'a witness').hexdigest()}") as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/blobs/abc", 400),
        (f"/blobs/{DIGEST.upper()}", 400),
        ("/blobs/..%2f..%2fsecret", 400),
        ("/tasks/10/proof", 404),
        ("/tasks/9/proof", 404),
        ("/tasks/x/proof", 400),
        ("/tasks/..%2f7/stdout", 400),
        ("/tasks/7/proof.sha256", 404),
        ("/", 404),
    ],
)
async def test_anything_else_is_refused(http: aiohttp.ClientSession, path: str, status: int) -> None:
    async with http.get(URL(path, encoded=True)) as answer:
        assert answer.status == status


async def test_health_and_metrics(http: aiohttp.ClientSession) -> None:
    async with http.get("/health") as answer:
        assert await answer.json() == {"status": "ok", "height": 12}
    async with http.get("/metrics") as answer:
        assert "proofmill_prover_proofs_total 1.0" in await answer.text()


async def test_a_taken_address_is_one_clear_sentence(taken_port: int, tmp_path: Path) -> None:
    second = Server(BlobStore(tmp_path / "b2", 10), TaskFiles(tmp_path / "t2"), Metrics(), dict)
    with pytest.raises(ClientError, match=r"can't listen on 127\.0\.0\.1:\d+: .*choose another http\.listen"):
        await second.start("127.0.0.1", taken_port)


def test_what_is_known_of_a_task_survives_a_restart_and_a_torn_file_does_not(tmp_path: Path) -> None:
    tasks = TaskFiles(tmp_path)
    for task_id, digest in ((1, "a" * 64), (2, "a" * 64), (3, "b" * 64)):
        tasks.save_proof(task_id, digest)
    torn = tmp_path / "3" / ".new-x"
    torn.write_bytes(b"half")
    (tmp_path / "lost+found").mkdir()
    again = TaskFiles(tmp_path)
    assert not torn.exists()
    assert dict(again.by_task()) == dict(tasks.by_task()) == {1: "a" * 64, 2: "a" * 64, 3: "b" * 64}
    assert again.newest(2) == [(3, "b" * 64), (2, "a" * 64)]
    assert again.proofs() == {"a" * 64, "b" * 64}


def test_a_proof_that_two_tasks_have_goes_with_the_second(tmp_path: Path) -> None:
    tasks = TaskFiles(tmp_path)
    for task_id in (1, 2):
        tasks.save_proof(task_id, "a" * 64)
    tasks.save_logs(3, b"", b"")
    os.utime(tmp_path / "1", (1, 1))
    assert tasks.untouched_since(100.0) == [1]
    assert tasks.drop(1) is None
    assert tasks.proof(1) is None
    assert tasks.proof(2) == "a" * 64
    assert tasks.drop(2) == "a" * 64
    assert tasks.drop(3) is None
    assert list(tmp_path.iterdir()) == []
