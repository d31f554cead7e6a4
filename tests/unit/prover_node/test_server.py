"""What the node serves, over real HTTP on loopback, and what it never serves."""

from __future__ import annotations

import hashlib
import os
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


async def put(store: BlobStore, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    async with store.receive(digest, len(data)) as sink:
        sink.write(data)
    return digest


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    store, tasks = BlobStore(tmp_path / "blobs", 1 << 20), TaskFiles(tmp_path / "tasks")
    tasks.save_proof(7, await put(store, PROOF))
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


@pytest.fixture
async def taken_port(tmp_path: Path) -> AsyncIterator[int]:
    server = Server(BlobStore(tmp_path / "b1", 10), TaskFiles(tmp_path / "t1"), Metrics(), dict)
    yield await server.start("127.0.0.1", 0)
    await server.stop()


@pytest.mark.parametrize("path", [f"/blobs/{DIGEST}", "/tasks/7/proof"])
async def test_a_proof_is_served_by_hash_and_by_task(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as answer:
        assert (answer.status, await answer.read()) == (200, PROOF)
        assert answer.headers["Content-Type"] == "application/x-tar"
        assert "immutable" in answer.headers["Cache-Control"]


async def test_a_part_of_a_proof_can_be_asked_for(http: aiohttp.ClientSession) -> None:
    async with http.get(f"/blobs/{DIGEST}", headers={"Range": "bytes=2-6"}) as answer:
        assert (answer.status, await answer.read()) == (206, PROOF[2:7])


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
        ("/tasks/8/proof", 404),
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


def test_old_tasks_are_pruned_and_shared_proofs_kept(tmp_path: Path) -> None:
    tasks = TaskFiles(tmp_path)
    for task_id, digest in ((1, "a" * 64), (2, "a" * 64), (3, "b" * 64)):
        tasks.save_proof(task_id, digest)
    for task_id in (1, 3):
        os.utime(tmp_path / str(task_id), (1, 1))
    assert tasks.prune(100.0) == ["b" * 64]
    assert tasks.proof(1) is None
    assert tasks.proof(2) == "a" * 64
