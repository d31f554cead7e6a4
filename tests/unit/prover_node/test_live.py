"""What is seen of a prover that works: its socket, its samples, its earnings."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from client.errors import ClientError
from prover_node.control import ControlSocket, ask_daemon
from prover_node.earnings import DAY_MS, Earnings, Gain
from prover_node.runner.base import Use
from prover_node.supervision import tell_manager
from prover_node.use_samples import ContainerUse, UseSamples

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000


async def test_the_control_socket_answers_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    home = tmp_path / ("deep" * 30)
    home.mkdir()
    control = ControlSocket(home, lambda: {"status": "ok", "assignments": []})
    await control.start()
    assert stat.S_IMODE((home / "control.sock").stat().st_mode) == 0o600
    assert await ask_daemon(home) == {"status": "ok", "assignments": []}
    await control.stop()
    assert list(home.iterdir()) == []


async def test_a_socket_that_a_killed_daemon_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control.sock"))
    assert await ask_daemon(tmp_path) is None
    control = ControlSocket(tmp_path, lambda: {"status": "ok"})
    await control.start()
    assert await ask_daemon(tmp_path) == {"status": "ok"}
    await control.stop()


async def test_a_socket_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "control.sock").mkdir()
    (tmp_path / "control.sock" / "in the way").touch()
    with pytest.raises(ClientError, match=r"control\.sock can't be made: "):
        await ControlSocket(tmp_path, dict).start()


async def test_where_no_daemon_is_none_answers(tmp_path: Path) -> None:
    assert await ask_daemon(tmp_path) is None
    assert await ask_daemon(tmp_path / "none") is None


@dataclass
class Busy:
    """The part of a runner that is measured."""

    now: dict[str, Use] = field(default_factory=dict)

    def uses(self) -> Mapping[str, Use]:
        return dict(self.now)


def test_what_a_container_uses_is_counted_between_two_looks() -> None:
    runner = Busy()
    samples = UseSamples(runner, ())
    runner.now["prove-1-1"] = Use(cpu_ms=500, memory_bytes=10, gpus=(1,))
    samples.look(100.0)
    assert samples.containers == {"prove-1-1": ContainerUse(0, 10, (1,))}
    runner.now["prove-1-1"] = Use(cpu_ms=3500, memory_bytes=20, gpus=(1,))
    samples.look(102.0)
    assert samples.containers == {"prove-1-1": ContainerUse(1500, 20, (1,))}
    runner.now.clear()
    samples.look(104.0)
    assert samples.containers == {}


def test_the_last_day_s_earnings_are_what_came_since_a_day_ago(tmp_path: Path) -> None:
    earnings = Earnings(tmp_path / "earnings")
    for minutes in range(0, 26 * 60, 5):
        earnings.note(START_MS + minutes * MINUTE_MS, 1000 + minutes)
    now_ms = START_MS + 26 * 60 * MINUTE_MS
    assert earnings.last_day(now_ms, 3000) == Gain(3000 - (1000 + 120), now_ms - DAY_MS)


def test_earnings_are_kept_for_the_next_process_whatever_a_crash_tore(tmp_path: Path) -> None:
    path = tmp_path / "earnings"
    Earnings(path).note(START_MS, 500)
    path.write_bytes(path.read_bytes() + b"[17000")
    earnings = Earnings(path)
    earnings.note(START_MS + MINUTE_MS, 600)
    assert earnings.last_day(START_MS + 10 * MINUTE_MS, 700) == Gain(200, START_MS)


def test_before_anything_was_noted_down_nothing_was_earned(tmp_path: Path) -> None:
    assert Earnings(tmp_path / "earnings").last_day(START_MS, 700) == Gain(0, START_MS)


def test_earnings_noted_down_stay_few(tmp_path: Path) -> None:
    path = tmp_path / "earnings"
    earnings = Earnings(path)
    for minutes in range(10_000):
        earnings.note(START_MS + 5 * minutes * MINUTE_MS, minutes)
    assert len(path.read_text().splitlines()) <= 600


@pytest.mark.parametrize("abstract", [False, True])
async def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"@proofmill-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        tell_manager("READY=1")
        async with asyncio.timeout(10):
            assert await asyncio.get_running_loop().sock_recv(manager, 100) == b"READY=1"


def test_without_a_service_manager_nobody_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    tell_manager("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    tell_manager("READY=1")
