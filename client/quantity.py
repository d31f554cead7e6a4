"""Quantities as people write them: cores, memory, durations. Integers throughout."""

from __future__ import annotations

import re

_CPU = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,3}))?|([0-9]{1,9})m")
_MEMORY = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB|TiB)?")
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d)?")
_MEMORY_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class QuantityError(ValueError):
    """The text is not such a quantity."""


def parse_cpu(text: str) -> int:
    """`2`, `0.5` or `500m` → thousandths of a core."""
    match = _CPU.fullmatch(text)
    if match is None:
        raise QuantityError(f"{text!r} is not a number of cores; write for example 2, 0.5 or 500m")
    whole, fraction, millis = match.groups()
    value = int(millis) if millis else int(whole) * 1000 + int((fraction or "").ljust(3, "0"))
    return _positive(value, text)


def parse_memory(text: str) -> int:
    """`512MiB`, `2GiB` or a number of bytes → bytes.

    A bare number below a mebibyte is taken for a forgotten unit: no program runs in five bytes.
    """
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise QuantityError(f"{text!r} is not an amount of memory; write for example 512MiB or 2GiB")
    size = _positive(int(match[1]) * _MEMORY_UNITS[match[2] or "B"], text)
    if match[2] is None and size < _MEMORY_UNITS["MiB"]:
        raise QuantityError(f"{text!r} would be that many bytes; write a unit, for example {text}GiB")
    return size


def parse_duration(text: str) -> int:
    """`90`, `90s`, `15m`, `2h` or `1d` → seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise QuantityError(f"{text!r} is not a duration; write for example 90s, 15m or 2h")
    return _positive(int(match[1]) * _DURATION_UNITS[match[2] or "s"], text)


def format_memory(size: int) -> str:
    """Bytes in the largest unit that divides them."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _MEMORY_UNITS[unit] == 0:
            return f"{size // _MEMORY_UNITS[unit]} {unit}"
    return f"{size} B"


def _positive(value: int, text: str) -> int:
    if value == 0:
        raise QuantityError(f"{text!r} must be more than zero")
    return value
