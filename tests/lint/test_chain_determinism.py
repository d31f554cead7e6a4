"""The state machine contains nothing that could differ between machines; and the lint that says so really looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.determinism import find_violations

CHAIN = Path(__file__).resolve().parents[2] / "chain"
FILES = sorted(CHAIN.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CHAIN)))
def test_chain_is_deterministic(path: Path) -> None:
    found = [f"{path}:{violation.line}: {violation.message}" for violation in find_violations(path.read_text())]
    assert not found, "\n".join(found)


def test_chain_was_found() -> None:
    assert CHAIN / "__init__.py" in FILES


BAD = [
    ("float", "x = 0.5"),
    ("float", "x = 1e6"),
    ("float", "x = 1j"),
    ("division", "def f(a, b): return a / b"),
    ("division", "def f(a): a /= 2"),
    ("assert", "def f(a): assert a"),
    ("catch-all", "try:\n    f()\nexcept:\n    pass"),
    ("catch-all", "try:\n    f()\nexcept (ValueError, BaseException):\n    pass"),
    *((f"call-{name}", f"y = {name}(x)") for name in ("round", "hash", "id", "float", "open", "print", "eval", "vars")),
    ("set-order", "for x in {1, 2}: pass"),
    ("set-order", "for x in set(y): pass"),
    ("set-order", "for x in frozenset(y) | z: pass"),
    ("set-order", "def f(names: set[str]):\n    for n in names: pass"),
    ("set-order", "def f(names: frozenset[str] | None):\n    return [n for n in names]"),
    ("set-order", "def f(y):\n    seen = set()\n    return list(seen)"),
    ("set-order", "def f(y):\n    seen: set[int] = y\n    return tuple(x + 1 for x in seen)"),
    ("set-order", "class A:\n    names: frozenset[str]\n    def f(self):\n        return ','.join(self.names)"),
    (
        "set-order",
        "class A:\n    def __init__(self):\n        self.names = set()\n    def f(self): return self.names.pop()",
    ),
    ("set-order", "def f(a): return [*{x for x in a}]"),
    ("set-order", "def f(): a, b = {1, 2}"),
    ("set-order", "def f(a):\n    yield from set(a).union(b)"),
    ("set-order", "def f(a, out): out.extend(set(a))"),
    ("module-state", "CACHE = {}"),
    ("module-state", "NAMES = ['a', 'b']"),
    ("module-state", "NAMES: list[str] = list()"),
    ("module-state", "NAMES = {n for n in 'ab'}"),
    ("module-state", "import collections\nHITS = collections.defaultdict(int)"),
    ("module-state", "if True:\n    BUFFER = bytearray()"),
    ("module-state", "try:\n    A = ()\nexcept KeyError:\n    A = []"),
    ("module-state", "class A:\n    cache = {}"),
    ("module-state", "ONCE = (x for x in ())"),
    ("module-state", "N = 0\ndef f():\n    global N\n    N += 1"),
]


@pytest.mark.parametrize(("rule", "source"), BAD)
def test_lint_catches(rule: str, source: str) -> None:
    assert [violation.rule for violation in find_violations(source)] == [rule]


GOOD = [
    "def f(a, b): return a // b",
    "for x in sorted({1, 2}): pass",
    "def f(a): return 1 in {1, 2} and len(set(a)) == len(a)",
    "def f(names: set[str]): return sorted(names)",
    "def f(a, b): return sorted(set(a) - set(b))",
    "def f(rows: dict[bytes, int]):\n    for key, value in rows.items(): pass",
    "from types import MappingProxyType\nTABLE = MappingProxyType({'a': 1})",
    "NAMES = ('a', 'b')\nKINDS = frozenset({1, 2})\nHALF = (1, 2)",
    "__all__ = ['a']\nclass A:\n    __slots__ = ['b']",
    "def f():\n    found = []\n    return found",
    "try:\n    f()\nexcept Exception:\n    raise",
    "class A:\n    def round(self): return 1\ndef f(a): return a.round()",
]


@pytest.mark.parametrize("source", GOOD)
def test_lint_lets_pass(source: str) -> None:
    assert find_violations(source) == []
