"""Slow, dead, lying and small nodes on a real network: who is paid, who is slashed, who is kept out.

One network for all; its tests run in the order of the file, since who is jailed by one isn't there for the next.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from proofmill.program.v1.state_pb2 import PROGRAM_STATUS_BLOCKED, Image, ProgramSpec
from proofmill.prover.v1.state_pb2 import (
    PROVER_STATUS_ACTIVE,
    PROVER_STATUS_JAILED,
    PROVER_STATUS_JOINING,
    TEST_RESULT_FAILED,
    Prover,
)
from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_CANCELLED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    PAYOUT_KIND_ELAPSED,
    PAYOUT_KIND_REFUND,
    SLASH_KIND_FAULT,
    SLASH_KIND_MINORITY,
    TASK_STATUS_CANCELLED,
    TASK_STATUS_DONE,
    TASK_STATUS_FAILED,
    TASK_STATUS_PENDING,
    TASK_STATUS_RUNNING,
    VERDICT_INVALID,
)
from proofmill.task.v1.tx_pb2 import MsgCancelTaskResponse, MsgRunTaskResponse
from proofmill.types.v1.types_pb2 import Resources

from chain.errors import NOT_CANCELLABLE
from chain.program.ids import program_id
from client.errors import TxRejected
from client.messages import cancel_task, deploy_program, run_task, update_params
from client.program.build import build
from client.sdk import MillClient
from prover_node.control import ask_daemon
from tests.support.behave_program import build_behave_image
from tests.support.liars import lie_from_now_on
from tests.support.localnet import (
    PATIENCE_S,
    Deployed,
    Localnet,
    deploy_groth16,
    eventually,
    require_comet,
    run_mill,
    running_localnet,
)

ROOT: Final = Path(__file__).resolve().parents[2]
PROVERS: Final = 8
LIAR, CONTRARIAN = 6, 7
SLOW_SECONDS: Final = 6
MIB: Final = 1 << 20
SMALL: Final = Resources(cpu_millis=200, memory_bytes=64 * MIB)

pytestmark = pytest.mark.timeout(4 * PATIENCE_S)


@pytest.fixture(scope="module")
def capacity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("capacity") / "built"
    build(ROOT / "programs" / "capacity", folder)
    return folder


@pytest.fixture(scope="module")
def network(capacity: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localnet]:
    require_comet()
    home = tmp_path_factory.mktemp("faults") / "net"
    with running_localnet(home, validators=1, provers=PROVERS, capacity=capacity) as running:
        set_params(running, transfer_allowance_ms=1_000, program_strikes_max=2)
        yield running


@pytest.fixture(scope="module", autouse=True)
def liars(network: Localnet) -> Iterator[list[subprocess.Popen[bytes]]]:
    """In the places of two honest provers: one that lies about its proofs, one about its verdicts."""
    started = [lie_from_now_on(network, index, lie) for index, lie in ((LIAR, "proof"), (CONTRARIAN, "verdict"))]
    try:
        yield started
    finally:
        for liar in started:
            liar.kill()
            liar.wait()


def set_params(network: Localnet, **values: int) -> None:
    async def send() -> None:
        async with MillClient(network.node, signer=network.key("authority")) as authority:
            params = await authority.params()
            for name, value in values.items():
                setattr(params, name, value)
            await authority.submit(update_params(authority.address, params))

    asyncio.run(send())


def ask(network: Localnet, question: Callable[[MillClient], Awaitable[Any]]) -> Any:
    """The answer to one question of a client that signs as alice."""

    async def work() -> Any:
        async with MillClient(network.node, signer=network.key("alice")) as alice:
            return await question(alice)

    return asyncio.run(work())


def task_of(network: Localnet, task_id: int) -> QueryTaskResponse:
    answer: QueryTaskResponse = ask(network, lambda alice: alice.task(task_id))
    return answer


def prover_of(network: Localnet, address: str) -> Prover:
    prover: Prover = ask(network, lambda alice: alice.prover(address))
    return prover


def wait_task(network: Localnet, task_id: int) -> QueryTaskResponse:
    answer: QueryTaskResponse = ask(network, lambda alice: alice.wait_task(task_id))
    return answer


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return build_behave_image(tmp_path_factory.mktemp("behave"))


@pytest.fixture(scope="module")
def groth16(network: Localnet, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return deploy_groth16(network, tmp_path_factory.mktemp("groth16") / "built")


def deploy(network: Localnet, image: bytes, name: str, *command: str) -> bytes:
    """A program whose prover does this and whose verifier accepts everything; its id."""
    url = network.publish(image)
    digest = hashlib.sha256(image).digest()
    spec = ProgramSpec(
        name=name,
        version="1",
        prover=Image(urls=[url], sha256=digest, bytes=len(image), command=["/behave", *command]),
        verifier=Image(urls=[url], sha256=digest, bytes=len(image), command=["/behave", "exit", "0"]),
        default_resources=SMALL,
        max_resources=Resources(cpu_millis=64_000, memory_bytes=64 * MIB),
        verifier_resources=SMALL,
        verifier_time_limit_s=10,
    )

    async def send() -> None:
        async with MillClient(network.node, signer=network.key("deployer")) as deployer:
            await deployer.submit(deploy_program(deployer.address, spec))

    asyncio.run(send())
    return program_id(spec)


def run(network: Localnet, program: bytes, count: int = 1, **changes: Any) -> list[int]:
    """Tasks of a program that needs no input; their ids."""
    options = {"resources": None, "time_limit_s": 10, "max_fee": 10**6} | changes

    async def send(alice: MillClient) -> list[int]:
        sent = await alice.wallet.send([run_task(alice.address, program, [], **options) for _ in range(count)])
        return [sent.response(MsgRunTaskResponse, index).task_id for index in range(count)]

    ids: list[int] = ask(network, send)
    return ids


def cancel(network: Localnet, task_id: int) -> int:
    """ucredit that the cancelling gave back."""

    async def send(alice: MillClient) -> int:
        sent = await alice.submit(cancel_task(alice.address, task_id))
        return sent.response(MsgCancelTaskResponse).refund

    refund: int = ask(network, send)
    return refund


def is_running(network: Localnet, task_id: int) -> bool:
    return bool(task_of(network, task_id).task.progress.status == TASK_STATUS_RUNNING)


def operator(network: Localnet, index: int) -> str:
    return network.key(f"prover{index}").address


def honest(network: Localnet) -> list[int]:
    return [index for index in range(PROVERS) if index not in (LIAR, CONTRARIAN)]


def add_prover(network: Localnet, cpu: str, memory: str) -> tuple[int, str]:
    """One more prover, whose test has begun; its number and its operator."""
    claim = ("--cpu", cpu, "--memory", memory)
    told = run_mill("localnet", "add-prover", "--home", network.layout.root, *claim, "-o", "json")
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout)
    return int(answer["name"].removeprefix("prover")), str(answer["operator"])


def test_a_joiner_that_claims_more_than_the_machine_has_is_not_admitted(network: Localnet) -> None:
    """Half the cores that it claims, or fewer: it works at its own pace, and is too late."""
    cores = str(2 * (os.cpu_count() or 1))
    index, address = add_prover(network, cores, "256MiB")
    eventually(lambda: prover_of(network, address).test_result != 0, "the test has ended", 60)
    prover = prover_of(network, address)
    assert (prover.status, prover.test_result) == (PROVER_STATUS_JOINING, TEST_RESULT_FAILED)
    told = network.ask_prover(index, "status")
    assert "failed its capacity test" in str(told)


def test_a_joiner_that_has_what_it_claims_is_admitted(network: Localnet) -> None:
    _, address = add_prover(network, "0.1", "160MiB")
    eventually(lambda: prover_of(network, address).status == PROVER_STATUS_ACTIVE, "it is admitted", 90)
    # Its proof was judged like any other.
    (task_id,) = [
        int(row["task"]["id"])
        for row in network.ask("task", "list")
        if row["task"]["test"] and row["progress"]["prover"] == address
    ]
    answer = task_of(network, task_id)
    assert answer.task.progress.status == TASK_STATUS_DONE
    assert answer.rounds[0].round.valid >= 4
    assert not answer.task.progress.payouts


def test_a_prover_that_dies_at_its_work_is_replaced_slashed_and_jailed(network: Localnet, image: bytes) -> None:
    program = deploy(network, image, "slow", "slow", str(SLOW_SECONDS))
    task_id, index = start_at_an_honest_prover(network, program)
    before = network.balances("alice")["ucredit"] + task_of(network, task_id).task.task.fee
    dead = operator(network, index)
    bond = prover_of(network, dead).bond
    # As when a machine loses power: the daemon, and with it the containers.
    network.kill(f"prover{index}")
    answer = wait_task(network, task_id)
    progress = answer.task.progress
    assert progress.status == TASK_STATUS_DONE, progress.reason
    assert progress.attempt == 2
    assert progress.fallback_reason == "the prover missed the deadline"
    late = {row.prover: row for row in answer.assignments}[dead]
    assert late.status == ASSIGNMENT_STATUS_TIMED_OUT
    assert progress.prover != dead
    fee = answer.task.task.fee
    assert before - network.balances("alice")["ucredit"] == fee - fee // 2
    (slash,) = [one for one in progress.slashes if one.kind == SLASH_KIND_FAULT]
    assert (slash.prover, slash.umill) == (dead, bond // 20)
    prover = prover_of(network, dead)
    assert (prover.status, prover.bond) == (PROVER_STATUS_JAILED, bond - bond // 20)
    told = network.mill("task", "show", str(task_id)).stdout
    assert "fallback" in told
    assert "slashed" in told


def start_at_an_honest_prover(network: Localnet, program: bytes) -> tuple[int, int]:
    """A task that one of them has accepted, and which; what others were drawn for is cancelled."""
    for _ in range(20):
        (task_id,) = run(network, program, time_limit_s=SLOW_SECONDS + 4)
        eventually(lambda: is_running(network, task_id), "a prover has accepted")  # noqa: B023  # called at once
        drawn = task_of(network, task_id).task.progress.prover
        for index in honest(network):
            if operator(network, index) == drawn:
                return task_id, index
        cancel(network, task_id)
    pytest.fail("no honest prover was ever drawn")


def test_a_prover_that_lies_is_found_out_and_pays_for_its_fallback(network: Localnet, groth16: Deployed) -> None:
    liar = operator(network, LIAR)
    bond = prover_of(network, liar).bond
    answer = first_drawn(network, groth16, liar)
    progress = answer.task.progress
    assert progress.fallback_reason == "the committee found the proof invalid"
    assert {row.prover: row.verdict for row in answer.assignments}[liar] == VERDICT_INVALID
    assert progress.status == TASK_STATUS_DONE, progress.reason
    prover = prover_of(network, liar)
    assert (prover.status, prover.bond) == (PROVER_STATUS_JAILED, bond - bond // 20)


def first_drawn(network: Localnet, program: Deployed, address: str) -> QueryTaskResponse:
    """A finished task of which this prover was the first: the draw can't be chosen, so there are many."""
    for _ in range(8):
        started = [
            network.ask(
                "run", "--program", program.program_id, *program.inputs(), "--time-limit", "20s", sender="alice"
            )
            for _ in range(3)
        ]
        for one in started:
            answer = wait_task(network, int(one["task_id"]))
            first = [row.prover for row in answer.assignments if row.attempt == 1 and row.proved_height]
            if first == [address]:
                return answer
    pytest.fail(f"{address} was never drawn\n{network.tails()}")


