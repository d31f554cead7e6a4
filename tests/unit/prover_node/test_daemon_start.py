"""What keeps a daemon from starting, each as one sentence."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from client.errors import ClientError
from client.keys.private_key import PrivateKey
from prover_node.daemon import Daemon, UnenforcedLimits
from prover_node.home import Home
from prover_node.settings import ChainSettings, HttpSettings, ResourceSettings, RunnerSettings, Settings
from tests.support.weak_runner import WeakRunner


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    settings = Settings(
        chain=ChainSettings(id="test-1", operator=PrivateKey(b"\1" * 32).address, nodes=["http://127.0.0.1:9"]),
        http=HttpSettings(listen="127.0.0.1:0", endpoints=["http://127.0.0.1:8700"]),
        resources=ResourceSettings(cpu_millis=4000, memory_bytes=1 << 32, gpus=0),
    )
    made.create(settings, PrivateKey.generate())
    return made


async def test_limits_that_cannot_be_enforced_must_be_accepted_by_the_operator(home: Home) -> None:
    runner = WeakRunner()
    with pytest.raises(UnenforcedLimits, match=r"Limits on cpu aren't enforced\. Start with --allow-unenforced"):
        await Daemon(home, home.settings(), runner).run()
    assert runner.closed


async def test_gpus_that_the_runner_cannot_give_are_refused(home: Home) -> None:
    settings = home.settings()
    settings = replace(
        settings,
        resources=replace(settings.resources, gpus=2),
        runner=RunnerSettings(allow_unenforced=True),
    )
    with pytest.raises(ClientError, match=r"resources\.gpus is 2, but the sandbox runner can give programs 0"):
        await Daemon(home, settings, WeakRunner()).run()


async def test_a_taken_port_is_refused(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = replace(
            home.settings(),
            http=HttpSettings(listen=f"127.0.0.1:{taken.getsockname()[1]}", endpoints=["http://127.0.0.1:8700"]),
            runner=RunnerSettings(allow_unenforced=True),
        )
        with pytest.raises(ClientError, match="can't listen on"):
            await Daemon(home, settings, WeakRunner()).run()
