"""A long life by the dice reaches every corner of the state machine, and every invariant holds after each block."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
from cosmos.tx.v1beta1.tx_pb2 import TxBody, TxRaw
from proofmill.credits.v1 import event_pb2 as credits_events
from proofmill.params.v1 import event_pb2 as params_events
from proofmill.program.v1 import event_pb2 as program_events
from proofmill.prover.v1 import event_pb2 as prover_events
from proofmill.prover.v1.state_pb2 import ProverStatus, TestResult
from proofmill.task.v1 import event_pb2 as task_events
from proofmill.task.v1.state_pb2 import AssignmentStatus, PayoutKind, SlashKind, TaskStatus, TestKind, Verdict
from proofmill.verification.v1 import event_pb2 as verification_events

from chain import schema
from chain.invariants import check_invariants
from chain.messages import MESSAGES
from chain.state.collections import Collection
from chain.tx import decode_tx
from tests.support.random_life import Life

BLOCKS = 400


class Seen:
    """What a life has shown."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.assignments: Counter[int] = Counter()
        self.payouts: Counter[int] = Counter()
        self.verdicts: Counter[int] = Counter()
        self.slashes: Counter[int] = Counter()
        self.provers: Counter[int] = Counter()
        self.tests: Counter[int] = Counter()
        self.results: Counter[int] = Counter()
        self.events: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self.prefixes: Counter[bytes] = Counter()

    def look(self, life: Life) -> None:
        values, network = life.network.values, life.network
        assert network.last is not None
        for _, progress in schema.PROGRESS.iterate(values):
            self.statuses[progress.status] += 1
            self.verdicts[progress.verdict] += 1
            self.payouts.update(payout.kind for payout in progress.payouts)
            self.slashes.update(slash.kind for slash in progress.slashes)
        self.tests.update(task.test for _, task in schema.TASKS.iterate(values))
        for _, prover in schema.PROVERS.iterate(values):
            self.provers[prover.status] += 1
            self.results[prover.test_result] += 1
        self.assignments.update(row.status for _, row in schema.ASSIGNMENTS.iterate(values))
        self.events.update(event.type for event in network.events)
        self.prefixes.update(key[:1] for key in network.last.writes)
        for raw, result in zip(network.blocks[-1].txs, network.last.results, strict=True):
            assert result.codespace != "internal", result.log
            if result.code == 0:
                self.messages.update(spec.type_url for spec, _ in decode_tx(raw).messages)
                assert_untouched(raw)


def assert_untouched(raw: bytes) -> None:
    """Decoded messages are remembered, so no handler may have changed one."""
    body = TxBody.FromString(TxRaw.FromString(raw).body_bytes)
    for (spec, message), packed in zip(decode_tx(raw).messages, body.messages, strict=True):
        assert message == spec.message.FromString(packed.value)


@cache
def long_life() -> Seen:
    """One life for all the tests below, its invariants checked after every block."""
    life, seen = Life(seed=15), Seen()
    seen.prefixes.update(key[:1] for key, _ in life.network.before.iterate(b"", b"\xff"))
    for _ in range(BLOCKS):
        life.step()
        check_invariants(life.network.values)
        seen.look(life)
    return seen


def names(enum: object) -> dict[str, int]:
    """The values of a protobuf enum that mean something."""
    return {name: value for name, value in enum.items() if value}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", names(TaskStatus))
def test_task_status_is_reached(name: str) -> None:
    assert long_life().statuses[names(TaskStatus)[name]]


@pytest.mark.parametrize("name", names(AssignmentStatus))
def test_assignment_status_is_reached(name: str) -> None:
    assert long_life().assignments[names(AssignmentStatus)[name]]


@pytest.mark.parametrize("name", names(PayoutKind))
def test_payout_is_made(name: str) -> None:
    assert long_life().payouts[names(PayoutKind)[name]]


@pytest.mark.parametrize("name", names(SlashKind))
def test_slash_is_made(name: str) -> None:
    assert long_life().slashes[names(SlashKind)[name]]


@pytest.mark.parametrize("name", names(ProverStatus))
def test_prover_status_is_reached(name: str) -> None:
    assert long_life().provers[names(ProverStatus)[name]]


@pytest.mark.parametrize("name", names(TestKind))
def test_capacity_test_is_made(name: str) -> None:
    assert long_life().tests[names(TestKind)[name]]


@pytest.mark.parametrize("name", names(TestResult))
def test_capacity_test_ends_like_this(name: str) -> None:
    assert long_life().results[names(TestResult)[name]]


@pytest.mark.parametrize("name", names(Verdict))
def test_verdict_is_given(name: str) -> None:
    assert long_life().verdicts[names(Verdict)[name]]


@pytest.mark.parametrize("url", MESSAGES)
def test_message_succeeds(url: str) -> None:
    assert long_life().messages[url]


@pytest.mark.parametrize("part", [part for c in schema.COLLECTIONS for part in c.parts()], ids=lambda part: part.name)
def test_collection_is_written(part: Collection) -> None:
    assert long_life().prefixes[part.prefix]


@pytest.mark.parametrize(
    "event",
    [
        descriptor.full_name
        for module in (
            credits_events,
            params_events,
            program_events,
            prover_events,
            task_events,
            verification_events,
        )
        for descriptor in module.DESCRIPTOR.message_types_by_name.values()
    ],
)
def test_event_is_emitted(event: str) -> None:
    assert long_life().events[event]