def test_a_verifier_that_votes_against_the_verdict_is_slashed_a_little(network: Localnet, groth16: Deployed) -> None:
    contrarian = operator(network, CONTRARIAN)
    lost = prover_of(network, contrarian).slashed_umill
    started = network.ask(
        *("run", "--program", groth16.program_id, *groth16.inputs(), "--time-limit", "20s"), sender="alice"
    )
    answer = wait_task(network, int(started["task_id"]))
    assert answer.task.progress.status == TASK_STATUS_DONE, answer.task.progress.reason
    seats = [vote for view in answer.rounds for vote in view.votes if vote.voter == contrarian]
    minority = [one for one in answer.task.progress.slashes if one.kind == SLASH_KIND_MINORITY]
    assert [one.prover for one in minority] == [contrarian] * len(seats)
    # Every task before had it in its committee as well, unless it was the prover.
    assert prover_of(network, contrarian).slashed_umill >= lost + sum(one.umill for one in minority)
    assert prover_of(network, contrarian).slashed_umill > 0


def test_a_program_that_never_ends_is_struck_and_blocked(network: Localnet, image: bytes) -> None:
    program = deploy(network, image, "endless", "sleep")
    for _ in range(8):
        (task_id,) = run(network, program, time_limit_s=2)
        answer = wait_task(network, task_id)
        assert answer.task.progress.status == TASK_STATUS_FAILED
        assert "the program is suspect" in answer.task.progress.reason
        assert not [one for one in answer.task.progress.slashes if one.kind == SLASH_KIND_FAULT]
        state = ask(network, lambda alice: alice.program(program.hex()))
        if state.status == PROGRAM_STATUS_BLOCKED:
            break
    # Two strikes by distinct provers: the draw may have taken one of them twice before.
    assert state.status == PROGRAM_STATUS_BLOCKED
    assert len({strike.prover for strike in state.strikes}) == 2
    refused = network.mill("run", "--program", program.hex(), "--time-limit", "2s", sender="alice")
    assert refused.returncode == 4
    assert "blocked" in refused.stderr


