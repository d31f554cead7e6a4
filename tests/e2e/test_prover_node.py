"""Prover daemons as processes: killed in every step of their work, and faced with everything that goes wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from proofmill.program.v1.state_pb2 import Image
from proofmill.task.v1 import state_pb2 as task_state
from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import Input, Proof
from proofmill.task.v1.tx_pb2 import MsgAcceptTasks, MsgSubmitProofs, ProofEntry
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, AUDIENCE_PROVER

from client.messages import cancel_task
from client.registry_image import registry_image
from prover_node.incidents import read_incidents
from tests.support.behave_program import build_behave
from tests.support.docker_registry import DockerRegistry, NoRegistryError, docker_registry
from tests.support.engine import Engine
from tests.support.groth16 import Groth16, build_groth16
from tests.support.image_archives import directory, file, image_config, link, oci_layout, special, tar
from tests.support.network import ALICE, node_key
from tests.support.prover_bench import Bench
from tests.support.prover_nodes import ProverNodes

MIB = 1 << 20
ROGUE = 3


def inline(name: str, data: bytes, audience: int = AUDIENCE_BOTH) -> Input:
    digest = hashlib.sha256(data).digest()
    return Input(name=name, inline=data, sha256=digest, size=len(data), audience=audience)  # type: ignore[arg-type]


def verdict(answer: QueryTaskResponse) -> str:
    return task_state.Verdict.Name(answer.task.progress.verdict).removeprefix("VERDICT_")


def sandboxes(nodes: ProverNodes) -> list[int]:
    """Processes in the containers of these daemons."""
    return [pid for index in range(nodes.count) for pid in nodes.contained(index)]


def first_verdict(answer: QueryTaskResponse) -> str:
    """On the first attempt's proof."""
    return task_state.Verdict.Name(answer.assignments[0].verdict).removeprefix("VERDICT_")


def status(answer: QueryTaskResponse) -> str:
    return task_state.TaskStatus.Name(answer.task.progress.status).removeprefix("TASK_STATUS_")


@pytest.fixture(scope="module")
def behave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layer = tar([file("behave", build_behave(tmp_path_factory.mktemp("behave")), 0o755)])
    path = tmp_path_factory.mktemp("image") / "image.tar"
    oci_layout(path, [layer], image_config([layer], {"Entrypoint": ["/behave"]}))
    return path


@pytest.fixture(scope="module")
def groth16(tmp_path_factory: pytest.TempPathFactory) -> Groth16:
    return build_groth16(tmp_path_factory.mktemp("groth16"))


