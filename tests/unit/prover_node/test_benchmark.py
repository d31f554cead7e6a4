"""The search for the largest claim, on machines that are a formula."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prover_node.benchmark import TRIES_MAX, Findings, Trial, fill_ms, find_claim
from prover_node.duties import Resources

GIB = 1 << 30
LIMIT_MS = 20_000


def machine_with(cores: float, *, base_ms: int = 12_500) -> Callable[[Resources], Trial]:
    """So many cores of the usual speed: what is claimed beyond them takes longer in proportion."""
    return lambda claim: Trial(claim, int(base_ms * max(1.0, claim.cpu_millis / (1000 * cores))))


async def search(wanted: Resources, run: Callable[[Resources], Trial], *, ceiling: Resources | None = None) -> Findings:
    async def attempt(claim: Resources) -> Trial:
        return run(claim)

    return await find_claim(wanted, ceiling or wanted, LIMIT_MS, 20, attempt)


async def test_a_claim_that_fits_is_tried_once() -> None:
    wanted = Resources(4000, 8 * GIB)
    found = await search(wanted, machine_with(4))
    assert (found.largest, len(found.trials), found.advice) == (wanted, 1, "the claim fits")
    assert found.fits(found.trials[0])


async def test_a_claim_of_twice_the_cores_is_cut_to_what_fits() -> None:
    found = await search(Resources(8000, 8 * GIB), machine_with(4))
    assert not found.fits(found.trials[0])
    assert found.largest is not None
    assert 4000 <= found.largest.cpu_millis <= 5200
    assert found.largest.memory_bytes == 8 * GIB


async def test_memory_is_claimed_less_where_filling_it_takes_the_time() -> None:
    def run(claim: Resources) -> Trial:
        fill = 500 * claim.memory_bytes // GIB
        return Trial(claim, 5_000 + fill, fill)

    found = await search(Resources(1000, 64 * GIB), run)
    assert found.largest is not None
    assert found.largest.memory_bytes < 24 * GIB


async def test_a_claim_beyond_the_memory_is_halved() -> None:
    def run(claim: Resources) -> Trial:
        return Trial(claim, 12_000, problem="out of memory" if claim.memory_bytes > 10 * GIB else "")

    found = await search(Resources(4000, 16 * GIB), run)
    assert found.largest == Resources(2000, 8 * GIB)


async def test_more_is_tried_where_the_machine_has_more() -> None:
    wanted, all_of_it = Resources(2000, 4 * GIB), Resources(4000, 8 * GIB)
    assert (await search(wanted, machine_with(4), ceiling=all_of_it)).largest == all_of_it
    found = await search(wanted, machine_with(2), ceiling=all_of_it)
    assert (found.largest, found.advice) == (wanted, "the claim fits, all that this machine has doesn't")


async def test_cores_that_are_too_slow_are_named_after_two_tries() -> None:
    found = await search(Resources(4000, 8 * GIB), machine_with(8, base_ms=17_000))
    assert found.largest is None
    assert len(found.trials) == 2
    assert "17.0 s are too long for the 16.0 s" in found.advice


async def test_a_program_that_never_works_ends_the_search_with_its_reason() -> None:
    found = await search(Resources(4000, 8 * GIB), lambda claim: Trial(claim, 10, problem="exit code 3"))
    assert found.largest is None
    assert len(found.trials) <= TRIES_MAX
    assert found.advice == "no claim was found that fits: exit code 3"


@pytest.mark.parametrize(
    ("stderr", "ms"),
    [
        ("lanes 4\ncapacity: done in 12500 ms of which fill 700 ms\n", 700),
        ("capacity: done in 12500 ms of which fill 700 ms\nmore", 0),
        ("", 0),
    ],
)
def test_what_the_program_says_of_filling_is_read_from_its_last_line(stderr: str, ms: int) -> None:
    assert fill_ms(stderr) == ms
