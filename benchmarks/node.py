"""A real node for a benchmark: `mill node start` as an operator runs it, or CometBFT with its built-in kvstore."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from proofmill.genesis.v1.genesis_pb2 import Genesis

from validator_node.comet import find_comet
from validator_node.genesis_file import load_preset, read_validator, wrap_state, write_genesis
from validator_node.home import NodeHome
from validator_node.ports import Ports
from validator_node.processes import read_record
from validator_node.setup import configure_comet, make_home

CHAIN_ID = "bench-1"
PRESET = "devnet"
# Beside a localnet that somebody may have running.
_PORT_OFFSET = 13_700
# So many requests may the driver send at once. It changes what a call costs, on both sides of a comparison alike.
RPC_BATCH = 100
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Node:
    """A running node. `app_pid` is the process of the application, None where it is CometBFT's own."""

    home: NodeHome
    rpc_port: int
    comet_pid: int
    app_pid: int | None


def prepare_home(root: Path, genesis: Genesis) -> NodeHome:
    """A validator's home as `mill node init` makes it, for a chain that begins with `genesis`."""
    home = NodeHome(root)
    make_home(find_comet(), home, "bench", _ports())
    configure_comet(home, {"rpc.max_request_batch_size": RPC_BATCH})
    validator = read_validator("bench", home.validator_key)
    write_genesis(home.genesis, wrap_state(load_preset(PRESET)["consensus_params"], CHAIN_ID, [validator], genesis))
    return home


@contextmanager
def mill_node(home: NodeHome) -> Iterator[Node]:
    """`mill node start` on a home, until the block ends."""
    command = (str(Path(sys.executable).with_name("mill")), "node", "start", "--home", str(home.root))
    with _started(command, home) as process:
        record = read_record(home.comet_record)
        if record is None:
            raise SystemExit(f"no CometBFT is recorded in {home.comet_record}")
        yield Node(home, _ports().rpc, record.pid, process.pid)


@contextmanager
def kvstore_node(home: NodeHome) -> Iterator[Node]:
    """CometBFT with the built-in kvstore, on a home of its own that is configured like a validator's."""
    command = (str(find_comet().program), "start", "--home", str(home.root), "--proxy_app", "kvstore")
    with _started(command, home) as process:
        yield Node(home, _ports().rpc, process.pid, None)


def cpu_seconds(pid: int) -> float:
    """User and system time that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def _ports() -> Ports:
    return Ports.of(0, _PORT_OFFSET)


@contextmanager
def _started(command: Sequence[str], home: NodeHome) -> Iterator[subprocess.Popen[bytes]]:
    log_file = home.logs / "bench.log"
    with log_file.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_first_block(process, log_file)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_first_block(process: subprocess.Popen[bytes], log_file: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            tail = log_file.read_text(errors="replace").splitlines()[-5:]
            raise SystemExit("the node ended with status {}:\n{}".format(process.returncode, "\n".join(tail)))
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", _ports().rpc, timeout=5)
            connection.request("GET", "/block?height=1")
            if b'"error"' not in connection.getresponse().read():
                return
        time.sleep(_POLL_SECONDS)
    raise SystemExit(f"the node made no block within {_START_SECONDS:.0f} s; see {log_file}")
