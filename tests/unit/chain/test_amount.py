"""Amounts as people write and read them."""

from __future__ import annotations

import pytest

from chain.amount import MAX_AMOUNT, AmountError, format_amount, parse_amount


@pytest.mark.parametrize(
    ("text", "amount", "denom"),
    [
        ("12.5mill", 12_500_000, "umill"),
        ("12.5 MILL", 12_500_000, "umill"),
        ("0.000001mill", 1, "umill"),
        ("300umill", 300, "umill"),
        ("2credit", 2_000_000, "ucredit"),
        ("2credits", 2_000_000, "ucredit"),
        ("500ucredit", 500, "ucredit"),
        ("0mill", 0, "umill"),
        ("9223372036854.775807mill", MAX_AMOUNT, "umill"),
    ],
)
def test_basic(text: str, amount: int, denom: str) -> None:
    assert parse_amount(text) == (amount, denom)
    assert parse_amount(format_amount(amount, denom)) == (amount, denom)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mill",
        "5",
        "-5mill",
        "1.5umill",
        "1.0000001mill",
        "5 dollars",
        "1e3mill",
        "٣mill",
        "9223372036854.775808mill",
    ],
)
def test_invalid(text: str) -> None:
    with pytest.raises(AmountError):
        parse_amount(text)


def test_unknown_coins_are_shown_as_they_are() -> None:
    assert format_amount(7, "uatom") == "7 uatom"
    assert format_amount(-1_500_000, "umill") == "-1.5 MILL"