def test_cancelling_is_free_while_nobody_can_do_it(network: Localnet, image: bytes) -> None:
    program = deploy(network, image, "giant", "ok")
    before = network.balances("alice")["ucredit"]
    (task_id,) = run(network, program, resources=Resources(cpu_millis=64_000, memory_bytes=64 * MIB))
    assert task_of(network, task_id).task.progress.status == TASK_STATUS_PENDING
    cancel(network, task_id)
    assert task_of(network, task_id).task.progress.status == TASK_STATUS_CANCELLED
    assert network.balances("alice")["ucredit"] == before


def test_cancelling_an_offer_is_free_and_no_miss(
    network: Localnet, liars: list[subprocess.Popen[bytes]], image: bytes
) -> None:
    program = deploy(network, image, "unanswered", "ok")
    pids = [record.pid for name, record in network.processes().items() if name.startswith("prover")]
    pids += [liar.pid for liar in liars]
    # So that nobody answers the offer.
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        (task_id,) = run(network, program)
        refund = cancel(network, task_id)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    answer = task_of(network, task_id)
    assert refund == answer.task.task.fee
    # On a machine so busy that an offer expired meanwhile, there was another.
    (offer,) = [row for row in answer.assignments if row.status == ASSIGNMENT_STATUS_CANCELLED]
    assert not prover_of(network, offer.prover).misses_ms


