from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from client.cli.main import run
from client.rpc import Rpc
from tests.support.http_node import HttpNode
from tests.support.memory_node import MemoryNode, MemoryTransport
from tests.support.mill_cli import Result, make_home
from tests.support.network import Network, make_genesis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path


@pytest.fixture
def node() -> MemoryNode:
    return MemoryNode(Network.start(make_genesis(provers=3)))


@pytest.fixture
async def rpc(node: MemoryNode) -> AsyncIterator[Rpc]:
    async with Rpc("http://node", transport=MemoryTransport(node)) as rpc:
        yield rpc


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NODE", "HOME", "FROM", "FORMAT", "PASSPHRASE_FILE", "BLOB_SERVER"):
        monkeypatch.delenv(f"MILL_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def server(node: MemoryNode) -> Iterator[HttpNode]:
    with HttpNode(node) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "mill")


@pytest.fixture
def mill(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def invoke(*args: object) -> Result:
        code = run([str(arg) for arg in args])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return invoke


@pytest.fixture
def user(mill: Callable[..., Result], server: HttpNode, home: Path) -> Callable[..., Result]:
    """`mill` with a node and a home."""

    def invoke(*args: object) -> Result:
        return mill("--node", server.url, "--home", home, *args)

    return invoke
