"""What the daemon reads from the chain and sends to it, against the real state machine behind a real RPC server."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from proofmill.prover.v1.tx_pb2 import MsgRegisterProver
from proofmill.task.v1.state_pb2 import Input
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, AUDIENCE_PROVER, AUDIENCE_VERIFIER, Resources

from prover_node.ballots import Ballots
from prover_node.chain_link import ChainLink
from prover_node.clock import ClockCheck
from prover_node.duties import FailureReason, FileKind, ProofRecord, Usage, Verdict
from prover_node.effects import (
    AcceptTask,
    CommitVote,
    DeclineTask,
    Entry,
    EntryKind,
    EntryRef,
    ReportFailure,
    RevealVote,
    SubmitProof,
)
from prover_node.events import DutiesReported, StandingReported, TxFailed
from prover_node.messages import make_batches
from prover_node.submitter import Submitter
from prover_node.watcher import Watcher
from tests.support.http_node import HttpNode
from tests.support.life import deploy, make_run, make_test_genesis
from tests.support.memory_node import MemoryNode
from tests.support.network import ALICE, BOB, CHAIN_ID, Network, make_genesis, node_key, operator_key

PROOF = ProofRecord("ab" * 32, 2048, Usage(1, 2, 3))


@dataclass
class Chain:
    """A chain with one prover, so that every task is its own."""

    node: MemoryNode
    network: Network
    program_id: bytes

    def run(self, *inputs: Input) -> int:
        """A task in a block of its own, offered in the next one; its id."""
        message = make_run(ALICE, self.program_id)
        message.inputs.extend(inputs)
        with self.node.lock:
            self.network.send(ALICE, message)
            self.node.commit()
            self.node.commit()
        self.tasks += 1
        return self.tasks

    tasks: int = 0


@asynccontextmanager
async def linked(*urls: str, chain_id: str = CHAIN_ID) -> AsyncIterator[ChainLink]:
    link = ChainLink(urls, chain_id, operator_key(0).address, node_key(0))
    yield link
    await link.close()


@pytest.fixture
def chain() -> Chain:
    network = Network.start(make_genesis(1))
    return Chain(MemoryNode(network), network, deploy(network))


async def collect(
    report: Callable[[Callable[[DutiesReported | StandingReported], Awaitable[None]]], Watcher],
    until: Callable[[DutiesReported], bool],
) -> None:
    """Run a watcher until it reports what is waited for."""
    found = asyncio.Event()

    async def take(event: DutiesReported | StandingReported) -> None:
        if isinstance(event, DutiesReported) and until(event):
            found.set()

    running = asyncio.create_task(report(take).run())
    async with asyncio.timeout(30):
        await found.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_offer_is_read_with_the_files_of_its_role(chain: Chain) -> None:
    def given(name: str, audience: int) -> Input:
        return Input(name=name, inline=b"x", sha256=hashlib.sha256(b"x").digest(), size=1, audience=audience)  # type: ignore[arg-type]

    task_id = chain.run(given("witness", AUDIENCE_PROVER), given("hint", AUDIENCE_VERIFIER), given("b", AUDIENCE_BOTH))
    with HttpNode(chain.node) as server:
        async with linked(server.url) as link:
            duties = await link.duties()
    (duty,) = duties.assignments
    assert (duty.task_id, duty.accepted) == (task_id, False)
    assert duty.accept_by_height == duties.height + 3
    assert [(ref.kind, ref.name, ref.inline) for ref in duty.spec.files] == [
        (FileKind.INPUT, "public.json", b'{"rounds": 50}'),
        (FileKind.INPUT, "witness", b"x"),
        (FileKind.INPUT, "b", b"x"),
    ]
    assert duty.spec.image.sha256 == hashlib.sha256(b"prover").hexdigest()
    assert duty.spec.image.size == 9_000


async def submit(chain: Chain, *batches: list[Entry], transactions: int = 1) -> list[TxFailed]:
    """Have the entries sent, batch after batch, each in so many transactions; what was reported as failed."""
    failed: list[TxFailed] = []

    async def report(event: TxFailed) -> None:
        failed.append(event)

    with HttpNode(chain.node) as server:
        async with linked(server.url) as link:
            submitter = Submitter(link, node_key(0).address, ["http://prover"], report, lambda _: None)
            running = asyncio.create_task(submitter.run())
            for batch in batches:
                done = submitter.sent + submitter.failed
                for entry in batch:
                    submitter.add(entry)
                async with asyncio.timeout(30):
                    while submitter.sent + submitter.failed < done + transactions:  # noqa: ASYNC110 - counters are all there is
                        await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    return failed


async def test_entries_of_one_moment_travel_in_one_transaction(chain: Chain) -> None:
    first, second = chain.run(), chain.run()
    assert await submit(chain, [AcceptTask(first), AcceptTask(second)], [SubmitProof(first, PROOF)]) == []
    assert len(chain.node.broadcasts) == 2
    with HttpNode(chain.node) as server:
        async with linked(server.url) as link:
            left = {duty.task_id: duty.accepted for duty in (await link.duties()).assignments}
    assert left == {second: True}


async def test_what_is_too_much_for_one_transaction_travels_in_several(chain: Chain) -> None:
    """More than a thousand entries the chain would refuse as a whole, again and again."""
    task_id = chain.run()
    entries: list[Entry] = [AcceptTask(number) for number in range(10_000, 11_200)]
    assert await submit(chain, [*entries, AcceptTask(task_id)], transactions=13) == []
    with HttpNode(chain.node) as server:
        async with linked(server.url) as link:
            (duty,) = (await link.duties()).assignments
    assert duty.accepted


async def test_a_stale_entry_does_not_hold_up_its_neighbours(chain: Chain) -> None:
    task_id = chain.run()
    assert await submit(chain, [AcceptTask(99), AcceptTask(task_id)]) == []
    with HttpNode(chain.node) as server:
        async with linked(server.url) as link:
            (duty,) = (await link.duties()).assignments
    assert duty.accepted


async def test_a_refused_transaction_is_told_back(chain: Chain) -> None:
    entry = ReportFailure(99, FailureReason.EXIT_CODE, "exit code 3")
    assert await submit(chain, [entry]) == [TxFailed((EntryRef(EntryKind.FAILURE, 99),))]


async def test_a_repeat_is_a_success_without_effect(chain: Chain) -> None:
    task_id = chain.run()
    assert await submit(chain, [AcceptTask(task_id)], [AcceptTask(task_id)]) == []


def test_failure_reports_travel_alone() -> None:
    ballots = Ballots((b"k" * 32,), CHAIN_ID, operator_key(0).raw)
    entries: list[Entry] = [
        AcceptTask(1),
        ReportFailure(2, FailureReason.OUT_OF_MEMORY, "too much"),
        SubmitProof(3, PROOF),
        DeclineTask(4, "busy"),
        CommitVote(5, 1, ballots.commitment(5, 1, Verdict.VALID)),
        RevealVote(6, 2, Verdict.INVALID, ballots.salt(6, 2)),
        ReportFailure(7, FailureReason.EXIT_CODE, "exit code 3"),
    ]
    batches = make_batches(entries, node_key(0).address, ["http://prover/"])
    assert [[type(message).__name__ for message in batch.messages] for batch in batches] == [
        ["MsgVotes", "MsgAcceptTasks", "MsgDeclineTasks", "MsgSubmitProofs"],
        ["MsgReportFailure"],
        ["MsgReportFailure"],
    ]
    assert {ref for batch in batches for ref in batch.refs} == {entry.ref for entry in entries}
    proof = batches[0].messages[3].entries[0].proof  # type: ignore[attr-defined]
    assert list(proof.urls) == [f"http://prover/blobs/{PROOF.sha256}"]


async def test_the_watcher_reports_new_duties_as_blocks_are_made(chain: Chain) -> None:
    with HttpNode(chain.node) as server:
        async with linked(server.url) as link:

            async def make_task() -> None:
                await asyncio.to_thread(chain.run)

            making = asyncio.create_task(make_task())
            await collect(lambda take: Watcher(link, take, ClockCheck()), lambda duties: bool(duties.assignments))
            await making


async def test_the_watcher_of_a_prover_that_is_not_registered_yet_sees_its_test_at_once() -> None:
    node = MemoryNode(Network.start(make_test_genesis(1)))
    with HttpNode(node) as server:
        link = ChainLink((server.url,), CHAIN_ID, ALICE.address, BOB)
        register = MsgRegisterProver(
            operator=ALICE.address,
            node=BOB.address,
            resources=Resources(cpu_millis=1000, memory_bytes=1 << 30),
            endpoints=["http://prover"],
            bond=1_500_000_000,
        )

        def make_blocks() -> None:
            for _ in range(3):
                node.commit()
            with node.lock:
                node.network.send(ALICE, register)
                node.commit()
                node.commit()

        making = asyncio.create_task(asyncio.to_thread(make_blocks))
        await collect(lambda take: Watcher(link, take, ClockCheck()), lambda duties: bool(duties.assignments))
        await making
        await link.close()


async def test_the_watcher_goes_to_another_node_when_one_is_gone(chain: Chain) -> None:
    with HttpNode(chain.node) as gone:
        pass
    with HttpNode(chain.node) as server:
        async with linked(gone.url, server.url) as link:
            await collect(lambda take: Watcher(link, take, ClockCheck()), lambda duties: duties.height > 0)
            assert link.url == server.url


async def test_the_watcher_does_not_work_for_another_chain(chain: Chain) -> None:
    other = MemoryNode(chain.network, chain_id="another-1")
    with HttpNode(other) as wrong, HttpNode(chain.node) as right:
        async with linked(wrong.url, right.url) as link:
            await collect(lambda take: Watcher(link, take, ClockCheck()), lambda duties: duties.height > 0)
            assert link.url == right.url


async def test_a_node_that_lags_behind_is_left_and_gone_back_to_once_it_is_fresh(chain: Chain) -> None:
    slow = MemoryNode(Network.start(make_genesis(1)))
    for _ in range(5):
        chain.node.commit()
    with HttpNode(slow) as first, HttpNode(chain.node) as second:
        async with linked(first.url, second.url) as link:
            await link.look_around()
            assert link.url == second.url
            assert [one.height for one in link.nodes] == [0, chain.network.height]
            for _ in range(chain.network.height):
                slow.commit()
            used = []
            for _ in range(3):
                await link.look_around()
                used.append(link.url)
            assert used == [second.url, second.url, first.url]
            assert link.changed.is_set()


async def test_a_node_of_another_chain_or_none_is_never_chosen(chain: Chain) -> None:
    other = MemoryNode(Network.start(make_genesis(1)), chain_id="another-1")
    for _ in range(20):
        other.commit()
    with HttpNode(other) as wrong, HttpNode(chain.node) as right:
        async with linked("http://127.0.0.1:9", wrong.url, right.url) as link:
            await link.look_around()
            assert link.url == right.url
            assert "can't be reached" in link.nodes[0].problem
            assert "follows chain 'another-1'" in link.nodes[1].problem


async def test_the_watcher_leaves_a_node_that_hangs(chain: Chain) -> None:
    with HttpNode(chain.node) as stuck, HttpNode(chain.node) as server:
        stuck.hangs = True
        async with linked(stuck.url, server.url) as link:
            await collect(lambda take: Watcher(link, take, ClockCheck()), lambda duties: duties.height > 0)
            assert link.url == server.url


async def test_the_watcher_tells_the_clock_of_new_blocks(chain: Chain) -> None:
    """The chain in memory lives in 2023."""
    clock = ClockCheck()

    def make_blocks() -> None:
        while not clock.is_known:
            chain.node.commit()
            time.sleep(0.6)

    with HttpNode(chain.node) as server:
        async with linked(server.url) as link:
            making = asyncio.create_task(asyncio.to_thread(make_blocks))
            await collect(lambda take: Watcher(link, take, clock), lambda duties: clock.is_known)
            await making
    assert clock.skew_ms > 365 * 24 * 3_600_000


async def test_the_watcher_survives_a_cut_stream(chain: Chain) -> None:
    with HttpNode(chain.node) as server:
        async with linked(server.url) as link:

            async def cut_and_make_task() -> None:
                await asyncio.to_thread(server.drop_connections)
                await asyncio.to_thread(chain.run)

            cutting = asyncio.create_task(cut_and_make_task())
            await collect(lambda take: Watcher(link, take, ClockCheck()), lambda duties: bool(duties.assignments))
            await cutting
