"""Which of several chain nodes is used."""

from __future__ import annotations

from prover_node.node_choice import NodeChoice, NodeReport


def reports(*heights: int | str) -> list[NodeReport]:
    """A height, or what is wrong."""
    return [
        NodeReport(str(index), one) if isinstance(one, int) else NodeReport(str(index), problem=one)
        for index, one in enumerate(heights)
    ]


def chosen(choice: NodeChoice, *heights: int | str) -> int:
    choice.survey(reports(*heights))
    return choice.index


def test_the_first_is_used_while_it_is_fresh() -> None:
    choice = NodeChoice(3)
    assert [chosen(choice, height, height + 2, height + 1) for height in range(10, 14)] == [0] * 4


def test_one_that_lags_behind_is_left_for_the_freshest() -> None:
    assert chosen(NodeChoice(3), 10, 13, 14) == 2


def test_one_that_is_gone_is_left_for_the_first_of_the_fresh_ones() -> None:
    assert chosen(NodeChoice(3), "it doesn't answer", 14, 14) == 1


def test_the_height_of_a_node_of_another_chain_counts_for_nothing() -> None:
    assert chosen(NodeChoice(2), 10, "it follows another chain") == 0


def test_the_first_is_gone_back_to_once_it_has_been_fresh_for_a_while() -> None:
    choice = NodeChoice(2)
    assert [chosen(choice, *heights) for heights in ((1, 9), (10, 10), (11, 11), (5, 12))] == [1, 1, 1, 1]
    assert [chosen(choice, *heights) for heights in ((13, 13), (14, 14), (15, 15))] == [1, 1, 0]


def test_while_none_can_be_used_the_last_one_stays() -> None:
    choice = NodeChoice(2)
    assert chosen(choice, "gone", 5) == 1
    assert chosen(choice, "gone", "gone") == 1


def test_when_one_fails_another_that_was_fit_lately_is_used_at_once() -> None:
    choice = NodeChoice(3)
    assert chosen(choice, 10, "gone", 10) == 0
    choice.failed()
    assert choice.index == 2


def test_before_anything_is_known_they_are_tried_in_turn() -> None:
    choice = NodeChoice(3)
    seen = []
    for _ in range(4):
        choice.failed()
        seen.append(choice.index)
    assert seen == [1, 2, 0, 1]


def test_a_single_node_is_all_there_is() -> None:
    choice = NodeChoice(1)
    choice.failed()
    assert choice.index == 0
