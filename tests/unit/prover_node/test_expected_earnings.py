"""What a machine would earn, by the prices of protocol §8."""

from __future__ import annotations

from chain.params import GIB, default_params
from prover_node.duties import Resources
from prover_node.expected_earnings import Expected, expected_hour


def test_a_whole_node_of_the_protocol_s_earns_its_price() -> None:
    params = default_params()
    assert expected_hour(params, Resources(96_000, 768 * GIB), 100) == Expected(100, 610_000, 549_000, 10_980)
    assert expected_hour(params, Resources(64_000, 380 * GIB, 2), 100) == Expected(100, 840_000, 756_000, 15_120)


def test_what_there_is_most_of_counts() -> None:
    params = default_params()
    assert expected_hour(params, Resources(96_000, GIB), 100).fees_ucredit == 610_000
    assert expected_hour(params, Resources(1000, 380 * GIB, 1), 100).fees_ucredit == 840_000


def test_an_idle_machine_earns_nothing_and_half_the_time_half() -> None:
    params, whole = default_params(), Resources(96_000, 768 * GIB)
    assert expected_hour(params, whole, 0) == Expected(0, 0, 0, 0)
    assert expected_hour(params, whole, 50).earned_umill == 274_500


def test_the_price_of_a_credit_counts() -> None:
    params = default_params()
    params.credit_price_umill = 2_000_000
    assert expected_hour(params, Resources(96_000, 768 * GIB), 100).earned_umill == 1_098_000
