"""Fixtures for the tests of runners: each kind in turn, and the image of the program that misbehaves on request."""

from __future__ import annotations

from typing import cast

import pytest

from tests.support.behave_jobs import Backend, Image, make_image
from tests.support.behave_program import build_behave
from tests.support.engine import Engine


@pytest.fixture(scope="session")
def behave_image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The program's image, compiled once."""
    folder = tmp_path_factory.mktemp("behave")
    return make_image(folder / "image.tar", build_behave(folder))


@pytest.fixture(scope="module", params=["docker", "sandbox"])
def runner(request: pytest.FixtureRequest) -> Backend:
    """Each kind of runner in turn, and where its backend is."""
    kind = cast(str, request.param)
    found = request.getfixturevalue({"docker": "docker_engine", "sandbox": "bwrap"}[kind])
    return Backend(kind, found.url if isinstance(found, Engine) else str(found))
