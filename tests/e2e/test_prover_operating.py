"""An operator's days with prover daemons: watching them, restarting them at work, and giving them other keys."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pty
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE, VERDICT_VALID

from chain import schema
from chain.address import decode_address
from client.keys.keystore import KeyStore
from client.keys.private_key import PrivateKey
from client.messages import send
from prover_node.control import ask_daemon
from prover_node.home import Home
from prover_node.settings import ClockSettings, HttpSettings, dump_settings
from tests.support.behave_program import build_behave
from tests.support.http_node import HttpNode
from tests.support.image_archives import file, image_config, oci_layout, tar
from tests.support.localnet import run_mill
from tests.support.memory_node import MemoryNode
from tests.support.network import ALICE, MILL as UMILL_A_MILL, Network, make_genesis, operator_key
from tests.support.prover_bench import Bench
from tests.support.prover_nodes import MILL, ProverNodes

# What it takes to interfere with a task before it ends, and to look at it by several commands, on a busy machine too.
SLOW, SLOWER = ("slow", "4"), ("slow", "9")


@pytest.fixture(scope="module")
def bench(bwrap: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("operating")
    layer = tar([file("behave", build_behave(folder), 0o755)])
    oci_layout(folder / "image.tar", [layer], image_config([layer], {"Entrypoint": ["/behave"]}))
    with ProverNodes(folder) as nodes:
        yield Bench(nodes, folder / "image.tar")


def begun(bench: Bench, *prover: str) -> tuple[int, int]:
    """A task that is being proved, and which daemon does."""
    nodes = bench.nodes
    since = {index: len(nodes.log(index)) for index in range(nodes.count)}
    task_id = bench.run(bench.behaving(*prover))
    return task_id, nodes.first_to_log(r'"prove-.*"a container starts"', since)


def assert_done_at_the_first_attempt(answer: QueryTaskResponse, bench: Bench) -> None:
    progress = answer.task.progress
    assert (progress.status, progress.verdict) == (TASK_STATUS_DONE, VERDICT_VALID), bench.nodes.tails()
    assert {row.attempt for row in answer.assignments} == {1}, "there was a fallback"


def status(nodes: ProverNodes, index: int, *options: str) -> str:
    told = run_mill("prover", "status", "--home", nodes.home(index).root, *options)
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_a_task_at_work_is_seen(bench: Bench) -> None:
    task_id, prover = begun(bench, *SLOWER)
    nodes = bench.nodes
    seen: list[dict[str, Any]] = []

    def measured() -> bool:
        daemon = json.loads(status(nodes, prover, "-o", "json"))["daemon"]
        seen[:] = [one for one in daemon["assignments"] if one["task_id"] == task_id and one["use"]]
        return bool(seen)

    nodes.wait(measured, "what the container uses is measured")
    (work,) = seen
    assert (work["phase"], work["accepted"], work["time_limit_s"]) == ("running", True, 60)
    assert 0 < work["left_s"] < 3700
    assert work["use"]["gpus"] == []
    text = status(nodes, prover)
    assert "s of 60 s" in text
    assert "in all" in text
    assert "1 of 4 cores, 256 of 8192 MiB, 0 of 0 GPUs" in text
    assert_done_at_the_first_attempt(nodes.ended(task_id), bench)


def test_status_is_renewed_in_place_on_a_terminal_until_it_is_stopped(bench: Bench) -> None:
    with terminal("prover", "status", "--watch", "--home", str(bench.nodes.home(0).root)) as (process, screen):
        shown = b""
        # The cursor goes home before each picture.
        while shown.count(b"\x1b[H") < 3 or b"declines left" not in shown:
            shown += os.read(screen, 65536)
        process.send_signal(signal.SIGINT)
        rest = b""
        while b"\x1b[?1049l" not in shown + rest:
            rest += os.read(screen, 65536)
        assert process.wait(30) != 0
    assert b"\x1b[?1049h" in shown
    assert b"Traceback" not in shown + rest


def test_status_is_a_line_each_time_for_programs(bench: Bench) -> None:
    command = [str(MILL), "prover", "status", "--watch", "-o", "json", "--home", str(bench.nodes.home(0).root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.kill()
    assert [line["daemon"]["status"] for line in lines] == ["ok", "ok"]


@contextmanager
def terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`mill` on a terminal of its own, and where its screen can be read."""
    screen, inside = pty.openpty()
    try:
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "160", "LINES": "50"}
        with subprocess.Popen(
            [MILL, *arguments], stdin=inside, stdout=inside, stderr=inside, env=environment
        ) as process:
            yield process, screen
            process.kill()
    finally:
        os.close(inside)
        os.close(screen)


