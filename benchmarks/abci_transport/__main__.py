"""CheckTx through CometBFT's own ABCI client (Go) to a Python application with nothing to do, over each transport.

Run by hand: `python -m benchmarks.abci_transport`. Needs Go; builds the driver in a temporary folder. The transports
take turns within one run, each with a fresh application process, so that their ratio holds on a busy machine too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent import futures
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
import uvloop
from google.protobuf.message import Message
from tendermint.abci import types_pb2 as abci

from tests.support.abci_kv import KvApplication
from validator_node.abci.server import AbciServer

HERE = Path(__file__).resolve().parent
CHECKED = abci.ResponseCheckTx(gas_wanted=1)


class IdleApplication(KvApplication):
    """Answers CheckTx with a constant: what is measured is the way there and back."""

    def check_tx(self, request: abci.RequestCheckTx) -> abci.ResponseCheckTx:
        del request
        return CHECKED


def serve_socket(path: Path) -> None:
    async def serve() -> None:
        await AbciServer(IdleApplication(), on_fatal=sys.exit).start(path)
        await asyncio.Event().wait()

    uvloop.run(serve())


def echo(request: abci.RequestEcho, context: object) -> abci.ResponseEcho:
    del context
    return abci.ResponseEcho(message=request.message)


def flush(request: abci.RequestFlush, context: object) -> abci.ResponseFlush:
    del request, context
    return abci.ResponseFlush()


def check_tx(request: abci.RequestCheckTx, context: object) -> abci.ResponseCheckTx:
    del request, context
    return CHECKED


async def echo_async(request: abci.RequestEcho, context: object) -> abci.ResponseEcho:
    return echo(request, context)


async def flush_async(request: abci.RequestFlush, context: object) -> abci.ResponseFlush:
    return flush(request, context)


async def check_tx_async(request: abci.RequestCheckTx, context: object) -> abci.ResponseCheckTx:
    return check_tx(request, context)


def handlers(echo: Callable[..., Any], flush: Callable[..., Any], check_tx: Callable[..., Any]) -> Any:
    def unary(behaviour: Callable[..., Any], request: type[Message], response: type[Message]) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            behaviour, request_deserializer=request.FromString, response_serializer=response.SerializeToString
        )

    methods = {
        "Echo": unary(echo, abci.RequestEcho, abci.ResponseEcho),
        "Flush": unary(flush, abci.RequestFlush, abci.ResponseFlush),
        "CheckTx": unary(check_tx, abci.RequestCheckTx, abci.ResponseCheckTx),
    }
    return grpc.method_handlers_generic_handler("tendermint.abci.ABCI", methods)


def serve_grpc_threads(path: Path) -> None:
    """One worker thread: the application must not see two requests at once."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    server.add_generic_rpc_handlers((handlers(echo, flush, check_tx),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    server.wait_for_termination()


def serve_grpc_asyncio(path: Path) -> None:
    async def serve() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((handlers(echo_async, flush_async, check_tx_async),))
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        await server.wait_for_termination()

    asyncio.run(serve())


# Each with CometBFT's name for the transport, and the scheme under which its client finds a unix socket: in v0.40.0,
# the gRPC one loses a plain unix:// before it dials.
SERVERS: Mapping[str, tuple[str, str, Callable[[Path], None]]] = MappingProxyType(
    {
        "socket": ("socket", "unix://", serve_socket),
        "grpc-threads": ("grpc", "passthrough:///unix://", serve_grpc_threads),
        "grpc-asyncio": ("grpc", "passthrough:///unix://", serve_grpc_asyncio),
    }
)
ROUND_SECONDS = 120


def build_driver(folder: Path) -> Path:
    go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), ".tools/bin"]))
    if go is None:
        raise SystemExit("no Go found to build the driver with: run `make setup`")
    for name in ("go.mod", "main.go"):
        shutil.copy(HERE / name, folder)
    subprocess.run([go, "build", "-mod=mod", "-o", "driver", "."], cwd=folder, check=True)
    return folder / "driver"


def measure(name: str, driver: Path, folder: Path, count: int) -> dict[str, float]:
    """Calls a second to a fresh application, one after another and side by side."""
    path = folder / f"{name}.sock"
    transport, scheme, _ = SERVERS[name]
    command = [sys.executable, "-m", "benchmarks.abci_transport", "--serve", name, "--at", str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as application:
        try:
            while not path.exists():
                if application.poll() is not None:
                    raise SystemExit(f"the {name} application ended with {application.returncode}")
                time.sleep(0.01)
            done = subprocess.run(
                [driver, f"--transport={transport}", f"--address={scheme}{path}", f"--count={count}"],
                check=True,
                stdout=subprocess.PIPE,
                timeout=ROUND_SECONDS,
            )
        finally:
            application.terminate()
    path.unlink(missing_ok=True)
    rates: dict[str, float] = json.loads(done.stdout)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.abci_transport")
    parser.add_argument("--count", type=int, default=50_000, help="CheckTx calls a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", choices=list(SERVERS), help=argparse.SUPPRESS)
    parser.add_argument("--at", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        SERVERS[arguments.serve][2](arguments.at)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        driver = build_driver(folder)
        rounds = [
            {name: measure(name, driver, folder, arguments.count) for name in SERVERS} for _ in range(arguments.rounds)
        ]
    print(f"CheckTx a second, median of {arguments.rounds} rounds of {arguments.count} (250 bytes, empty handler)")
    print(f"{'transport':<14}{'64 callers':>12}{'one caller':>12}")
    for name in SERVERS:
        together = statistics.median(rates[name]["together_per_second"] for rates in rounds)
        in_turn = statistics.median(rates[name]["in_turn_per_second"] for rates in rounds)
        print(f"{name:<14}{together:>12,.0f}{in_turn:>12,.0f}")


if __name__ == "__main__":
    main()
