"""Which modules a Python file imports, anywhere in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("chain", "client", "prover_node", "validator_node")


def imported(source: str) -> list[tuple[int, str]]:
    """Line and dotted name of every import; `from a import b` gives `a.b`, because b may be a module."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.lineno, f"{'.' * node.level}{node.module or ''}.{alias.name}") for alias in node.names]
    return sorted(found)


def below(name: str, module: str) -> bool:
    """Whether `name` is `module` or something in it."""
    return name == module or name.startswith(f"{module}.")


def sources(*packages: str) -> Iterator[Path]:
    """Our source files, in the packages named or in all."""
    for package in packages or PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def importers(module: str) -> set[str]:
    """The files of ours that import `module` or something in it, relative to the checkout."""
    return {
        str(path.relative_to(ROOT))
        for path in sources()
        if any(below(name, module) for _, name in imported(path.read_text()))
    }
