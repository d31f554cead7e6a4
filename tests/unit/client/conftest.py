from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from client.rpc import Rpc
from tests.support.memory_node import MemoryNode, MemoryTransport
from tests.support.network import Network, make_genesis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def node() -> MemoryNode:
    return MemoryNode(Network.start(make_genesis(provers=3)))


@pytest.fixture
async def rpc(node: MemoryNode) -> AsyncIterator[Rpc]:
    async with Rpc("http://node", transport=MemoryTransport(node)) as rpc:
        yield rpc
