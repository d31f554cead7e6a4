"""The localnet's blob server keeps what matches its name and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from validator_node.localnet.blob_server import BlobStore, make_app

Client = TestClient[web.Request, web.Application]

CONTENT = b"public input"
NAME = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(BlobStore(folder, max_blob=100, max_store=150)))) as client:
        yield client


def stored(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_what_was_put_can_be_got(client: Client, folder: Path) -> None:
    assert (await client.put(f"/blobs/{NAME}", data=CONTENT)).status == 201
    assert (await client.put(f"/blobs/{NAME}", data=CONTENT)).status == 200
    answer = await client.get(f"/blobs/{NAME}")
    assert (answer.status, await answer.read()) == (200, CONTENT)
    head = await client.head(f"/blobs/{NAME}")
    assert (head.status, head.headers["content-length"]) == (200, str(len(CONTENT)))
    assert stored(folder) == [NAME]


async def test_bytes_of_another_hash_are_refused(client: Client, folder: Path) -> None:
    answer = await client.put(f"/blobs/{NAME}", data=b"something else")
    assert answer.status == 400
    assert hashlib.sha256(b"something else").hexdigest() in await answer.text()
    assert stored(folder) == []
    assert (await client.get(f"/blobs/{NAME}")).status == 404


@pytest.mark.parametrize("name", ["x", NAME.upper(), NAME + "0", "..%2f..%2fetc%2fpasswd"])
async def test_a_name_that_is_no_hash_is_refused(client: Client, name: str) -> None:
    assert (await client.put(f"/blobs/{name}", data=CONTENT)).status in {400, 404}
    assert (await client.get(f"/blobs/{name}")).status in {400, 404}


async def test_a_blob_that_is_too_large_is_refused(client: Client, folder: Path) -> None:
    large = bytes(101)
    answer = await client.put(f"/blobs/{hashlib.sha256(large).hexdigest()}", data=large)
    assert answer.status == 413
    assert stored(folder) == []


async def test_a_full_store_takes_no_more(client: Client, folder: Path) -> None:
    first, second = bytes(90), b"\x01" * 90
    assert (await client.put(f"/blobs/{hashlib.sha256(first).hexdigest()}", data=first)).status == 201
    assert (await client.put(f"/blobs/{hashlib.sha256(second).hexdigest()}", data=second)).status == 413
    assert (await client.put(f"/blobs/{NAME}", data=CONTENT)).status == 201
    assert len(stored(folder)) == 2


async def test_a_broken_upload_leaves_nothing(folder: Path) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield CONTENT[:5]
        raise ConnectionResetError

    store = BlobStore(folder)
    with pytest.raises(ConnectionResetError):
        await store.put(NAME, breaks())
    assert stored(folder) == []


def test_leftovers_of_a_killed_server_are_removed(folder: Path) -> None:
    folder.mkdir()
    (folder / ".upload-x").write_bytes(b"half")
    (folder / NAME).write_bytes(CONTENT)
    BlobStore(folder)
    assert stored(folder) == [NAME]
