"""Golden vectors of the money: tests/vectors/money says by hand where every unit is, and the chain must agree."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.money import ScenarioError, complete, load_scenarios, run_scenario

if TYPE_CHECKING:
    from pathlib import Path

SCENARIOS = load_scenarios()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario["name"] for scenario in SCENARIOS])
def test_scenario(scenario: dict[str, Any]) -> None:
    run_scenario(scenario)


def test_names_are_unique() -> None:
    names = [scenario["name"] for scenario in SCENARIOS]
    assert len(set(names)) == len(names) >= 140


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A scenario with something of it replaced, or removed."""
    scenario = copy.deepcopy(next(s for s in SCENARIOS if s["name"] == "no-show by silence"))
    part = scenario
    for name in path[:-1]:
        part = part[name]
    if value is None:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return scenario


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("expect", "tasks", "task"), "undecided"),
        (("expect", "provers", "first", "umill"), 9_001),
        (("expect", "provers", "first", "bond"), 1_999_999),
        (("expect", "provers", "first", "status"), "jailed"),
        (("expect", "provers", "voters.valid", "umill"), 265),
        (("expect", "provers", "voters.silent"), None),
        (("expect", "users", "alice"), 9_990_001),
        (("expect", "users", "bob"), 0),
        (("expect", "escrow"), 1),
        (("expect", "network_pool"), 1_000_999),
        (("expect", "umill_supply"), 17_008_799),
        (("expect", "ucredit_supply"), 19_990_001),
        (("expect", "program"), {"strikes": 1}),
        (("expect", "program"), {"blocked": True}),
        (("network_pool",), 1_000_001),
        (("params", "gas_price_umill"), 1),
    ],
)
def test_a_unit_too_many_is_found(path: tuple[str, ...], value: Any) -> None:
    with pytest.raises(AssertionError):
        run_scenario(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("expects",), {}),
        (("params", "slash"), 1),
        (("expect",), None),
        (("expect", "escrow"), None),
        (("expect", "fees"), 0),
        (("expect", "tasks"), {}),
        (("expect", "users"), {}),
        (("expect", "users"), {"carol": 1}),
        (("expect", "program"), {"status": "active"}),
        (("expect", "provers", "first"), {}),
        (("expect", "provers", "first"), {"ucredit": 0}),
        (("expect", "provers", "voters.invalid"), {"umill": 0}),
        (("expect", "provers", "voters.valid"), {"umill": [266, 266]}),
        (("events",), [{"run": {"fee": 10_000, "price": 1}}]),
        (("events",), [{"sprint": {"fee": 10_000}}]),
        (("events",), ["run"]),
        (("events",), [{"run": {"fee": 10_000}, "draw": 1}]),
    ],
)
def test_a_scenario_that_says_too_little_or_the_unknown_is_an_error(path: tuple[str, ...], value: Any) -> None:
    with pytest.raises(ScenarioError):
        run_scenario(complete({"params": {}}, changed(path, value), "test"))


def test_a_key_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("bond: 1\nbond: 2\n")
    with pytest.raises(ScenarioError, match="twice"):
        load_scenarios(tmp_path)