def test_cancelling_running_work_pays_the_elapsed_share_and_ends_the_container(network: Localnet, image: bytes) -> None:
    program = deploy(network, image, "long", "slow", "300")
    (task_id,) = run(network, program, time_limit_s=600, max_fee=10**7)
    eventually(lambda: is_running(network, task_id), "a prover has accepted")
    refund = cancel(network, task_id)
    answer = task_of(network, task_id)
    progress, fee = answer.task.progress, answer.task.task.fee
    paid = {payout.kind: payout.ucredit for payout in progress.payouts}
    assert paid.get(PAYOUT_KIND_ELAPSED, 0) + paid[PAYOUT_KIND_REFUND] == fee
    assert (paid[PAYOUT_KIND_REFUND], progress.status) == (refund, TASK_STATUS_CANCELLED)
    assert refund > fee * 9 // 10
    worker = next(row.prover for row in answer.assignments if row.accepted_height)
    index = next(index for index in range(PROVERS) if operator(network, index) == worker)
    eventually(lambda: str(task_id) not in working_on(network, index), "its container is gone")


def working_on(network: Localnet, index: int) -> dict[str, str]:
    daemon = asyncio.run(ask_daemon(Path(network.layout.prover(index))))
    assert daemon is not None, f"prover{index} doesn't answer"
    return {str(one["task_id"]): one["phase"] for one in daemon["assignments"]}


def test_a_proved_task_is_too_late_to_cancel(network: Localnet, image: bytes) -> None:
    program = deploy(network, image, "quick", "ok")
    (task_id,) = run(network, program)
    wait_task(network, task_id)
    with pytest.raises(TxRejected) as refused:
        cancel(network, task_id)
    assert (refused.value.codespace, refused.value.code) == (NOT_CANCELLABLE.codespace, NOT_CANCELLABLE.code)
