"""What must hold in the simulated economy, whatever the parameters are: small runs of benchmarks/simulation."""

from __future__ import annotations

import pytest

from benchmarks.simulation.build import Setup, build
from benchmarks.simulation.calibrate import calibrate
from benchmarks.simulation.document import DOCUMENT, fill
from benchmarks.simulation.fairness import Peak, run_peak
from benchmarks.simulation.measure import measure
from benchmarks.simulation.plan import Results
from benchmarks.simulation.plots import Line, line_chart
from benchmarks.simulation.stats import chi_square, mean_of, percentile
from benchmarks.simulation.strategies import ProofCopycat
from benchmarks.simulation.sweep import Cell, Outcome, run_cell
from benchmarks.simulation.tables import make_tables

# Five proofs in a hundred are invalid, so that an hour has some.
_INVALID_BP = 500


def run_hour(strategy: str) -> Outcome:
    return run_cell(Cell(strategy, 10, 1, _INVALID_BP, hours=1, tasks_a_day=2_000))


def test_the_quick_engine_makes_the_state_of_apply_block() -> None:
    assert calibrate(60).same


def test_the_same_run_gives_the_same_figures() -> None:
    assert run_hour("honest") == run_hour("honest")


def test_equal_provers_are_drawn_equally() -> None:
    found = run_peak(Peak("test", 200, 20, 30, mixed=False, committee_share_bp=0))
    # Leaving out whoever was drawn in the block before makes the draws more even than chance, never less.
    assert found.all_assignments.z < 4
    assert abs(found.seats.z) < 4
    assert found.repeats == 0


def test_honest_nodes_earn_and_lose_nothing() -> None:
    honest = run_hour("honest").honest
    assert honest.earned > honest.work
    assert honest.slashed == 0
    assert honest.jails == 0


@pytest.mark.parametrize("strategy", ["contrarian", "copycat voter", "no-show"])
def test_whoever_votes_for_nothing_loses(strategy: str) -> None:
    outcome = run_hour(strategy)
    assert outcome.cheaters.verifying_reward == 0
    assert outcome.cheaters.slashed > 100 * outcome.honest.earned
    assert outcome.honest.slashed == 0


def test_a_lazy_verifier_loses_more_than_it_saves() -> None:
    outcome = run_hour("lazy verifier")
    assert outcome.cheaters.slashed_minority > outcome.honest.verifying_cost


def test_a_proof_copycat_earns_nothing() -> None:
    world = build(
        Setup(nodes=40, seed=1, peak_per_s=0.03, strategy=ProofCopycat, cheaters=8, redundant_percent=100, tests=False)
    )
    world.run(world.now + 3_600_000)
    copycats = [node for node in world.nodes if isinstance(node, ProofCopycat)]
    assert sum(node.assigned for node in copycats)
    assert measure(world, copycats, 1).proving_reward == 0


def test_the_document_has_a_mark_for_every_table() -> None:
    fill(DOCUMENT.read_text(), make_tables(Results()))


def test_chi_square_of_even_and_of_uneven_counts() -> None:
    assert chi_square([10, 10, 10]).statistic == 0
    assert chi_square([20, 40], [1.0, 2.0]).statistic == 0
    uneven = chi_square([30, 10])
    assert uneven.statistic == 10
    assert uneven.p == pytest.approx(0.0016, abs=0.0005)


def test_mean_and_its_interval() -> None:
    found = mean_of([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.half == pytest.approx(4.303 / 3**0.5)
    assert found.sign == 0
    assert mean_of([5.0, 5.1, 4.9]).sign == 1


def test_percentiles() -> None:
    assert [percentile({1: 90, 2: 5, 7: 5}, percent) for percent in (50, 95, 99)] == [1, 2, 7]


@pytest.mark.parametrize("log", [False, True])
def test_a_chart_is_the_same_every_time(log: bool) -> None:
    lines = [Line("a & b", [1.0, None, 100.0]), Line("nothing", [0.0, 0.0, 0.0])]
    first = line_chart("title", "x", "y", ["1", "2", "3"], lines, log=log)
    assert first == line_chart("title", "x", "y", ["1", "2", "3"], lines, log=log)
    assert "a &amp; b" in first
