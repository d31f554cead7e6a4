"""What block times say about this machine's clock."""

from __future__ import annotations

import pytest

from prover_node.clock import ClockCheck, describe_skew

START = 1_700_000_000_000


def skew(*arrivals: tuple[int, int]) -> int:
    """Of blocks with (time in the header, time of arrival), in ms from the start."""
    clock = ClockCheck()
    for header, local in arrivals:
        clock.block(START + header, START + local)
    return clock.skew_ms


def test_a_block_that_comes_a_block_time_and_a_moment_after_its_own_time_is_as_it_should_be() -> None:
    assert skew(*[(1000 * block, 1000 * block + 1300) for block in range(12)]) == 0


def test_a_clock_behind_sees_blocks_from_the_future() -> None:
    assert skew(*[(1000 * block, 1000 * block - 7000) for block in range(12)]) == -7000


def test_a_clock_ahead_sees_old_blocks_only() -> None:
    assert skew(*[(1000 * block, 1000 * block + 61_000) for block in range(12)]) == 59_000


def test_one_late_block_says_nothing() -> None:
    assert skew((0, 1000), (1000, 2000), (2000, 30_000), (3000, 31_000)) == 0


def test_blocks_that_are_caught_up_with_say_nothing() -> None:
    clock = ClockCheck()
    for block in range(50):
        clock.block(START + 1000 * block, START + 3_600_000 + 10 * block)
    assert not clock.is_known
    assert clock.skew_ms == 0


def test_nothing_is_known_from_the_first_blocks() -> None:
    clock = ClockCheck()
    clock.block(START, START + 90_000)
    clock.block(START + 1000, START + 91_000)
    assert not clock.is_known


def test_a_clock_that_is_set_right_is_believed_again() -> None:
    wrong = [(1000 * block, 1000 * block + 60_000) for block in range(12)]
    right = [(1000 * block, 1000 * block + 1200) for block in range(12, 24)]
    assert skew(*wrong, *right) == 0


@pytest.mark.parametrize(("ms", "text"), [(5400, "5.4 s ahead of"), (-61_000, "61.0 s behind")])
def test_a_skew_is_one_sentence(ms: int, text: str) -> None:
    assert text in describe_skew(ms)
