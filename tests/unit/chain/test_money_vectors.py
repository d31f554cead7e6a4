"""Golden vectors of the money: tests/vectors/money says by hand where every unit is, and the chain must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.money import load_scenarios, run_scenario

if TYPE_CHECKING:
    pass

SCENARIOS = load_scenarios()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario["name"] for scenario in SCENARIOS])
def test_scenario(scenario: dict[str, Any]) -> None:
    run_scenario(scenario)


def test_names_are_unique() -> None:
    names = [scenario["name"] for scenario in SCENARIOS]
    assert len(set(names)) == len(names) >= 90
