"""What is served goes when it is old enough and nobody can need it any more, and not before."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import aiohttp
import pytest

from chain.errors import TASK_NOT_FOUND
from client.errors import ClientError, NodeUnreachable, QueryFailed
from client.keys.private_key import PrivateKey
from prover_node.chain_link import ChainLink
from prover_node.chores import sweep
from prover_node.metrics import Metrics
from prover_node.server import Server
from prover_node.storage import BlobStore
from prover_node.task_files import TaskFiles

OLD_S = 8 * 24 * 3600


class Link(ChainLink):
    """Knows what became of tasks, or fails as told."""

    def __init__(self, tasks: dict[int, bool | ClientError]) -> None:
        key = PrivateKey(b"\1" * 32)
        super().__init__(["http://127.0.0.1:9"], "test-1", key.address, key)
        self.tasks = tasks

    async def is_settled(self, task_id: int) -> bool:
        known = self.tasks[task_id]
        if isinstance(known, ClientError):
            raise known
        return known


@pytest.mark.parametrize(
    ("known", "old", "stays"),
    [
        (True, True, False),
        (True, False, True),
        (False, True, True),
        (NodeUnreachable("the node is away"), True, True),
        (QueryFailed("/task", TASK_NOT_FOUND.codespace, TASK_NOT_FOUND.code, "there is no task 1"), True, False),
        (QueryFailed("/task", "sdk", 1, "out of order"), True, True),
    ],
)
async def test_a_proof_goes_when_its_time_is_over_and_its_task_is_too(
    tmp_path: Path, known: bool | ClientError, old: bool, stays: bool
) -> None:
    store, tasks = BlobStore(tmp_path / "blobs", 10), TaskFiles(tmp_path / "tasks")
    digest = hashlib.sha256(b"proof").hexdigest()
    async with store.receive(digest, 5) as sink:
        sink.write(b"proof")
    store.keep(digest)
    tasks.save_proof(1, digest)
    if old:
        made = (tmp_path / "tasks" / "1").stat().st_mtime - OLD_S
        os.utime(tmp_path / "tasks" / "1", (made, made))
    server = Server(store, tasks, Metrics(), dict)
    port = await server.start("127.0.0.1", 0)
    link = Link({1: known})

    def withdraw(digest: str) -> None:
        server.withdraw(digest)
        store.unkeep(digest)

    await sweep(link, tasks, store, withdraw, 7)
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/blobs/{digest}") as answer:
        assert answer.status == (200 if stays else 404)
    assert (tasks.proof(1) == digest) is stays
    async with store.receive(hashlib.sha256(b"larger").hexdigest(), 6) as sink:
        sink.write(b"larger")
    assert store.has(digest) is stays
    await server.stop()
    await link.close()
