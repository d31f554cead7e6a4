"""Whatever a prover accepts it finishes by its deadline, if programs keep to their limits and files come as expected.

The machine runs against a simulated chain with a clock: a block a second, of which the machine hears a moment later.
Runs end whenever they like within their limits, files come whenever they like until they are expected.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count

from hypothesis import given, settings, strategies as st

from prover_node.ballots import Ballots
from prover_node.duties import ContainerSpec, FileKind, FileRef, ProofRecord, ProveDuty, Resources, Usage
from prover_node.effects import (
    AcceptTask,
    DeclineTask,
    Effect,
    FetchFiles,
    Forget,
    Inquire,
    Journal,
    PackProof,
    Prefetch,
    RunJob,
    SubmitProof,
    Warn,
)
from prover_node.events import DutiesReported, Event, Fetched, ProofStored, RunFinished
from prover_node.machine import Machine, MachineConfig
from prover_node.proof_commitments import ProofCommitments
from prover_node.transfers import Transfers
from tests.support.prover_duties import outcome

CAPACITY = Resources(4000, 1 << 30)
SECRET, OPERATOR = b"k" * 32, bytes(20)
BLOCK_MS = 1000
BYTES_PER_S = 1 << 20
PACKING_MS = 400
PROOF = ProofRecord("0" * 64, 10, Usage())


@dataclass(frozen=True)
class Offer:
    """What fate has in store for a task; shares are of what is expected or allowed at most, in percent."""

    block: int
    cpu_millis: int
    limit_s: int
    transfer_s: int
    fetch_s: int
    fetch_share: int
    run_share: int
    likely_share: int

    def spec(self, task_id: int) -> ContainerSpec:
        image = FileRef(FileKind.IMAGE, "", f"{task_id:064x}", self.fetch_s * BYTES_PER_S, ("http://files/image",))
        return ContainerSpec(image, (), (), Resources(self.cpu_millis, 1000), self.limit_s)


offers = st.lists(
    st.builds(
        Offer,
        block=st.integers(1, 40),
        cpu_millis=st.sampled_from([500, 1000, 2000, 3000, 4000]),
        limit_s=st.integers(1, 30),
        transfer_s=st.sampled_from([8, 10, 30, 60]),
        fetch_s=st.sampled_from([0, 0, 1, 3, 8, 20]),
        fetch_share=st.sampled_from([1, 50, 100]),
        run_share=st.sampled_from([1, 10, 50, 90, 100]),
        likely_share=st.sampled_from([0, 10, 50, 100]),
    ),
    max_size=14,
)


@dataclass
class Simulation:
    """A chain, a clock and a machine room around one machine. Nothing fails in it."""

    offers: dict[int, Offer]
    trust_learned: bool = False
    now_ms: int = 0
    height: int = 0
    accepted: dict[int, int] = field(default_factory=dict)
    """Deadline (ms) by task, of those that were accepted."""
    accept_by: dict[int, int] = field(default_factory=dict)
    proved: dict[int, int] = field(default_factory=dict)
    """Time (ms) of the block with the proof, by task."""
    declined: dict[int, str] = field(default_factory=dict)
    hopeful: set[int] = field(default_factory=set)
    mempool: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        config = MachineConfig(CAPACITY, 1, trust_learned=self.trust_learned)
        commitments = ProofCommitments((SECRET,), "test-1", OPERATOR)
        self.machine = Machine(config, Ballots((SECRET,), "test-1", OPERATOR), commitments)
        self._events: list[tuple[int, int, Event]] = []
        self._numbers = count()

    def run(self) -> None:
        """Until nothing is left to do."""
        while len(self.proved) + len(self.declined) < len(self.offers):
            block_ms = (self.height + 1) * BLOCK_MS
            if self._events and self._events[0][0] < block_ms:
                self.now_ms, _, event = heapq.heappop(self._events)
                self._tell(event)
            else:
                self.now_ms, self.height = block_ms, self.height + 1
                self._make_block()
                self._tell(self._report())
            self.machine.validate_state()
            self.hopeful |= {one.duty.task_id for one in self.machine.assignments() if one.hopeful}

    def _make_block(self) -> None:
        sent, self.mempool = self.mempool, []
        for entry in sent:
            match entry:
                case AcceptTask(task_id) if task_id not in self.accepted:
                    offer = self.offers[task_id]
                    self.accepted[task_id] = self.now_ms + 1000 * (offer.limit_s + offer.transfer_s)
                case DeclineTask(task_id, reason):
                    self.declined.setdefault(task_id, reason)
                case SubmitProof(task_id):
                    self.proved.setdefault(task_id, self.now_ms)
                case _:
                    pass

    def _report(self) -> DutiesReported:
        open_tasks = {
            task_id: offer
            for task_id, offer in self.offers.items()
            if offer.block <= self.height and task_id not in self.proved and task_id not in self.declined
        }
        duties = []
        for task_id, offer in open_tasks.items():
            accept_by = self.accept_by.setdefault(task_id, self.height + 5)
            assert task_id in self.accepted or self.height <= accept_by, "an offer was left to expire"
            spec, deadline_ms = offer.spec(task_id), self.accepted.get(task_id, 0)
            duties.append(ProveDuty(task_id, spec, deadline_ms > 0, accept_by, deadline_ms, 1000 * offer.transfer_s))
        likely = {task_id: offer.limit_s * 10 * offer.likely_share for task_id, offer in open_tasks.items()}
        return DutiesReported(self.height, self.now_ms, tuple(duties), (), Transfers(frozenset(), BYTES_PER_S), likely)

    def _tell(self, event: Event) -> None:
        for effect in self.machine.handle(event):
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case FetchFiles(key):
                offer = self.offers[key.task_id]
                self._later(offer.fetch_s * 10 * offer.fetch_share, Fetched(key))
            case RunJob(key):
                offer = self.offers[key.task_id]
                self._later(offer.limit_s * 10 * offer.run_share, RunFinished(key, outcome()))
            case PackProof(key):
                self._later(PACKING_MS, ProofStored(key, PROOF))
            case AcceptTask() | DeclineTask() | SubmitProof():
                self.mempool.append(effect)
            case Journal() | Forget() | Inquire() | Prefetch() | Warn():
                pass
            case _:
                raise AssertionError(f"nobody expects {effect}")

    def _later(self, ms: int, event: Event) -> None:
        heapq.heappush(self._events, (self.now_ms + ms, next(self._numbers), event))


def simulate(fates: list[Offer], *, trust_learned: bool = False) -> Simulation:
    simulation = Simulation(dict(enumerate(fates, start=1)), trust_learned)
    simulation.run()
    return simulation


def late(simulation: Simulation) -> set[int]:
    return {task for task, deadline_ms in simulation.accepted.items() if simulation.proved[task] > deadline_ms}


@settings(max_examples=200, deadline=None)
@given(offers)
def test_whatever_was_accepted_is_finished_by_its_deadline(fates: list[Offer]) -> None:
    assert late(simulate(fates)) == set()


@settings(max_examples=200, deadline=None)
@given(offers)
def test_a_wrong_guess_costs_nobody_else_a_deadline(fates: list[Offer]) -> None:
    simulation = simulate(fates, trust_learned=True)
    assert late(simulation) <= simulation.hopeful
