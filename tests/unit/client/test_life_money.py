"""Whatever happens to tasks, their lives tell where every unit went: in all scenarios of the money, and by chance."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from chain import schema
from client.life import FINAL_STATUSES, task_life
from client.life_money import earnings
from tests.support import money, random_life
from tests.support.life import task_of
from tests.support.watched import Watched

if TYPE_CHECKING:
    from proofmill.genesis.v1.genesis_pb2 import Genesis

SCENARIOS = money.load_scenarios()
STEPS = 120


def check_told(network: Watched) -> None:
    """The lives' earnings and losses are those that the chain counts for each prover; each slash has its step."""
    earned: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for task_id, life in network.told.items():
        answer = task_of(network, task_id)
        assert task_life(answer) == life
        progress, user = answer.task.progress, answer.task.task.user
        slashes = [step for step in life if step.name == "slashed"]
        assert len(slashes) == len(progress.slashes)
        assert (life[-1].name == "ended") == (progress.status in FINAL_STATUSES)
        for one in earnings(answer):
            earned[one.account] += one.umill
            lost[one.account] -= one.bond_umill
            if one.role == "user":
                assert one.account == user
    for prover in (row for _, row in schema.PROVERS.iterate(network.values)):
        assert (earned[prover.operator], lost[prover.operator]) == (prover.earned_umill, prover.slashed_umill)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario["name"] for scenario in SCENARIOS])
def test_scenario(scenario: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    networks = watch(monkeypatch, money)
    money.run_scenario(scenario)
    check_told(networks[-1])


def test_random_life(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = watch(monkeypatch, random_life)
    life = random_life.Life(7)
    for _ in range(STEPS):
        life.step()
    check_told(networks[0])


def watch(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[Watched]:
    """Networks that a module of the tests starts from now on."""
    started: list[Watched] = []

    class Noted:
        @staticmethod
        def start(genesis: Genesis) -> Watched:
            started.append(Watched.watch(genesis))
            return started[-1]

    monkeypatch.setattr(module, "Network", Noted)
    return started