@pytest.fixture(scope="module")
def bench(bwrap: Path, behave: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with ProverNodes(tmp_path_factory.mktemp("provers")) as nodes:
        yield Bench(nodes, behave)


@pytest.fixture(scope="module")
def rogue_bench(bwrap: Path, behave: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Beside the daemons a prover that the test plays; as it never votes, it must be every task's prover."""
    # Short enough to be waited for: verifiers try to get a proof until the window closes.
    with ProverNodes(tmp_path_factory.mktemp("beside-a-rogue"), rogues=1, commit_window_ms=60_000) as nodes:
        yield Bench(nodes, behave)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    try:
        with docker_registry(tmp_path_factory.mktemp("registry")) as started:
            yield started
    except NoRegistryError as error:
        pytest.skip(str(error))


def real_task(bench: Bench, groth16: Groth16, folder: Path) -> tuple[bytes, tuple[Input, ...]]:
    """The reference program, deployed, and inputs for it."""
    program = groth16.program
    program_id = bench.deploy(
        bench.image(groth16.directory / program.prover.file, *program.prover.command),
        bench.image(groth16.directory / program.verifier.file, *program.verifier.command),
    )
    made = groth16.make_inputs(folder)
    public = inline("public.json", (made / "public.json").read_bytes())
    return program_id, (public, inline("witness.json", (made / "witness.json").read_bytes(), AUDIENCE_PROVER))


STEPS = [
    r'"prove-.*"a container starts"',
    r'"a proof was made"',
    r'"accept \d+"',
    r'"proof \d+"',
    r'"verify-.*"a container starts"',
    r'"a verdict was reached"',
    r'"commit \d+"',
    r'"reveal \d+"',
]


def test_a_daemon_killed_in_any_step_goes_on_where_it_was(bench: Bench, groth16: Groth16, tmp_path: Path) -> None:
    nodes = bench.nodes
    program_id, inputs = real_task(bench, groth16, tmp_path)
    for step in STEPS:
        since = {index: len(nodes.log(index)) for index in range(nodes.count)}
        task_id = bench.run(program_id, *inputs)

        victim = nodes.first_to_log(step, since)
        nodes.kill(victim)
        nodes.start(victim)
        answer = nodes.ended(task_id)
        assert (status(answer), verdict(answer)) == ("DONE", "VALID"), f"{step}: {answer}\n{nodes.tails()}"
        votes = answer.rounds[0].votes
        assert all(vote.revealed_height for vote in votes), f"{step}: {answer}\n{nodes.tails()}"
        assert len(answer.rounds) == 1
    assert sandboxes(bench.nodes) == []


COMMIT_STEPS = [r'"a proof was made"', r'"proof commit \d+"', r'"proof \d+"']


def test_a_daemon_killed_between_commit_and_reveal_reveals(bench: Bench) -> None:
    nodes = bench.nodes
    program_id = bench.behaving("ok")
    for step in COMMIT_STEPS:
        since = {index: len(nodes.log(index)) for index in range(nodes.count)}
        task_id = bench.run(program_id, redundancy=2)
        victim = nodes.first_to_log(step, since)
        nodes.kill(victim)
        nodes.start(victim)
        answer = nodes.ended(task_id)
        assert (status(answer), verdict(answer)) == ("DONE", "VALID"), f"{step}: {answer}\n{nodes.tails()}"
        revealed = [one for one in answer.assignments if one.status == task_state.ASSIGNMENT_STATUS_PROVED]
        assert revealed
        assert all(one.commitment and one.committed_height < one.proved_height for one in revealed)


def test_a_cancelled_task_is_killed_where_it_runs_and_told_to_the_operator(bench: Bench) -> None:
    nodes = bench.nodes
    since = {index: len(nodes.log(index)) for index in range(nodes.count)}
    task_id = bench.run(bench.behaving("sleep"), time_limit_s=600)
    prover = nodes.first_to_log(r'"prove-.*"a container starts"', since)
    nodes.wait(lambda: sandboxes(nodes) != [], "the container runs")
    bench.send(ALICE, cancel_task(ALICE.address, task_id))
    nodes.wait(lambda: sandboxes(nodes) == [], "the container is gone")
    assert status(nodes.task(task_id)) == "CANCELLED"

    def told() -> bool:
        incidents = read_incidents(nodes.home(prover).incidents)
        return any(one.kind == "cancelled" and one.task_id == task_id for one in incidents)

    nodes.wait(told, "the operator is told")


@pytest.mark.parametrize(
    ("command", "reason", "detail"),
    [
        (("exit", "3"), "exit code", "exited with code 3"),
        (("nothing",), "bad output", "no file"),
        (("odd-output",), "bad output", "hard link"),
        (("fill",), "bad output", ""),
        (("memory",), "out of memory", ""),
        (("sleep",), "time limit", ""),
        (("nonsense",), "exit code", "exited with code 9"),
    ],
)
def test_a_program_that_fails_ends_its_task_with_the_reason(
    bench: Bench, command: tuple[str, ...], reason: str, detail: str
) -> None:
    answer = bench.nodes.ended(bench.run(bench.behaving(*command), time_limit_s=5))
    told = answer.task.progress.reason.lower().replace("_", " ")
    assert status(answer) == "FAILED"
    assert reason in told, told
    assert detail in told, told


@pytest.mark.parametrize(
    ("verifier", "ended"),
    [(("exit", "1"), ("FAILED", "INVALID")), (("exit", "7"), ("UNDECIDED", "UNSPECIFIED"))],
)
def test_the_verifiers_exit_code_is_the_vote(bench: Bench, verifier: tuple[str, ...], ended: tuple[str, str]) -> None:
    answer = bench.nodes.ended(bench.run(bench.behaving("ok", verifier=verifier)))
    assert status(answer) == ended[0]
    assert verdict(answer) in (ended[1], "INCONCLUSIVE")


def test_an_image_with_another_hash_is_never_run(bench: Bench) -> None:
    image = bench.image(bench.behave, "/behave", "ok")
    wrong = Image()
    wrong.CopyFrom(image)
    wrong.sha256 = hashlib.sha256(b"another image").digest()
    answer = bench.nodes.ended(bench.run(bench.deploy(wrong, image)))
    assert status(answer) == "FAILED"
    assert "image can't be fetched" in answer.task.progress.reason


def test_images_come_from_a_registry(bench: Bench, groth16: Groth16, registry: DockerRegistry, tmp_path: Path) -> None:
    program = groth16.program
    prover = bench.registry_image(registry, groth16.directory / program.prover.file, "groth16/prover")
    verifier = bench.registry_image(registry, groth16.directory / program.verifier.file, "groth16/verifier")
    url, deployed = registry_image(program.prover, groth16.directory, f"oci://{registry.address}/groth16/prover")
    assert (url, deployed.sha256, deployed.bytes) == (prover.urls[0], prover.sha256.hex(), prover.bytes)
    program_id = bench.deploy(prover, verifier)
    _, inputs = real_task(bench, groth16, tmp_path)
    answer = bench.nodes.ended(bench.run(program_id, *inputs))
    assert (status(answer), verdict(answer)) == ("DONE", "VALID"), bench.nodes.tails()


def test_an_image_that_the_registry_does_not_have_is_reported(bench: Bench, registry: DockerRegistry) -> None:
    image = bench.registry_image(registry, bench.behave, "here", "/behave", "ok")
    missing = Image()
    missing.CopyFrom(image)
    missing.urls[0] = image.urls[0].replace("/here@", "/elsewhere@")
    answer = bench.nodes.ended(bench.run(bench.deploy(missing, image)))
    assert status(answer) == "FAILED"
    assert "image can't be fetched" in answer.task.progress.reason


def test_an_archive_that_is_no_image_is_reported(bench: Bench, tmp_path: Path) -> None:
    junk = tmp_path / "junk.tar"
    junk.write_bytes(b"not a tar at all")
    answer = bench.nodes.ended(bench.run(bench.deploy(bench.image(junk, "/x"), bench.image(bench.behave, "/behave"))))
    assert status(answer) == "FAILED"
    assert "image" in answer.task.progress.reason


def test_an_input_with_another_hash_is_reported(bench: Bench) -> None:
    url, digest = bench.nodes.publish(b"some input")
    wrong = Input(name="a", urls=[url], sha256=digest[::-1], size=10, audience=AUDIENCE_BOTH)
    answer = bench.nodes.ended(bench.run(bench.behaving("ok"), wrong))
    assert (status(answer), answer.task.progress.reason) == ("FAILED", "no prover could get the input")
    assert sorted(assignment.attempt for assignment in answer.assignments) == [1, 2]
    assert all("input a can't be fetched" in assignment.reason for assignment in answer.assignments)


HOSTILE = {
    "a path that escapes": tar([file("../escape", b"x")]),
    "an absolute path": tar([file("/etc/passwd", b"x")]),
    "a symbolic link": tar([file("a", b"x"), link("proof", "/etc/passwd")]),
    "a device": tar([file("a", b"x"), special("null", b"3")]),
    "another owner or time": tar([directory("d"), file("d/proof", b"x")]),
    "no tar": b"garbage" * 1000,
    "nothing": bytes(1024),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_bundle_is_voted_invalid(rogue_bench: Bench, what: str) -> None:
    url, digest = rogue_bench.nodes.publish(HOSTILE[what])
    answer = rogue_proof(rogue_bench, Proof(sha256=digest, size=len(HOSTILE[what]), urls=[url]))
    assert (status(answer), first_verdict(answer)) == ("UNSERVED", "INVALID")


def test_a_bundle_larger_than_any_proof_is_voted_invalid_without_fetching_it(rogue_bench: Bench) -> None:
    answer = rogue_proof(rogue_bench, Proof(sha256=bytes(32), size=1 << 34, urls=["http://127.0.0.1:9/bomb"]))
    assert (status(answer), first_verdict(answer)) == ("UNSERVED", "INVALID")


def test_a_proof_that_nobody_can_fetch_is_not_judged(rogue_bench: Bench) -> None:
    answer = rogue_proof(rogue_bench, Proof(sha256=bytes(32), size=2048, urls=["http://127.0.0.1:9/gone"]))
    assert status(answer) == "UNDECIDED"


def rogue_proof(bench: Bench, proof: Proof) -> QueryTaskResponse:
    """The end of a task whose prover, the only one with 8 cores, submits ``proof``: so there is no fallback."""
    rogue = node_key(ROGUE)
    task_id = bench.run(bench.behaving("ok"), cpu_millis=8_000, queue_timeout_s=5)
    bench.nodes.wait(
        lambda: bench.nodes.task(task_id).task.progress.status == task_state.TASK_STATUS_OFFERED, "the rogue is drawn"
    )
    bench.send(rogue, MsgAcceptTasks(node=rogue.address, task_ids=[task_id]))
    bench.send(rogue, MsgSubmitProofs(node=rogue.address, entries=[ProofEntry(task_id=task_id, proof=proof)]))
    return bench.nodes.ended(task_id)


def test_a_daemon_that_is_told_to_stop_finishes_what_it_owes(bench: Bench, groth16: Groth16, tmp_path: Path) -> None:
    nodes = bench.nodes
    program_id, inputs = real_task(bench, groth16, tmp_path)
    since = {index: len(nodes.log(index)) for index in range(nodes.count)}
    task_id = bench.run(program_id, *inputs)
    prover = nodes.first_to_log(r'"prove-.*"a container starts"', since)
    assert nodes.stop(prover) == 0
    assert status(nodes.task(task_id)) == "DONE"
    nodes.start(prover)


def test_a_daemon_stops_at_once_when_it_owes_nothing(bench: Bench) -> None:
    assert bench.nodes.stop(0) == 0
    assert bench.nodes.log(0)[-1]["event"] == "stopped"
    bench.nodes.start(0)


def test_a_chain_node_that_goes_away_is_asked_again_when_it_is_back(bench: Bench) -> None:
    since = len(bench.nodes.log(0))
    bench.nodes.http.drop_connections()
    answer = bench.nodes.ended(bench.run(bench.behaving("ok")))
    assert status(answer) == "DONE", bench.nodes.tails()
    assert not bench.nodes.seen(0, "Traceback", since=since)


def test_daemons_work_with_a_container_engine_too(docker_engine: Engine, behave: Path, tmp_path: Path) -> None:
    with ProverNodes(tmp_path, docker_url=docker_engine.url) as nodes:
        bench = Bench(nodes, behave)
        answer = nodes.ended(bench.run(bench.behaving("ok")))
        assert (status(answer), verdict(answer)) == ("DONE", "VALID"), nodes.tails()
        failed = nodes.ended(bench.run(bench.behaving("exit", "3")))
        assert "exited with code 3" in failed.task.progress.reason
