"""What becomes of bad programs and bad files on a real network: a clear reason on chain, and nobody slashed for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import pytest
from proofmill.program.v1.state_pb2 import Asset, Image, ProgramSpec
from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import (
    PAYOUT_KIND_BURN,
    PAYOUT_KIND_REFUND,
    SLASH_KIND_FAULT,
    TASK_STATUS_DONE,
    TASK_STATUS_FAILED,
    TASK_STATUS_UNDECIDED,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    Input,
    TaskStatus,
)
from proofmill.task.v1.tx_pb2 import MsgRunTask, MsgRunTaskResponse
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, Resources

from chain.program.ids import program_id
from client.messages import deploy_program, run_task
from client.sdk import MillClient, TaskLogs
from tests.support.behave_program import build_behave_image
from tests.support.image_archives import docker_archive, file, image_config, tar
from tests.support.localnet import PATIENCE_S, Localnet

MIB: Final = 1 << 20
MAX_FEE: Final = 1_000
LOG_BYTES: Final = 1 << 20

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


@dataclass(frozen=True)
class Bad:
    """What a program does when it proves and when it verifies, and what the task must come to.

    `reason`: why the first prover failed, or why the task ended where there was no fallback.
    """

    name: str
    prover: tuple[str, ...]
    reason: str
    status: TaskStatus = TASK_STATUS_FAILED
    verifier: tuple[str, ...] = ("exit", "0")
    time_limit_s: int = 20
    verifier_time_limit_s: int = 10
    cpu_millis: int = 500
    memory_bytes: int = 96 * MIB
    image: str = "behave"
    image_lies: bool = False
    image_shrinks: bool = False
    asset_lies: bool = False
    input_lies: bool = False
    input_missing: bool = False

    @property
    def resources(self) -> Resources:
        return Resources(cpu_millis=self.cpu_millis, memory_bytes=self.memory_bytes)


BAD: Final = (
    Bad("exits-non-zero", ("exit", "7"), "exit code: the program exited with code 7"),
    Bad("writes-nothing", ("nothing",), "bad output"),
    # Output is kept in memory until the program ends, and counts as the program's.
    Bad("writes-too-much", ("fill",), "bad output: the program wrote more output than it may", memory_bytes=512 * MIB),
    Bad("writes-too-many-files", ("many-files",), "bad output: the program wrote more output than it may"),
    Bad("writes-a-hole", ("sparse",), "bad output"),
    Bad("sleeps", ("sleep",), "time limit", time_limit_s=2),
    # Whether the crowd meets its limit on time or on memory first: the prover says so before its own deadline.
    Bad("forks-forever", ("bomb",), "the prover reported a failure", time_limit_s=3, cpu_millis=200),
    Bad("fills-memory", ("memory",), "out of memory: the program used more memory than it may"),
    # It goes on if it is refused everything, and then has written nothing.
    Bad("tries-the-network", ("escape",), "bad output"),
    Bad("prints-without-end", ("print",), "bad output"),
    Bad("prints-a-gibibyte", ("print-much", "1024"), "bad output"),
    Bad("leaves-names-that-are-no-text", ("odd-names",), "bad output: the path "),
    Bad("leaves-links", ("links-out",), "bad output: "),
    Bad("is-not-there", ("no-such-mode",), "exit code: the program exited with code 9"),
    Bad("image-is-another", ("ok",), "image unavailable", image_lies=True),
    Bad("image-is-larger-than-it-says", ("ok",), "image unavailable", image_shrinks=True),
    Bad("image-is-none", ("ok",), "image unavailable: the image is not an uncompressed tar archive", image="junk"),
    Bad("image-is-for-another-cpu", ("ok",), "image unavailable: the image is for linux/s390x", image="foreign"),
    Bad("image-lacks-the-command", ("ok",), "image unavailable: the image's command can't be executed", image="empty"),
    Bad("asset-is-another", ("ok",), "image unavailable", asset_lies=True),
    Bad("input-is-another", ("ok",), "input unavailable", input_lies=True),
    Bad("input-is-nowhere", ("ok",), "input unavailable", input_missing=True),
    Bad("proof-is-invalid", ("ok",), "found the proof invalid", verifier=("verify",)),
    Bad("verifier-crashes", ("ok",), "to a verdict", TASK_STATUS_UNDECIDED, verifier=("exit", "3")),
    Bad("verifier-runs-wild", ("ok",), "to a verdict", TASK_STATUS_UNDECIDED, verifier=("memory",)),
    Bad(
        "verifier-sleeps", ("ok",), "to a verdict", TASK_STATUS_UNDECIDED, verifier=("sleep",), verifier_time_limit_s=1
    ),
    # A program can know the time whatever a runner does, so what it makes of that is its own responsibility.
    Bad("verifier-watches-the-clock", ("ok",), "found the proof valid", TASK_STATUS_DONE, verifier=("clock",)),
    Bad("nothing-is-bad", ("ok",), "found the proof valid", TASK_STATUS_DONE),
)
# Those whose words are looked at.
TALKERS: Final = ("tries-the-network", "prints-without-end")
NAMES: Final = [bad.name for bad in BAD]


@dataclass(frozen=True)
class Outcomes:
    """How each case's task ended, what the talkers said, and what all of it cost the user."""

    tasks: dict[str, QueryTaskResponse] = field(default_factory=dict)
    logs: dict[str, TaskLogs] = field(default_factory=dict)
    spent: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def outcomes(small_localnet: Localnet, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """All cases at once: what one of them does must not touch the others."""
    images = make_images(tmp_path_factory.mktemp("bad"))
    return asyncio.run(run_all(small_localnet, images))


def make_images(folder: Path) -> dict[str, bytes]:
    """The program's image, and some that are none of it."""
    layer = tar([file("motd", b"hello")])
    paths = {name: folder / f"{name}.tar" for name in ("foreign", "empty")}
    docker_archive(paths["foreign"], [layer], image_config([layer], {}, architecture="s390x"))
    docker_archive(paths["empty"], [layer], image_config([layer], {}))
    made = {name: path.read_bytes() for name, path in paths.items()}
    return made | {"behave": build_behave_image(folder), "junk": b"no image" * 1000}


async def run_all(network: Localnet, images: dict[str, bytes]) -> Outcomes:
    specs = {bad.name: make_spec(bad, images, network) for bad in BAD}
    async with MillClient(network.node, signer=network.key("deployer")) as deployer:
        await deployer.wallet.send([deploy_program(deployer.address, spec) for spec in specs.values()])
    outcomes = Outcomes()
    async with MillClient(network.node, signer=network.key("alice")) as alice:
        before = (await alice.balances(alice.address))["ucredit"]
        runs = [make_run(alice.address, bad, specs[bad.name], network) for bad in BAD]
        sent = await alice.wallet.send(runs)
        ids = [sent.response(MsgRunTaskResponse, index).task_id for index in range(len(BAD))]
        ended = await asyncio.gather(*(alice.wait_task(one) for one in ids))
        outcomes.spent.append(before - (await alice.balances(alice.address))["ucredit"])
        for bad, task_id, answer in zip(BAD, ids, ended, strict=True):
            outcomes.tasks[bad.name] = answer
            if bad.name in TALKERS:
                outcomes.logs[bad.name] = await alice.task_logs(task_id)
    return outcomes


def make_spec(bad: Bad, images: dict[str, bytes], network: Localnet) -> ProgramSpec:
    def container(name: str, command: Sequence[str]) -> Image:
        image = images[name]
        digest = hashlib.sha256(b"something else" if bad.image_lies else image).digest()
        size = len(image) // 2 if bad.image_shrinks else len(image)
        return Image(urls=[network.publish(image)], sha256=digest, bytes=size, command=["/behave", *command])

    assets = []
    if bad.asset_lies:
        url = network.publish(images["junk"])
        claimed = hashlib.sha256(b"a proving key").digest()
        assets.append(Asset(name="key", urls=[url], sha256=claimed, bytes=len(images["junk"]), audience=AUDIENCE_BOTH))
    return ProgramSpec(
        name=bad.name,
        version="1",
        prover=container(bad.image, bad.prover),
        verifier=container("behave", bad.verifier),
        assets=assets,
        default_resources=bad.resources,
        max_resources=bad.resources,
        verifier_resources=bad.resources,
        verifier_time_limit_s=bad.verifier_time_limit_s,
    )


def make_run(user: str, bad: Bad, spec: ProgramSpec, network: Localnet) -> MsgRunTask:
    # Of its own for each task: what a prover has under its hash already, it doesn't fetch again.
    content = f"the statement of {bad.name}".encode()
    public = Input(name="public", sha256=hashlib.sha256(content).digest(), size=len(content), audience=AUDIENCE_BOTH)
    if bad.input_lies or bad.input_missing:
        found_there = spec.prover.sha256 if bad.input_lies else public.sha256
        public.urls.append(f"{network.plan.blob_url}/blobs/{found_there.hex()}")
    else:
        public.inline = content
    return run_task(
        user, program_id(spec), [public], resources=bad.resources, time_limit_s=bad.time_limit_s, max_fee=MAX_FEE
    )


@pytest.mark.parametrize("bad", BAD, ids=NAMES)
def test_it_ends_as_it_should_and_says_why(outcomes: Outcomes, small_localnet: Localnet, bad: Bad) -> None:
    progress = outcomes.tasks[bad.name].task.progress
    ended = TaskStatus.Name(progress.status), progress.reason
    assert ended[0] == TaskStatus.Name(bad.status), f"{ended}\n{small_localnet.tails(40)}"
    assert bad.reason in (progress.fallback_reason or progress.reason)


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.status == TASK_STATUS_FAILED], ids=lambda bad: bad.name)
def test_the_fallback_fails_too_and_nobody_is_blamed_but_the_program(outcomes: Outcomes, bad: Bad) -> None:
    answer = outcomes.tasks[bad.name]
    progress = answer.task.progress
    assert progress.attempt == 2
    assert len({row.prover for row in answer.assignments}) == 2
    if bad.reason == "input unavailable":
        assert progress.reason == "no prover could get the input"
    else:
        assert "the fallback failed too, so the program is suspect" in progress.reason
    assert not [slash for slash in progress.slashes if slash.kind == SLASH_KIND_FAULT]


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.status != TASK_STATUS_DONE], ids=lambda bad: bad.name)
def test_the_user_gets_what_is_due(outcomes: Outcomes, small_localnet: Localnet, bad: Bad) -> None:
    """Half at the fallback; the rest if nobody knows whose fault it was, or if nobody could get the input."""
    view = outcomes.tasks[bad.name].task
    fee = view.task.fee
    half = fee // 2
    refunds = [payout for payout in view.progress.payouts if payout.kind == PAYOUT_KIND_REFUND]
    assert {payout.recipient for payout in refunds} == {small_localnet.key("alice").address}
    paid = sum(payout.ucredit for payout in refunds)
    if bad.status == TASK_STATUS_UNDECIDED:
        assert paid == fee
    elif bad.reason == "input unavailable":
        assert paid == fee - fee * 200 // 10_000
    else:
        assert paid == half
        (burn,) = [payout for payout in view.progress.payouts if payout.kind == PAYOUT_KIND_BURN]
        assert burn.ucredit == fee - half


