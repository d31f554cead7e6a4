"""Validators and provers are killed and restarted while tasks run: every task is paid, and all validators agree.

The tests of this file share one network and look at one history.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest
from proofmill.program.v1.state_pb2 import Image, ProgramSpec
from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import Input
from proofmill.task.v1.tx_pb2 import MsgRunTask, MsgRunTaskResponse
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, AUDIENCE_PROVER, Audience, Resources

from chain.program.ids import program_id
from client.life import status_label
from client.messages import deploy_program, run_task
from client.sdk import MillClient
from tests.support.behave_program import build_behave_image
from tests.support.localnet import (
    GROTH16,
    PATIENCE_S,
    Deployed,
    Localnet,
    deploy_groth16,
    eventually,
    require_comet,
    running_localnet,
)

VALIDATORS, PROVERS = 4, 5
SLOW_SECONDS: Final = 8
# The user's node; the others are killed.
SURVIVOR: Final = 3

pytestmark = pytest.mark.timeout(4 * PATIENCE_S)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localnet]:
    require_comet()
    home = tmp_path_factory.mktemp("crash") / "net"
    with running_localnet(home, validators=VALIDATORS, provers=PROVERS) as running:
        yield running


@pytest.fixture(scope="module")
def groth16(network: Localnet, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return deploy_groth16(network, tmp_path_factory.mktemp("groth16") / "built")


@pytest.fixture(scope="module")
def slow(network: Localnet, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The id of a program whose prover takes long enough to be killed at its work."""
    archive = build_behave_image(tmp_path_factory.mktemp("slow"))
    spec = make_spec(archive, network.publish(archive))

    async def deploy() -> None:
        async with MillClient(network.plan.rpc_url(SURVIVOR), signer=network.key("deployer")) as deployer:
            await deployer.submit(deploy_program(deployer.address, spec))

    asyncio.run(deploy())
    return program_id(spec)


def make_spec(archive: bytes, url: str) -> ProgramSpec:
    def image(*command: str) -> Image:
        digest = hashlib.sha256(archive).digest()
        return Image(urls=[url], sha256=digest, bytes=len(archive), command=["/behave", *command])

    resources = Resources(cpu_millis=500, memory_bytes=64 << 20)
    return ProgramSpec(
        name="slow",
        version="1",
        prover=image("slow", str(SLOW_SECONDS)),
        verifier=image("exit", "0"),
        default_resources=resources,
        max_resources=resources,
        verifier_resources=resources,
        verifier_time_limit_s=10,
    )


@dataclass(frozen=True)
class History:
    """What was asked for and what was done to the network meanwhile."""

    tasks: list[int]
    killed_prover: str
    interrupted: list[int]
    heights_while_down: tuple[int, int]


def submit(network: Localnet, messages: list[MsgRunTask]) -> list[int]:
    """Send runs in one transaction; the tasks' ids."""

    async def work() -> list[int]:
        async with MillClient(network.plan.rpc_url(SURVIVOR), signer=network.key("alice")) as alice:
            sent = await alice.wallet.send(messages)
            return [sent.response(MsgRunTaskResponse, index).task_id for index in range(len(messages))]

    return asyncio.run(work())


def real_run(network: Localnet, groth16: Deployed) -> MsgRunTask:
    def inline(name: str, audience: Audience) -> Input:
        data = (GROTH16 / "example" / name).read_bytes()
        return Input(name=name, inline=data, sha256=hashlib.sha256(data).digest(), size=len(data), audience=audience)

    inputs = [inline("public.json", AUDIENCE_BOTH), inline("witness.json", AUDIENCE_PROVER)]
    user = network.key("alice").address
    return run_task(user, bytes.fromhex(groth16.program_id), inputs, resources=None, time_limit_s=60, max_fee=1_000_000)


def slow_run(network: Localnet, slow: bytes) -> MsgRunTask:
    return run_task(network.key("alice").address, slow, [], resources=None, time_limit_s=60, max_fee=1_000_000)


@dataclass(frozen=True)
class Seen:
    """What the chain says of a task."""

    status: str
    reason: str
    prover: str
    drawn: list[str]
    fee: int
    paid: int

    @property
    def ended(self) -> bool:
        return self.status in {"DONE", "FAILED", "UNDECIDED", "UNSERVED"}


