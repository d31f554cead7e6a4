"""Puts tables into docs/simulation.md, between its marks, and plots beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "simulation.md"
_MARK: Final = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str, tables: Mapping[str, str]) -> str:
    """The document with every table replaced; ValueError if they aren't those that it has marks for."""
    names = [match[1] for match in _MARK.findall(text)]
    if sorted(names) != sorted(tables):
        raise ValueError(f"the document has marks for {sorted(names)}, and there are tables {sorted(tables)}")
    return _MARK.sub(lambda match: f"{match[1]}\n{tables[match[2]]}\n\n{match[3]}", text)


def write(tables: Mapping[str, str], plots: Mapping[str, str]) -> None:
    DOCUMENT.write_text(fill(DOCUMENT.read_text(), tables))
    folder = DOCUMENT.with_suffix("")
    folder.mkdir(exist_ok=True)
    for name, svg in plots.items():
        (folder / name).write_text(svg)
