"""A real application over a real store, driven as CometBFT would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.consensus import Consensus
from tests.support.network import make_genesis


@pytest.fixture
def consensus(tmp_path: Path) -> Iterator[Consensus]:
    """A node that has heard of nothing yet."""
    node = Consensus(tmp_path / "app.db", make_genesis())
    yield node
    node.store.close()


@pytest.fixture
def running(consensus: Consensus) -> Consensus:
    """A node two blocks on."""
    consensus.init_chain()
    consensus.block()
    consensus.block()
    return consensus
