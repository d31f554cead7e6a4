"""A disk that is really full: nothing half-written is seen, nothing dies of it, and work goes on when it has room."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE

from client.messages import cancel_task
from prover_node.duties import FailureReason
from prover_node.home import Home, HomeInUse
from prover_node.incidents import read_incidents
from prover_node.journal import Journal, JournalFull
from prover_node.journal_entries import AssignmentEnded, WorkFailed
from prover_node.settings import Settings
from prover_node.storage import BlobStore
from prover_node.store_errors import DiskFull
from prover_node.task_files import TaskFiles
from tests.support.behave_program import build_behave
from tests.support.image_archives import file, image_config, oci_layout, tar
from tests.support.network import ALICE
from tests.support.prover_bench import Bench
from tests.support.prover_nodes import ProverNodes
from tests.support.small_disk import NoSmallDiskError, SmallDisk, small_disk

MIB = 1 << 20
RESERVE = 16 * MIB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        with small_disk(tmp_path / "disk", 8 * MIB) as mounted:
            yield mounted
    except NoSmallDiskError as error:
        pytest.skip(str(error))


def failed(task_id: int) -> WorkFailed:
    return WorkFailed(task_id, FailureReason.TIME_LIMIT, "x" * 256)


def entries(path: Path) -> list[int]:
    """Tasks of which a journal that is opened now knows."""
    journal = Journal(path)
    known = [entry.task_id for entry in journal.entries()]
    journal.close()
    return known


def test_the_journal_takes_a_thousand_results_more_than_there_is_room_for(disk: SmallDisk) -> None:
    path = disk.root / "journal"
    journal = Journal(path)
    disk.fill()
    for task_id in range(1000):
        journal.append(failed(task_id))
    journal.close()
    assert entries(path) == list(range(1000))


def test_a_journal_without_any_room_loses_nothing_and_goes_on_when_there_is_some(disk: SmallDisk) -> None:
    path = disk.root / "journal"
    journal = Journal(path)
    disk.fill()
    written = 0
    with pytest.raises(JournalFull, match="can't be written"):
        while True:
            journal.append(failed(written))
            written += 1
    assert entries(path) == list(range(written))
    with pytest.raises(JournalFull):
        journal.append(failed(written))
    disk.empty()
    journal.append(failed(written))
    journal.close()
    assert entries(path) == list(range(written + 1))


def test_a_journal_that_cannot_be_rewritten_on_a_full_disk_is_appended_to(disk: SmallDisk) -> None:
    path = disk.root / "journal"
    journal = Journal(path)
    journal.append(failed(0))
    disk.fill()
    for task_id in range(1, 1000):
        journal.append(failed(task_id))
        journal.append(AssignmentEnded(task_id))
    assert path.read_bytes().count(b"\n") > 1024
    disk.empty()
    for task_id in range(1000, 1600):
        journal.append(failed(task_id))
        journal.append(AssignmentEnded(task_id))
    assert path.read_bytes().count(b"\n") < 1024
    assert sorted(one.name for one in disk.root.iterdir()) == ["journal"]
    journal.close()
    assert entries(path) == [0]


async def test_a_download_for_which_the_disk_is_too_full_leaves_nothing(disk: SmallDisk) -> None:
    data = os.urandom(2 * MIB)
    digest = hashlib.sha256(data).hexdigest()
    store = BlobStore(disk.root / "blobs", 1 << 40)
    disk.fill(leave=MIB)
    with pytest.raises(DiskFull, match="bytes are to come, and only"):
        async with store.resume(digest, len(data)):
            pass
    disk.fill(leave=3 * MIB)
    with pytest.raises(DiskFull, match="No space left"):
        async with store.resume(digest, len(data)) as partial:
            partial.take_from("http://files", "")
            partial.write(data[:MIB])
            disk.fill()  # by somebody else
            partial.write(data[MIB:])
    with pytest.raises(DiskFull):
        async with store.receive(digest, len(data)):
            pass
    assert not [path for path in (disk.root / "blobs").rglob("*") if path.is_file()]
    disk.empty()
    async with store.resume(digest, len(data)) as partial:
        partial.take_from("http://files", "")
        partial.write(data)
    assert store.path(digest).read_bytes() == data


def test_what_is_known_of_a_task_is_whole_or_as_it_was(disk: SmallDisk) -> None:
    tasks = TaskFiles(disk.root / "tasks")
    tasks.save_logs(1, b"first", b"")
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        tasks.save_logs(1, b"second" * 1000, b"")
    with pytest.raises(OSError, match="No space left"):
        tasks.save_proof(1, "a" * 64)
    assert tasks.proof(1) is None
    log = tasks.log(1, "stdout")
    assert log is not None
    assert log.read_bytes() == b"first"
    assert sorted(path.name for path in log.parent.iterdir()) == ["stderr", "stdout"]


@pytest.fixture(scope="module")
def behave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layer = tar([file("behave", build_behave(tmp_path_factory.mktemp("behave")), 0o755)])
    path = tmp_path_factory.mktemp("image") / "image.tar"
    oci_layout(path, [layer], image_config([layer], {"Entrypoint": ["/behave"]}))
    return path


@pytest.fixture
def nodes(bwrap: Path, tmp_path: Path) -> Iterator[tuple[ProverNodes, SmallDisk]]:
    """Three daemons whose homes share one small disk, of which they keep 16 MiB free."""

    def change(settings: Settings) -> Settings:
        return replace(settings, store=replace(settings.store, reserve_bytes=RESERVE))

    try:
        with small_disk(tmp_path / "disk", 96 * MIB) as disk, ProverNodes(disk.root, configure=change) as started:
            yield started, disk
    except NoSmallDiskError as error:
        pytest.skip(str(error))


def health(nodes: ProverNodes, index: int) -> dict[str, object]:
    answer: dict[str, object] = httpx.get(f"http://127.0.0.1:{nodes.ports[index]}/health", trust_env=False).json()
    return answer


def test_daemons_decline_while_the_disk_is_full_and_go_on_when_it_is_not(
    nodes: tuple[ProverNodes, SmallDisk], behave: Path
) -> None:
    provers, disk = nodes
    bench = Bench(provers, behave)
    program = bench.behaving("ok")
    assert done(provers.ended(bench.run(program))), provers.tails()

    disk.fill(leave=RESERVE // 2)
    provers.wait(lambda: {health(provers, index)["status"] for index in range(3)} == {"disk full"}, "all say so")
    metrics = httpx.get(f"http://127.0.0.1:{provers.ports[0]}/metrics", trust_env=False).text
    assert re.search(r"^proofmill_prover_disk_free_bytes -\d", metrics, re.MULTILINE)
    since = {index: len(provers.log(index)) for index in range(3)}
    task_id = bench.run(program)
    declined = provers.first_to_log(r'"reason": "disk full: .*"event": "an offer is declined"', since)
    bench.send(ALICE, cancel_task(ALICE.address, task_id))
    provers.wait(lambda: any(one.kind == "declined" for one in read_incidents(provers.home(declined).incidents)), "why")

    disk.empty()
    provers.wait(lambda: {health(provers, index)["status"] for index in range(3)} == {"ok"}, "all are well")
    assert done(provers.ended(bench.run(program))), provers.tails()


def test_daemons_live_on_when_the_disk_fills_up_under_their_work(
    nodes: tuple[ProverNodes, SmallDisk], behave: Path
) -> None:
    provers, disk = nodes
    bench = Bench(provers, behave)
    program = bench.behaving("ok")
    assert done(provers.ended(bench.run(program))), provers.tails()

    since = {index: len(provers.log(index)) for index in range(3)}
    task_id = bench.run(bench.behaving("slow", "5"))
    prover = provers.first_to_log(r'"prove-.*"a container starts"', since)
    disk.fill()
    provers.wait(lambda: provers.task(task_id).assignments[0].reason != "", "the failure is on chain")
    # The proof finds no room, and nor does what the second try needs.
    assert provers.task(task_id).assignments[0].reason.startswith("prover error: ")
    assert not provers.seen(prover, '"a proof was made"', since=since[prover])
    provers.kill(prover)
    provers.start(prover)
    provers.wait(lambda: health_of(provers, prover) == "disk full", "it starts on a full disk, too")

    disk.empty()
    provers.wait(lambda: {health(provers, index)["status"] for index in range(3)} == {"ok"}, "all are well")
    assert not [path for path in disk.root.rglob(".*") if path.is_file()]
    assert not any(provers.seen(index, "Traceback") for index in range(3))
    assert done(provers.ended(bench.run(program))), provers.tails()


def health_of(nodes: ProverNodes, index: int) -> object:
    try:
        return health(nodes, index)["status"]
    except httpx.TransportError:
        return "down"


def done(answer: QueryTaskResponse) -> bool:
    return answer.task.progress.status == TASK_STATUS_DONE


def test_a_home_is_claimed_on_a_full_disk(disk: SmallDisk) -> None:
    home = Home(disk.root / "home")
    home.root.mkdir()
    home.lock().close()
    disk.fill()
    with home.lock(), pytest.raises(HomeInUse):
        home.lock()
