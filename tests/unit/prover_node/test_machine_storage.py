"""What the machine makes of the store: no offers without room, no waiting beyond the deadline."""

from __future__ import annotations

import pytest

from prover_node.duties import FileKind, FileRef, ProofRecord, Usage
from prover_node.effects import AcceptTask, DeclineTask, Effect, FetchFiles, SubmitProof
from prover_node.events import DutiesReported, Fetched, ProofStored, RunFinished
from prover_node.machine import Machine
from prover_node.runner.base import Reason
from prover_node.transfers import Transfers
from tests.support.prover_duties import machine, outcome, prove_duty, prove_key

WITNESS = FileRef(FileKind.INPUT, "w", "4" * 64, 50, ("http://files/w",))
PROOF = ProofRecord("a" * 64, 10_240, Usage(1, 1, 1))


def offered(m: Machine, room_bytes: int, **changes: object) -> list[Effect]:
    transfers = Transfers(frozenset({"1" * 64}) if changes.pop("cached", False) else frozenset(), room_bytes=room_bytes)
    duty = prove_duty(files=(WITNESS,), **changes)  # type: ignore[arg-type]
    return m.handle(DutiesReported(10, 10_000, (duty,), transfers=transfers))


@pytest.mark.parametrize(
    ("room", "cached", "reason"),
    [
        (99, False, "disk full: the files take 150 bytes more, and the store has room for 99"),
        (49, True, "disk full: the files take 50 bytes more, and the store has room for 49"),
        (-5, False, "disk full: the files take 150 bytes more, and the store has room for 0"),
    ],
)
def test_an_offer_whose_files_have_no_room_is_declined_and_nothing_is_fetched(
    room: int, cached: bool, reason: str
) -> None:
    assert offered(machine(), room, cached=cached) == [DeclineTask(1, reason)]


@pytest.mark.parametrize(("room", "cached"), [(150, False), (50, True)])
def test_an_offer_whose_files_just_fit_is_taken(room: int, cached: bool) -> None:
    effects = offered(machine(), room, cached=cached)
    assert [type(effect) for effect in effects] == [FetchFiles, AcceptTask]


def test_what_touches_the_reserve_takes_no_offers_even_if_all_files_are_here() -> None:
    transfers = Transfers(frozenset({"1" * 64}), room_bytes=-1)
    effects = machine().handle(DutiesReported(10, 10_000, (prove_duty(),), transfers=transfers))
    assert effects == [DeclineTask(1, "disk full: the files take 0 bytes more, and the store has room for 0")]


def test_what_is_accepted_is_fetched_although_the_disk_is_full() -> None:
    (fetch,) = offered(machine(), -5, accepted=True)
    assert isinstance(fetch, FetchFiles)


@pytest.mark.parametrize(
    ("deadline_ms", "within_ms"), [(100_000, 85_000), (16_000, 5_000), (10_001, 5_000), (9_000, 5_000)]
)
def test_files_are_waited_for_until_a_report_still_lands_before_the_deadline(deadline_ms: int, within_ms: int) -> None:
    (fetch,) = offered(machine(), 1 << 40, accepted=True, deadline_ms=deadline_ms)
    assert isinstance(fetch, FetchFiles)
    assert fetch.within_ms == within_ms


@pytest.mark.parametrize(("is_test", "spare_ms"), [(False, 90_000), (True, 0)])
def test_a_proofs_submission_may_wait_for_its_copy_as_its_deadline_allows_and_never_in_a_test(
    is_test: bool, spare_ms: int
) -> None:
    m, key = machine(), prove_key()
    offered(m, 1 << 40, accepted=True, is_test=is_test)
    m.handle(Fetched(key))
    m.handle(RunFinished(key, outcome(Reason.EXITED, 0)))
    (submit,) = [effect for effect in m.handle(ProofStored(key, PROOF)) if isinstance(effect, SubmitProof)]
    assert submit.spare_ms == spare_ms
