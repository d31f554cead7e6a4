"""Drives a node's RPC from a process of its own: few connections, many transactions in flight, blocks counted."""

from __future__ import annotations

import base64
import http.client
import json
import multiprocessing
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from benchmarks.node import RPC_BATCH, Node, cpu_seconds

# Connections; a sender's transactions all go through the same one, so they arrive in the order of their sequences.
CONNECTIONS = 2
_POLL_SECONDS = 0.1
_STALLED_SECONDS = 60.0


@dataclass(frozen=True)
class Load:
    """What to send and for how long."""

    # For each connection its transactions in order.
    txs: Sequence[Sequence[bytes]]
    # So many may be sent and not yet committed: about what waits in the mempool.
    in_flight: int
    # Transactions that must be committed before the measurement begins.
    warm_up: int
    # Shortest measurement; it ends with a block.
    seconds: float


@dataclass(frozen=True)
class Measured:
    """Whole blocks in the steady state. CPU in seconds; `app_cpu` is 0 where the application is inside CometBFT."""

    seconds: float
    block_txs: tuple[int, ...]
    failed: int
    app_cpu: float
    comet_cpu: float
    driver_cpu: float

    @property
    def txs(self) -> int:
        return sum(self.block_txs)

    @property
    def rate(self) -> float:
        """Committed transactions a second."""
        return self.txs / self.seconds


def split_by_sender(rounds: Sequence[Sequence[bytes]]) -> list[list[bytes]]:
    """Rounds of one transaction a sender, dealt out to the connections."""
    return [[raw for one in rounds for raw in one[part::CONNECTIONS]] for part in range(CONNECTIONS)]


def drive(node: Node, load: Load) -> Measured:
    """Send the load and measure; SystemExit if the node refuses something or there isn't enough to send."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_drive, node, load).result()


def send_all(node: Node, txs: Sequence[Sequence[bytes]], in_flight: int) -> None:
    """Send transactions, dealt out to connections, and wait until all of them are in blocks."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(_send_all, node, txs, in_flight).result()


def _drive(node: Node, load: Load) -> Measured:
    return _Driver(node, load.txs, load.in_flight).measure(load.warm_up, load.seconds)


def _send_all(node: Node, txs: Sequence[Sequence[bytes]], in_flight: int) -> None:
    _Driver(node, txs, in_flight).wait_committed(sum(len(one) for one in txs))


def _encode(batch: Sequence[bytes]) -> bytes:
    """The HTTP body of a batched call."""
    calls = [
        {
            "jsonrpc": "2.0",
            "id": index,
            "method": "broadcast_tx_async",
            "params": {"tx": base64.b64encode(raw).decode()},
        }
        for index, raw in enumerate(batch)
    ]
    return json.dumps(calls).encode()


class _Driver:
    """Feeds a node from a thread for each connection, and counts its blocks."""

    def __init__(self, node: Node, txs: Sequence[Sequence[bytes]], in_flight: int) -> None:
        self._node = node
        self._in_flight = in_flight
        self._connection = _connect(node)
        self._changed = threading.Condition()
        self._sent = 0
        self._committed = 0
        self._feeding = len(txs)
        self._stopped = False
        self._refusal = ""
        self._height = 0
        self._block_txs: dict[int, int] = {}
        for one in txs:
            threading.Thread(target=self._feed, args=(one,), daemon=True).start()

    def wait_committed(self, count: int) -> None:
        """Wait until so many transactions are in blocks."""
        while self._committed < count:
            self._next_block()

    def measure(self, warm_up: int, seconds: float) -> Measured:
        """The whole blocks of at least so many seconds once so many transactions are in blocks."""
        self.wait_committed(warm_up)
        start = (time.monotonic(), self._height, self._cpu())
        while time.monotonic() - start[0] < seconds:
            self._next_block()
            if not self._feeding:
                raise SystemExit("all transactions were sent before the measurement was over: sign more of them")
        end = (time.monotonic(), self._height, self._cpu())
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        heights = range(start[1] + 1, end[1] + 1)
        app, comet, driver = (after - before for before, after in zip(start[2], end[2], strict=True))
        return Measured(
            end[0] - start[0],
            tuple(self._block_txs[height] for height in heights),
            sum(self._failed(height) for height in heights),
            app,
            comet,
            driver,
        )

    def _cpu(self) -> tuple[float, float, float]:
        app = self._node.app_pid
        return (cpu_seconds(app) if app else 0.0, cpu_seconds(self._node.comet_pid), time.process_time())

    def _next_block(self) -> None:
        """Wait until there is a new block, and count what it and those since the last look hold."""
        deadline = time.monotonic() + _STALLED_SECONDS
        while True:
            info = _get(self._connection, f"/blockchain?minHeight={self._height + 1}&maxHeight={self._height + 20}")
            if metas := info.get("block_metas"):
                break
            if time.monotonic() > deadline or self._refusal:
                raise SystemExit(self._refusal or f"no block after {self._height} within {_STALLED_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)
        for meta in metas:
            self._block_txs[int(meta["header"]["height"])] = int(meta["num_txs"])
        self._height = max(self._block_txs)
        with self._changed:
            self._committed = sum(self._block_txs.values())
            self._changed.notify_all()

    def _failed(self, height: int) -> int:
        """Transactions of a block that failed; a block is there a little earlier than its results."""
        while "txs_results" not in (answer := _get(self._connection, f"/block_results?height={height}")):
            time.sleep(_POLL_SECONDS)
        return sum(1 for result in answer["txs_results"] or [] if result["code"])

    def _feed(self, txs: Sequence[bytes]) -> None:
        connection = _connect(self._node)
        try:
            for start in range(0, len(txs), RPC_BATCH):
                batch = txs[start : start + RPC_BATCH]
                if not self._may_send(len(batch)):
                    return
                connection.request("POST", "/", _encode(batch), {"Content-Type": "application/json"})
                answer = connection.getresponse().read()
                if b'"error"' in answer:
                    self._refusal = f"the node refused a transaction: {answer[:300].decode(errors='replace')}"
                    return
        finally:
            with self._changed:
                self._feeding -= 1

    def _may_send(self, count: int) -> bool:
        """Wait until so many more may be in flight; False once enough was sent."""
        with self._changed:
            while self._sent - self._committed >= self._in_flight and not self._stopped:
                self._changed.wait()
            self._sent += count
            return not self._stopped


def _connect(node: Node) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", node.rpc_port, timeout=_STALLED_SECONDS)


def _get(connection: http.client.HTTPConnection, path: str) -> Any:
    connection.request("GET", path)
    answer = json.loads(connection.getresponse().read())
    # The only error there is to expect: a height that is yet to come.
    return answer.get("result", {})
