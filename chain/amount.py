"""Amounts of money as users write them. Inside the state machine they are integers of umill and ucredit."""

from __future__ import annotations

import re

UMILL = "umill"
UCREDIT = "ucredit"
_MICRO = 1_000_000
_PATTERN = re.compile(r"(?P<whole>[0-9]{1,13})(?:\.(?P<fraction>[0-9]{1,6}))? *(?P<unit>[a-z]+)")
MAX_AMOUNT = 2**63 - 1


class AmountError(ValueError):
    """The text is not an amount of money."""


def parse_amount(text: str) -> tuple[int, str]:
    """`12.5mill` → (12500000, "umill"); units mill, umill, credit, credits, ucredit. AmountError for anything else."""
    match = _PATTERN.fullmatch(text.strip().lower())
    if match is None:
        raise AmountError(f"{text!r} is not an amount; write for example 12.5mill, 300umill, 2credit or 500ucredit")
    whole, fraction, unit = match["whole"], match["fraction"] or "", match["unit"]
    if unit in (UMILL, UCREDIT):
        if fraction:
            raise AmountError(f"{text!r}: {unit} is the smallest unit, so it has no decimals")
        return _checked(int(whole), text), unit
    if unit in ("mill", "credit", "credits"):
        micro = int(whole) * _MICRO + int(fraction.ljust(6, "0"))
        return _checked(micro, text), UMILL if unit == "mill" else UCREDIT
    raise AmountError(f"{text!r}: unknown unit {unit!r}; use mill, umill, credit or ucredit")


def format_amount(amount: int, denom: str) -> str:
    """(12500000, "umill") → `12.5 MILL`; ucredit likewise as credits."""
    unit = {UMILL: "MILL", UCREDIT: "credits"}.get(denom)
    if unit is None:
        return f"{amount} {denom}"
    whole, micro = divmod(abs(amount), _MICRO)
    sign = "-" if amount < 0 else ""
    fraction = f".{micro:06d}".rstrip("0") if micro else ""
    return f"{sign}{whole}{fraction} {unit}"


def _checked(amount: int, text: str) -> int:
    if amount > MAX_AMOUNT:
        raise AmountError(f"{text!r} is more than the {MAX_AMOUNT} units that an amount may have")
    return amount
