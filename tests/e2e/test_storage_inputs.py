"""Inputs from servers that are slow, break off or trickle: what daemons make of it, and what the chain says."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE, TASK_STATUS_FAILED, Input
from proofmill.types.v1.types_pb2 import AUDIENCE_PROVER

from tests.support.behave_program import build_behave
from tests.support.image_archives import file, image_config, oci_layout, tar
from tests.support.prover_bench import Bench
from tests.support.prover_nodes import ProverNodes

CHUNK = 1 << 16
DATA = random.Random(5).randbytes(64 * CHUNK)


@dataclass
class Server:
    """Serves the data slowly until told to hurry, whole or in part; or a byte now and then."""

    url: str = ""
    hurry: bool = False
    sent: int = 0
    ranges: list[tuple[str, str]] = field(default_factory=list)

    async def slow(self, request: web.Request) -> web.StreamResponse:
        begin, status, headers = 0, 200, {"ETag": '"data"'}
        if "Range" in request.headers:
            self.ranges.append((request.headers["Range"], request.headers.get("If-Range", "")))
            begin, status = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-")), 206
            headers["Content-Range"] = f"bytes {begin}-{len(DATA) - 1}/{len(DATA)}"
        headers["Content-Length"] = str(len(DATA) - begin)
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for index in range(begin, len(DATA), CHUNK):
                await response.write(DATA[index : index + CHUNK])
                self.sent = max(self.sent, index + CHUNK)
                await asyncio.sleep(0 if self.hurry else 0.1)
        return response

    async def trickle(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(DATA))})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.1)
        return response


@pytest.fixture
def server() -> Iterator[Server]:
    served, loop, stop, ready = Server(), asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/slow", served.slow)
        app.router.add_get("/trickle", served.trickle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    yield served
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def bench(bwrap: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    layer = tar([file("behave", build_behave(tmp_path_factory.mktemp("behave")), 0o755)])
    image = tmp_path_factory.mktemp("image") / "image.tar"
    oci_layout(image, [layer], image_config([layer], {"Entrypoint": ["/behave"]}))
    with ProverNodes(tmp_path_factory.mktemp("provers")) as nodes:
        yield Bench(nodes, image)


def witness(data: bytes, *urls: str) -> Input:
    digest = hashlib.sha256(data).digest()
    return Input(name="witness", urls=urls, sha256=digest, size=len(data), audience=AUDIENCE_PROVER)


def test_a_daemon_that_is_killed_while_it_downloads_goes_on_where_it_was(bench: Bench, server: Server) -> None:
    nodes = bench.nodes
    since = {index: len(nodes.log(index)) for index in range(nodes.count)}
    task_id = bench.run(bench.behaving("ok"), witness(DATA, f"{server.url}/slow"))
    prover = nodes.first_to_log(r'"accept \d+"', since)
    nodes.wait(lambda: server.sent >= 8 * CHUNK, "a part has come")
    nodes.kill(prover)
    server.hurry = True
    nodes.start(prover)
    answer = nodes.ended(task_id)
    assert answer.task.progress.status == TASK_STATUS_DONE, nodes.tails()
    ((asked, condition),) = server.ranges
    assert CHUNK <= int(asked.removeprefix("bytes=").removesuffix("-")) < len(DATA)
    assert condition == '"data"'
    # Nothing of the way there is left.
    assert not list((nodes.home(prover).blobs / "partial").iterdir())


def test_an_input_that_only_trickles_is_its_users_fault(bench: Bench, server: Server) -> None:
    nodes = bench.nodes
    other = bytes(len(DATA))
    answer = nodes.ended(bench.run(bench.behaving("ok"), witness(other, f"{server.url}/trickle")))
    progress = answer.task.progress
    assert (progress.status, progress.reason) == (TASK_STATUS_FAILED, "no prover could get the input"), nodes.tails()
    for assignment in answer.assignments:
        assert "too slow" in assignment.reason
        assert "bytes came in" in assignment.reason
