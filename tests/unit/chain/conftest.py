"""A fresh chain of five active provers for every test."""

from __future__ import annotations

import pytest

from tests.support.network import Network, make_genesis


@pytest.fixture
def network() -> Network:
    return Network.start(make_genesis())
