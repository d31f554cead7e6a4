"""Real prover daemons, each a process of its own with the sandbox runner, on a chain in memory that makes blocks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from proofmill.task.v1.query_pb2 import QueryTaskRequest, QueryTaskResponse
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE
from proofmill.types.v1.types_pb2 import Resources

from chain.params import GIB, default_params
from client.keys.private_key import PrivateKey
from prover_node.home import Home
from prover_node.settings import (
    ChainSettings,
    ClockSettings,
    FetchSettings,
    HttpSettings,
    LogSettings,
    ResourceSettings,
    RunnerSettings,
    Settings,
)
from tests.support.http_node import HttpNode
from tests.support.memory_node import MemoryNode
from tests.support.network import CHAIN_ID, Network, make_genesis, node_key, operator_key

MILL = Path(sys.executable).with_name("mill")
TASK_PATH = "/proofmill.task.v1.Query/Task"
BLOCK_S = 0.25
# A bound on a hang, not an expectation.
PATIENCE_S = 60.0
HOUR_MS = 3_600_000


class ProverNodes:
    """``count`` daemons, and ``rogues`` more provers on chain whose keys the test itself uses; those have 8 cores.

    Containers run in the sandbox, or in the Docker engine at ``docker_url``. Windows are an hour of block time by
    default, so that no slow machine makes a prover miss one. ``configure`` changes the daemons' settings.
    Use as a context manager.
    """

    def __init__(
        self,
        root: Path,
        count: int = 3,
        *,
        rogues: int = 0,
        commit_window_ms: int = HOUR_MS,
        docker_url: str | None = None,
        auto_retest: bool = False,
        configure: Callable[[Settings], Settings] = lambda settings: settings,
    ) -> None:
        self.root = root
        self.count = count
        self._docker_url = docker_url
        self._auto_retest = auto_retest
        self._configure = configure
        self.ports = [_free_port() for _ in range(count + rogues)]
        params = default_params()
        params.accept_window_blocks = 1000
        params.transfer_allowance_ms = params.reveal_window_ms = HOUR_MS
        params.commit_window_ms = commit_window_ms
        genesis = make_genesis(count + rogues, params)
        for index, prover in enumerate(genesis.provers):
            prover.endpoints[:] = [f"http://127.0.0.1:{self.ports[index]}"]
            if index >= count:
                prover.resources.CopyFrom(Resources(cpu_millis=8_000, memory_bytes=8 * GIB))
        self.node = MemoryNode(Network.start(genesis))
        self.http = HttpNode(self.node)
        self._daemons: dict[int, subprocess.Popen[bytes]] = {}
        # Lines that each daemon's log had when it was last started.
        self._lines_before: dict[int, int] = {}
        self._stopped = threading.Event()
        self._ticker = threading.Thread(target=self._make_blocks, daemon=True)

    def __enter__(self) -> Self:
        self.http.__enter__()
        self._ticker.start()
        for index in range(self.count):
            self._create(index)
            self.start(index)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for index in list(self._daemons):
            daemon = self._daemons.pop(index)
            daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(60)
            daemon.kill()
        self._stopped.set()
        self._ticker.join()
        self.http.__exit__(kind, error, trace)

    def start(self, index: int) -> None:
        """Start the daemon; it may not be ready yet."""
        self._lines_before[index] = len(self.log(index))
        command = [str(MILL), "prover", "start", "--home", str(self.home(index).root)]
        with self._errors(index).open("ab") as errors:
            self._daemons[index] = subprocess.Popen(
                [*command, "--log-file", str(self.log_path(index))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=os.environ | ({"DOCKER_HOST": self._docker_url} if self._docker_url else {}),
            )

    def kill(self, index: int) -> None:
        """SIGKILL to the daemon."""
        daemon = self._daemons[index]
        daemon.kill()
        daemon.wait(10)

    def stop(self, index: int) -> int:
        """SIGTERM to the daemon once it is up; its exit status."""
        since = self._lines_before[index]
        self.wait(lambda: self.seen(index, '"event": "ready"', since=since), f"daemon {index} is up")
        daemon = self._daemons[index]
        daemon.send_signal(signal.SIGTERM)
        return daemon.wait(60)

    def node_id(self, index: int) -> str:
        """What the daemon's containers and control groups are marked with."""
        return (self.home(index).runner / "id").read_text()

    def contained(self, index: int) -> list[int]:
        """Processes in the daemon's sandboxes: its children, and where there are control groups those in its own."""
        node, daemon = self.node_id(index), self._daemons[index].pid
        groups = (f"proofmill/{node}/", f"proofmill-{node}-")
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    if parent == daemon or any(group in (entry / "cgroup").read_text() for group in groups):
                        found.append(int(entry.name))
        return found

    def home(self, index: int) -> Home:
        """The daemon's folder."""
        return Home(self.root / f"prover{index}")

    def log_path(self, index: int) -> Path:
        """The daemon's log."""
        return self.root / f"prover{index}.log"

    def log(self, index: int) -> list[dict[str, Any]]:
        """Whole lines of the daemon's log."""
        text = self.log_path(index).read_text() if self.log_path(index).exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def seen(self, index: int, pattern: str, *, since: int = 0) -> bool:
        """Whether a log line from the ``since``-th on, as JSON, matches."""
        return any(re.search(pattern, json.dumps(line)) for line in self.log(index)[since:])

    def first_to_log(self, pattern: str, since: Mapping[int, int]) -> int:
        """Wait until a daemon logs a matching line after its ``since``-th; the daemon."""
        found: list[int] = []

        def logged() -> bool:
            found[:] = [index for index, lines in since.items() if self.seen(index, pattern, since=lines)]
            return bool(found)

        self.wait(logged, f"a log line like {pattern}")
        return found[0]

    def task(self, task_id: int) -> QueryTaskResponse:
        """All that the chain knows of a task."""
        with self.node.lock:
            answer: QueryTaskResponse = self.node.network.query(
                TASK_PATH, QueryTaskRequest(task_id=task_id), QueryTaskResponse
            )
        return answer

    def ended(self, task_id: int) -> QueryTaskResponse:
        """Wait until the task is over."""
        self.wait(lambda: self.task(task_id).task.progress.status >= TASK_STATUS_DONE, f"task {task_id} ends")
        return self.task(task_id)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what must come about."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"still not after {PATIENCE_S:.0f} s: {what}\n{self.tails()}")
            time.sleep(0.01)

    def tails(self) -> str:
        """The ends of all logs."""
        lines = [f"{index}: {json.dumps(line)}" for index in range(self.count) for line in self.log(index)[-15:]]
        errors = [self._errors(index).read_text() for index in range(self.count)]
        return "\n".join([*lines, *errors])

    def publish(self, data: bytes) -> tuple[str, bytes]:
        """URL and sha256 of bytes that are served from now on."""
        digest = hashlib.sha256(data).digest()
        self.http.blobs[digest.hex()] = data
        return f"{self.http.url}/blobs/{digest.hex()}", digest

    def _create(self, index: int) -> None:
        listen = f"127.0.0.1:{self.ports[index]}"
        settings = Settings(
            chain=ChainSettings(id=CHAIN_ID, operator=operator_key(index).address, nodes=[self.http.url]),
            http=HttpSettings(listen=listen, endpoints=[f"http://{listen}"]),
            resources=ResourceSettings(cpu_millis=4_000, memory_bytes=8 * GIB, gpus=0),
            runner=RunnerSettings(kind="docker" if self._docker_url else "sandbox"),
            fetch=FetchSettings(allow_private_urls=True, patience_s=2),
            log=LogSettings(format="json"),
            # The chain in memory has a time of its own.
            clock=ClockSettings(refuse_s=0),
            auto_retest=self._auto_retest,
        )
        self.home(index).create(
            self._configure(settings), PrivateKey(hashlib.sha256(node_key(index).name.encode()).digest())
        )

    def _errors(self, index: int) -> Path:
        return self.root / f"prover{index}.stderr"

    def _make_blocks(self) -> None:
        while not self._stopped.wait(BLOCK_S):
            with self.node.lock:
                self.node.make_block()


def processes_of(pattern: bytes) -> Iterator[int]:
    """Ids of processes whose command line contains ``pattern``."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if pattern in (entry / "cmdline").read_bytes():
                    yield int(entry.name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