def test_the_user_paid_what_did_not_come_back(outcomes: Outcomes) -> None:
    kept = 0
    for answer in outcomes.tasks.values():
        payouts = answer.task.progress.payouts
        refunded = sum(payout.ucredit for payout in payouts if payout.kind == PAYOUT_KIND_REFUND)
        kept += answer.task.task.fee - refunded
    assert outcomes.spent == [kept]


def test_the_network_was_out_of_reach(outcomes: Outcomes) -> None:
    # The program names what it could do that it must not.
    assert outcomes.logs["tries-the-network"] == TaskLogs("", "")


def test_no_more_than_a_mebibyte_of_words_is_kept(outcomes: Outcomes) -> None:
    logs = outcomes.logs["prints-without-end"]
    assert (len(logs.stdout), len(logs.stderr)) == (LOG_BYTES, LOG_BYTES)


def test_nothing_of_a_wrong_image_or_input_is_run(outcomes: Outcomes, small_localnet: Localnet) -> None:
    refused = {outcomes.tasks[bad.name].task.task.id for bad in BAD if bad.image_lies or bad.input_lies}
    logs = "".join(
        small_localnet.layout.log(f"prover{index}").read_text() for index in range(small_localnet.plan.provers)
    )
    started = [line for line in logs.splitlines() if "a container starts" in line]
    assert started
    assert not [line for line in started for task_id in refused if f"prove-{task_id}-" in line]


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("proof-is-invalid", VERDICT_INVALID),
        ("verifier-crashes", VERDICT_INCONCLUSIVE),
        ("verifier-runs-wild", VERDICT_INCONCLUSIVE),
        ("verifier-sleeps", VERDICT_INCONCLUSIVE),
    ],
)
def test_the_committee_votes_as_the_verifier_ends(outcomes: Outcomes, name: str, verdict: int) -> None:
    answer = outcomes.tasks[name]
    assert answer.task.progress.verdict == verdict
    # One committee, and where the proof was found invalid another one for the fallback's.
    assert len(answer.rounds) == answer.task.progress.attempt
    for view in answer.rounds:
        assert [vote.verdict for vote in view.votes] == [verdict] * view.round.size


def test_the_provers_go_on_working(outcomes: Outcomes, small_localnet: Localnet) -> None:
    assert outcomes.tasks
    provers = [f"prover{index}" for index in range(small_localnet.plan.provers)]
    assert set(provers) <= set(small_localnet.processes())
    for index in range(small_localnet.plan.provers):
        health = httpx.get(f"{small_localnet.plan.prover_url(index)}/health", trust_env=False)
        assert health.status_code == 200