def test_metrics_tell_what_became_of_tasks(bench: Bench) -> None:
    task_id, prover = begun(bench, "ok")
    nodes = bench.nodes
    assert_done_at_the_first_attempt(nodes.ended(task_id), bench)

    def told() -> bool:
        text = httpx.get(f"http://127.0.0.1:{nodes.ports[prover]}/metrics", trust_env=False).text
        samples = {
            (sample.name.removeprefix("proofmill_prover_"), *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        return (
            samples.get(("tasks_total", ("outcome", "proved")), 0) >= 1
            and samples.get(("runs_total", ("reason", "exited"), ("role", "prove")), 0) >= 1
            and samples[("earned_mill",)] > 0
            and samples[("ready",)] == 1
            and samples[("status", ("status", "active"))] == 1
        )

    nodes.wait(told, "the metrics tell of a proof that was paid")


def test_every_log_line_about_a_task_names_it(bench: Bench) -> None:
    nodes = bench.nodes
    task_id, _ = begun(bench, "ok")
    nodes.ended(task_id)
    named = 0
    for index in range(nodes.count):
        for line in nodes.log(index):
            about = "job" in line or "entries" in line or "sha256" in line or "verdict" in line
            assert not about or "task" in line or "tasks" in line, line
            named += "task" in line
    assert named > 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_another_process_goes_on_with_a_task_whose_daemon_ended_in_the_middle(
    bench: Bench, number: signal.Signals
) -> None:
    """An upgrade in a hurry: the first process doesn't wait for the end of what it owes."""
    nodes = bench.nodes
    for index in range(nodes.count):
        config = nodes.home(index).config
        before = config.read_text()
        config.write_text(before.replace("drain_s = 30", "drain_s = 0"))
        if config.read_text() != before:
            assert nodes.stop(index) == 0
            nodes.start(index)
    task_id, prover = begun(bench, *SLOW)
    if number is signal.SIGTERM:
        assert nodes.stop(prover) == 0
    else:
        nodes.kill(prover)
    assert nodes.task(task_id).task.progress.status < TASK_STATUS_DONE
    nodes.start(prover)
    assert_done_at_the_first_attempt(nodes.ended(task_id), bench)
    assert nodes.seen(prover, f'"a proof was made".*"task": {task_id}|"task": {task_id}.*"a proof was made"')


def test_a_node_key_is_rotated_under_a_daemon_at_work(bench: Bench, tmp_path: Path) -> None:
    nodes = bench.nodes
    task_id, prover = begun(bench, *SLOW)
    operator, old = operator_key(prover), nodes.home(prover).node_key()
    KeyStore(tmp_path / "keys").add("operator", secret(operator.name), None)
    bench.send(ALICE, send(ALICE.address, operator.address, 20 * UMILL_A_MILL))
    done = run_mill(
        *("prover", "rotate-key", "--home", nodes.home(prover).root, "--keys-home", tmp_path, "--from", "operator"),
        *("-o", "json"),
    )
    assert done.returncode == 0, done.stderr
    new = nodes.home(prover).node_key()
    assert json.loads(done.stdout)["node"] == new.address != old.address
    assert_done_at_the_first_attempt(nodes.ended(task_id), bench)
    proved = next(row for row in nodes.task(task_id).assignments if row.prover == operator.address)
    assert proved.proved_height
    with nodes.node.lock:
        account = schema.ACCOUNTS.require(nodes.node.network.values, decode_address(new.address))
    # It submitted the proof.
    assert account.sequence >= 1
    assert nodes.seen(prover, '"the node key was rotated"')


def secret(name: str) -> PrivateKey:
    """The key of tests' people with this name."""
    return PrivateKey(hashlib.sha256(name.encode()).digest())


def test_a_daemon_whose_first_chain_nodes_are_dead_or_hang_works_with_the_next(bench: Bench) -> None:
    nodes = bench.nodes
    home = nodes.home(0)
    settings = home.settings()
    with socket.socket() as hanging:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen()
        urls = ["http://127.0.0.1:9", f"http://127.0.0.1:{hanging.getsockname()[1]}", *settings.chain.nodes]
        assert nodes.stop(0) == 0
        home.config.write_text(dump_settings(replace(settings, chain=replace(settings.chain, nodes=urls))))
        nodes.start(0)
        nodes.wait(lambda: (asyncio.run(ask_daemon(home.root)) or {}).get("chain_node") == urls[2], "the third is used")
        # All three are drawn as verifiers.
        assert_done_at_the_first_attempt(nodes.ended(bench.run(bench.behaving("ok"))), bench)
        daemon = asyncio.run(ask_daemon(home.root))
        assert daemon is not None
        assert [bool(one["problem"]) for one in daemon["chain_nodes"]] == [True, True, False]
        assert (daemon["status"], daemon["chain_node"]) == ("ok", urls[2])
        assert nodes.stop(0) == 0
    home.config.write_text(dump_settings(settings))
    nodes.start(0)


def test_a_machine_whose_clock_is_wrong_does_not_start(bench: Bench, tmp_path: Path) -> None:
    """The chain in memory lives in 2023."""
    node, done = MemoryNode(Network.start(make_genesis(1))), threading.Event()

    def make_blocks() -> None:
        while not done.wait(0.6):
            node.commit()

    with HttpNode(node) as server:
        there = bench.nodes.home(0).settings()
        settings = replace(
            there,
            chain=replace(there.chain, nodes=[server.url]),
            http=HttpSettings(listen="127.0.0.1:0", endpoints=["http://127.0.0.1:8700"]),
            clock=ClockSettings(refuse_s=60),
        )
        home = Home(tmp_path / "late")
        home.create(settings, PrivateKey.generate())
        making = threading.Thread(target=make_blocks)
        making.start()
        told = run_mill("prover", "start", "--home", home.root)
        done.set()
        making.join()
    assert told.returncode == 1
    assert "s ahead of the chain's: synchronise it" in told.stderr
    assert "starts once it is within 60 s" in told.stderr
    assert told.stderr.count("\n") == 1
