"""When a prover that is out asks for the capacity test that brings it in again."""

from __future__ import annotations

from prover_node.effects import EntryKind, EntryRef, RequestTest
from prover_node.events import Draining, DutiesReported, StandingReported, TxFailed
from tests.support.prover_duties import machine, standing

JAILED = standing("jailed", may_request_test_ms=12_000)


def block(height: int) -> DutiesReported:
    return DutiesReported(height, 1000 * height)


def test_it_asks_as_soon_as_the_chain_allows_it() -> None:
    m = machine(auto_retest=True)
    m.handle(StandingReported(JAILED))
    assert [m.handle(block(height)) for height in (10, 11, 12, 13)] == [[], [], [RequestTest()], []]


def test_it_asks_again_if_the_request_was_lost() -> None:
    m = machine(auto_retest=True)
    m.handle(StandingReported(JAILED))
    m.handle(block(12))
    m.handle(TxFailed((EntryRef(EntryKind.TEST, 0),)))
    assert m.handle(block(13)) == [RequestTest()]


def test_it_asks_anew_after_a_test_that_it_failed() -> None:
    m = machine(auto_retest=True)
    m.handle(StandingReported(JAILED))
    m.handle(block(12))
    m.handle(StandingReported(standing("jailed")))
    assert m.handle(block(13)) == []
    m.handle(StandingReported(standing("jailed", may_request_test_ms=14_000)))
    assert m.handle(block(14)) == [RequestTest()]


def test_it_asks_for_nothing_unless_told_to() -> None:
    m = machine()
    m.handle(StandingReported(JAILED))
    assert m.handle(block(20)) == []


def test_it_asks_for_nothing_with_too_small_a_bond() -> None:
    m = machine(auto_retest=True)
    m.handle(StandingReported(standing("jailed", may_request_test_ms=1, bond=999)))
    assert m.handle(block(20)) == []


def test_it_asks_for_nothing_while_it_works_or_drains() -> None:
    m = machine(auto_retest=True)
    m.handle(StandingReported(standing("active")))
    assert m.handle(block(20)) == []
    m.handle(Draining())
    m.handle(StandingReported(JAILED))
    assert m.handle(block(21)) == []