def look(network: Localnet, task_id: int) -> Seen:
    async def ask() -> QueryTaskResponse:
        async with MillClient(network.plan.rpc_url(SURVIVOR)) as client:
            return await client.task(task_id)

    answer = asyncio.run(ask())
    progress = answer.task.progress
    return Seen(
        status=status_label(progress.status),
        reason=progress.reason,
        prover=progress.prover,
        drawn=[assignment.prover for assignment in answer.assignments],
        fee=answer.task.task.fee,
        paid=sum(payout.ucredit for payout in progress.payouts),
    )


def container_started(network: Localnet, prover: str, task_id: int) -> bool:
    lines = network.layout.log(prover).read_text(errors="replace").splitlines()
    return any("a container starts" in line and f"job=prove-{task_id}-" in line for line in lines)


@pytest.fixture(scope="module")
def history(network: Localnet, groth16: Deployed, slow: bytes) -> History:
    tasks = submit(network, [slow_run(network, slow)] * 3 + [real_run(network, groth16)] * 2)
    slow_tasks = tasks[:3]
    by_operator = {network.key(f"prover{index}").address: f"prover{index}" for index in range(PROVERS)}
    first = slow_tasks[0]

    def has_begun() -> bool:
        task = look(network, first)
        return task.status == "RUNNING" and container_started(network, by_operator[task.prover], first)

    eventually(has_begun, "the slow program runs")
    victim = by_operator[look(network, first).prover]
    interrupted = [task_id for task_id in slow_tasks if container_started(network, victim, task_id)]
    network.kill(victim)
    network.kill("validator0")
    # Three of four go on.
    down = network.height(SURVIVOR)
    tasks += submit(network, [real_run(network, groth16), slow_run(network, slow)])
    network.reach(down + 3, range(SURVIVOR, SURVIVOR + 1))
    heights = down, network.height(SURVIVOR)
    network.revive()
    tasks += submit(network, [real_run(network, groth16)])

    # Again while the votes are cast, one after the other, so that three are always up.
    for validator in (1, 2):
        network.reach(network.height(SURVIVOR) + 1)
        network.kill(f"validator{validator}")
        network.revive()
    eventually(lambda: all(look(network, task_id).ended for task_id in tasks), "all tasks have ended")
    return History(tasks, victim, interrupted, heights)


def test_three_of_four_validators_go_on(history: History) -> None:
    before, after = history.heights_while_down
    assert after >= before + 3


def test_every_task_is_done_and_paid_in_full(history: History, network: Localnet) -> None:
    ended = [look(network, task_id) for task_id in history.tasks]
    assert [one.status for one in ended] == ["DONE"] * len(ended), f"{ended}\n{network.tails(60)}"
    assert all(one.paid == one.fee > 0 for one in ended)


def test_the_killed_prover_does_its_work_again_itself(history: History, network: Localnet) -> None:
    assert history.interrupted
    log = network.layout.log(history.killed_prover).read_text(errors="replace")
    for task_id in history.interrupted:
        task = look(network, task_id)
        assert task.drawn == [task.prover]
        assert log.count(f"job=prove-{task_id}-") >= 3  # started, started again, ended


def test_nothing_is_owed_at_the_end(history: History, network: Localnet) -> None:
    assert history.tasks
    for index in range(PROVERS):
        duties = network.ask_prover(index, "duties")
        assert (duties["assignments"], duties["votes"]) == ([], [])


def test_all_validators_have_the_same_app_hash_at_every_height(history: History, network: Localnet) -> None:
    assert history.tasks
    common = network.height(SURVIVOR)
    network.reach(common)
    for height in range(1, common + 1):
        hashes = {network.app_hash(validator, height) for validator in range(VALIDATORS)}
        assert len(hashes) == 1, f"height {height}"


def test_all_validators_answer_with_the_same_state(history: History, network: Localnet) -> None:
    height = network.height(SURVIVOR)
    network.reach(height)
    path = '"/proofmill.task.v1.Query/Task"'
    for task_id in history.tasks:
        request = f"0x08{task_id:02x}"
        answers = {
            str(network.rpc(validator, "abci_query", path=path, data=request, height=str(height))["response"]["value"])
            for validator in range(VALIDATORS)
        }
        assert len(answers) == 1


def test_every_process_runs(history: History, network: Localnet) -> None:
    assert history.tasks
    assert len(network.processes()) == 1 + VALIDATORS + PROVERS
