"""The schedule by which offers are judged: earliest deadline first, with whole time limits."""

from __future__ import annotations

from hypothesis import given, strategies as st

from prover_node.admission import PlannedRun, find_obstacle, plan_ends
from prover_node.duties import Resources

CAPACITY = Resources(4000, 8)


def run(
    task_id: int, cpu: int, *, ready: int = 0, takes: int = 10, due: int = 100, running: bool = False, margin: int = 0
) -> PlannedRun:
    return PlannedRun(task_id, Resources(cpu, 1), ready, takes, due, running, margin)


def test_what_fits_runs_at_once() -> None:
    assert plan_ends([run(1, 2000), run(2, 2000)], CAPACITY, 0) == {1: 10, 2: 10}


def test_what_does_not_fit_waits_for_the_first_end() -> None:
    assert plan_ends([run(1, 3000, takes=7, running=True), run(2, 2000)], CAPACITY, 0) == {1: 7, 2: 17}


def test_the_earliest_deadline_goes_first() -> None:
    assert plan_ends([run(1, 3000, due=50), run(2, 3000, due=40)], CAPACITY, 0) == {2: 10, 1: 20}


def test_nothing_overtakes_what_is_due_earlier_and_ready() -> None:
    runs = [run(1, 3000, running=True), run(2, 4000, due=40), run(3, 1000, due=90)]
    assert plan_ends(runs, CAPACITY, 0) == {1: 10, 2: 20, 3: 30}


def test_what_still_waits_for_files_holds_up_nobody() -> None:
    assert plan_ends([run(1, 4000, ready=5, due=40), run(2, 4000, due=90)], CAPACITY, 0) == {2: 10, 1: 20}


def test_a_run_larger_than_the_node_is_planned_alone() -> None:
    assert plan_ends([run(1, 9000, due=40), run(2, 1000)], CAPACITY, 0) == {1: 10, 2: 20}


def test_an_idle_node_takes_what_fits() -> None:
    assert find_obstacle(run(1, 4000), [], CAPACITY, 0) is None


def test_the_figure_that_does_not_fit_is_named() -> None:
    assert find_obstacle(run(1, 5000), [], CAPACITY, 0) == (
        "the task needs 5000 CPU millicores, 4000 are free on this node"
    )


def test_files_that_come_too_late_are_named() -> None:
    offer = run(1, 1000, ready=30_000, takes=60_000, due=80_000)
    assert find_obstacle(offer, [], CAPACITY, 0) == (
        "its files take 30 s to come here and its run up to 60 s, but 80 s are left"
    )


def test_the_margin_for_publishing_counts() -> None:
    assert find_obstacle(run(1, 1000, takes=90, margin=10), [], CAPACITY, 0) is None
    assert find_obstacle(run(1, 1000, takes=91, margin=10), [], CAPACITY, 0) is not None


def test_what_would_make_an_accepted_task_late_is_refused_with_its_number() -> None:
    accepted = run(7, 4000, ready=1, takes=10_000, due=15_000)
    offer = run(8, 4000, takes=10_000, due=12_000)
    assert find_obstacle(offer, [accepted], CAPACITY, 0) == ("the task would make task 7, accepted before it, 5 s late")


def test_a_task_that_is_late_anyway_holds_up_no_offer() -> None:
    late = run(7, 1000, takes=200, due=100)
    assert find_obstacle(run(8, 1000), [late], CAPACITY, 0) is None


runs = st.lists(
    st.builds(
        lambda cpu, ready, takes, slack: (cpu, ready, takes, ready + takes + slack),
        st.integers(1, 4000),
        st.integers(0, 20),
        st.integers(1, 20),
        st.integers(0, 60),
    ),
    max_size=8,
)


@given(runs)
def test_whatever_was_admitted_is_finished_in_time(offers: list[tuple[int, int, int, int]]) -> None:
    admitted: list[PlannedRun] = []
    for task_id, (cpu, ready, takes, due) in enumerate(offers, start=1):
        offer = run(task_id, cpu, ready=ready, takes=takes, due=due)
        if find_obstacle(offer, admitted, CAPACITY, 0) is None:
            admitted.append(offer)
        ends = plan_ends(admitted, CAPACITY, 0)
        assert set(ends) == {one.task_id for one in admitted}
        assert all(ends[one.task_id] <= one.deadline_ms for one in admitted)
