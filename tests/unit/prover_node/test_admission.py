"""The schedule by which offers are judged: earliest deadline first, whole time limits, experience on request."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, strategies as st

from prover_node.admission import Answer, PlannedRun, choose_order, judge, order_by_deadline, plan_ends
from prover_node.duties import Resources

CAPACITY = Resources(4000, 8)


def run(
    task_id: int,
    cpu: int,
    *,
    ready: int = 0,
    takes: int = 10,
    due: int = 100,
    running: bool = False,
    margin: int = 0,
    usually: int = 0,
    hopeful: bool = False,
) -> PlannedRun:
    return PlannedRun(task_id, Resources(cpu, 1), ready, takes, due, running, margin, usually, hopeful)


def ends(runs: list[PlannedRun]) -> dict[int, int]:
    return plan_ends(runs, order_by_deadline(runs, CAPACITY, 0), CAPACITY, 0)


def obstacle(offer: PlannedRun, promised: list[PlannedRun]) -> str:
    return judge(offer, promised, (), CAPACITY, 0).obstacle


def test_what_fits_runs_at_once() -> None:
    assert ends([run(1, 2000), run(2, 2000)]) == {1: 10, 2: 10}


def test_what_does_not_fit_waits_for_the_first_end() -> None:
    assert ends([run(1, 3000, takes=7, running=True), run(2, 2000)]) == {1: 7, 2: 17}


def test_the_earliest_deadline_goes_first() -> None:
    assert ends([run(1, 3000, due=50), run(2, 3000, due=40)]) == {2: 10, 1: 20}


def test_nothing_overtakes_what_is_due_earlier_and_ready() -> None:
    runs = [run(1, 3000, running=True), run(2, 4000, due=40), run(3, 1000, due=90)]
    assert ends(runs) == {1: 10, 2: 20, 3: 30}


def test_what_still_waits_for_files_holds_up_nobody() -> None:
    assert ends([run(1, 4000, ready=5, due=40), run(2, 4000, due=90)]) == {2: 10, 1: 20}


def test_a_run_larger_than_the_node_is_planned_alone() -> None:
    assert ends([run(1, 9000, due=40), run(2, 1000)]) == {1: 10, 2: 20}


def test_an_idle_node_takes_what_fits() -> None:
    assert obstacle(run(1, 4000), []) == ""


def test_the_figure_that_does_not_fit_is_named() -> None:
    assert obstacle(run(1, 5000), []) == ("the task needs 5000 CPU millicores, 4000 are free on this node")


def test_files_that_come_too_late_are_named() -> None:
    offer = run(1, 1000, ready=30_000, takes=60_000, due=80_000)
    assert obstacle(offer, []) == ("its files take 30 s to come here and its run up to 60 s, but 80 s are left")


def test_the_margin_for_publishing_counts() -> None:
    assert obstacle(run(1, 1000, takes=90, margin=10), []) == ""
    assert obstacle(run(1, 1000, takes=91, margin=10), []) != ""


def test_what_would_make_an_accepted_task_late_is_refused_with_its_number() -> None:
    accepted = run(7, 4000, ready=1, takes=10_000, due=15_000)
    offer = run(8, 4000, takes=10_000, due=12_000)
    assert obstacle(offer, [accepted]) == ("the task would make task 7, accepted before it, 5 s late")


def test_a_task_that_is_late_anyway_holds_up_no_offer() -> None:
    late = run(7, 1000, takes=200, due=100)
    assert obstacle(run(8, 1000), [late]) == ""


def test_a_run_that_ends_early_must_not_let_a_later_one_overtake() -> None:
    """Graham's anomaly: on the free cores 3 would start at once, and 2, whose files come at 5, end at 65."""
    runs = [run(2, 4000, ready=5, takes=10, due=20), run(3, 4000, takes=50, due=90)]
    assert order_by_deadline(runs, CAPACITY, 0) == (3, 2)
    assert choose_order(runs, (2, 3), CAPACITY, 0) == (2, 3)


def test_the_order_that_was_kept_is_given_up_for_one_that_is_as_good() -> None:
    runs = [run(1, 4000, due=40), run(2, 4000, due=30)]
    assert choose_order(runs, (1, 2), CAPACITY, 0) == (2, 1)


def test_who_was_accepted_by_experience_alone_is_the_first_to_be_late() -> None:
    runs = [run(1, 4000, takes=10, due=25), run(2, 4000, takes=20, due=20, usually=20, hopeful=True)]
    assert choose_order(runs, (1, 2), CAPACITY, 0) == (1, 2)


def test_of_equal_deadlines_the_one_whose_files_are_here_goes_first() -> None:
    assert order_by_deadline([run(1, 1000, ready=1), run(2, 1000)], CAPACITY, 0) == (2, 1)


def test_an_offer_goes_behind_what_is_promised_where_it_would_make_that_late() -> None:
    promised = [run(1, 4000, ready=5, takes=10, due=20)]
    assert judge(run(2, 4000, takes=50, due=90), promised, (1,), CAPACITY, 0) == Answer((1, 2))


def test_experience_admits_more_only_at_the_offer_s_own_risk() -> None:
    promised = [run(1, 4000, takes=60, usually=10, running=True)]
    offer = run(2, 4000, takes=60, usually=20)
    assert obstacle(offer, promised) != ""
    assert obstacle(replace(offer, hopeful=True), promised) == ""
    third = run(3, 4000, takes=30, due=95)
    # By its whole limit the hopeful one would make this one late, so it can't go first; and as it usually goes, it can.
    assert judge(replace(offer, hopeful=True), [*promised, third], (3,), CAPACITY, 0).order == (3, 2)


def test_a_hopeful_run_is_not_made_late_either() -> None:
    hopeful = run(2, 4000, takes=60, usually=20, due=30, hopeful=True)
    assert obstacle(run(4, 4000, takes=15, due=16), [hopeful]) == (
        "the task would make task 2, accepted before it, 1 s late"
    )


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
    order: tuple[int, ...] = ()
    for task_id, (cpu, ready, takes, due) in enumerate(offers, start=1):
        offer = run(task_id, cpu, ready=ready, takes=takes, due=due)
        answer = judge(offer, admitted, order, CAPACITY, 0)
        if not answer.obstacle:
            admitted.append(offer)
            order = answer.order
        planned = plan_ends(admitted, order, CAPACITY, 0)
        assert set(planned) == {one.task_id for one in admitted}
        assert all(planned[one.task_id] <= one.deadline_ms for one in admitted)


@given(runs, st.lists(st.integers(0, 100), min_size=8, max_size=8))
def test_an_order_only_gets_better_when_runs_end_early_and_files_come_early(
    whole: list[tuple[int, int, int, int]], shares: list[int]
) -> None:
    planned = [run(n, cpu, ready=ready, takes=takes) for n, (cpu, ready, takes, _) in enumerate(whole, start=1)]
    actual = [
        replace(one, run_ms=one.run_ms * share // 100, ready_ms=one.ready_ms * share // 100)
        for one, share in zip(planned, shares, strict=False)
    ]
    order = order_by_deadline(planned, CAPACITY, 0)
    latest, real = plan_ends(planned, order, CAPACITY, 0), plan_ends(actual, order, CAPACITY, 0)
    assert all(real[task_id] <= latest[task_id] for task_id in latest)
