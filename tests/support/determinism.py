"""An `ast` lint: what may not stand in the state machine because it could differ between machines or runs.

Module-level and class-level state: a value there must be immutable. A registry is a `MappingProxyType({...})`, a
`tuple` or a `frozenset`, complete when the module has been imported; nothing registers itself later, because then the
state machine would depend on what was imported, and in which order. `__all__` and `__slots__` may be lists.

Sets: membership, size and set algebra are fine, and `sorted(a_set)` is how one is walked. Anything that would show
a set's own order (loops, comprehensions, unpacking, `list`, `tuple`, `join`, `pop`, …) is refused. A name or attribute
counts as a set when it is assigned or annotated as one in the same file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

BANNED_CALLS = {
    "__import__": "the state machine's code must not depend on what is installed",
    "complex": "integers only",
    "eval": "no code from data",
    "exec": "no code from data",
    "float": "integers only",
    "hash": "hash() differs between processes; use sha256",
    "id": "id() is an address",
    "input": "no I/O in the state machine",
    "open": "no I/O in the state machine",
    "print": "no I/O in the state machine",
    "round": "round() is for floats; say how to round with //",
    "vars": "what vars() shows isn't part of the protocol",
}
MUTABLE_MAKERS = {"Counter", "OrderedDict", "bytearray", "defaultdict", "deque", "dict", "list", "set"}
MUTABLE_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)
LISTS_ALLOWED = {"__all__", "__slots__"}
SET_TYPES = {"set", "frozenset", "Set", "AbstractSet", "FrozenSet", "MutableSet"}
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
SHOWS_ORDER = {"dict", "enumerate", "filter", "iter", "list", "map", "next", "reversed", "tuple", "zip"}
METHODS_SHOWING_ORDER = {"extend", "fromkeys", "join"}


@dataclass(frozen=True)
class Violation:
    """One place that could make two nodes disagree: `rule` is a stable short name, `line` counts from 1."""

    line: int
    rule: str
    message: str


def called_name(node: ast.expr) -> str:
    """`f` for `f(...)` and `module.f(...)`; empty for anything else."""
    if isinstance(node, ast.Call):
        node = node.func
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Attribute):
            return node.attr
    return ""


def is_set_annotation(node: ast.expr | None) -> bool:
    """Whether an annotation is a set type, also as `set[…] | None` or a string."""
    match node:
        case ast.Constant(value=str(text)):
            return is_set_annotation(ast.parse(text, mode="eval").body)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return is_set_annotation(left) or is_set_annotation(right)
        case ast.Subscript(value=ast.Name(id="Final" | "ClassVar" | "Optional"), slice=inner):
            return is_set_annotation(inner)
        case ast.Subscript(value=outer):
            return is_set_annotation(outer)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in SET_TYPES
    return False


def target_name(node: ast.expr) -> str:
    """`x` for a plain name, `.x` for an attribute of anything, empty for other targets."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return f".{name}"
    return ""


class SetNames(ast.NodeVisitor):
    """Collect the names and attributes that a file assigns or annotates as sets."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if is_set_annotation(node.annotation):
            self.names.add(target_name(node.target))
            self.names.add(f".{target_name(node.target).lstrip('.')}")  # a dataclass field is read as an attribute
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if is_set(node.value, self.names):
            self.names.update(target_name(target) for target in node.targets)
        self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        if is_set_annotation(node.annotation):
            self.names.add(node.arg)


def is_set(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is known to be a set."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Call(func=ast.Attribute(value=owner, attr=method)) if method in {*SET_METHODS, "copy"}:
            return is_set(owner, names)
        case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), left=left, right=right):
            return is_set(left, names) or is_set(right, names)
        case ast.Name() | ast.Attribute():
            return target_name(node) in names
    return False


class Lint(ast.NodeVisitor):
    """Walk one file and collect its violations."""

    def __init__(self, tree: ast.Module) -> None:
        collector = SetNames()
        collector.visit(tree)
        self.sets = collector.names - {"", "."}
        self.found: list[Violation] = []

    def report(self, node: ast.AST, rule: str, message: str) -> None:
        self.found.append(Violation(getattr(node, "lineno", 0), rule, message))

    def check_order(self, node: ast.expr) -> None:
        if is_set(node, self.sets):
            self.report(node, "set-order", "a set's order differs between processes; walk sorted(…) instead")

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, float | complex):
            self.report(node, "float", "integers only")

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Div):
            self.report(node, "division", "/ makes a float; use //")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.op, ast.Div):
            self.report(node, "division", "/= makes a float; use //=")
        self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        self.report(node, "assert", "python -O drops assert; raise an error")
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.report(node, "module-state", "global makes module state that a block can change")

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        if any(name is None or target_name(name).lstrip(".") == "BaseException" for name in caught):
            self.report(node, "catch-all", "running out of memory or stack must stop the node, not become a result")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
            self.report(node, f"call-{node.func.id}", BANNED_CALLS[node.func.id])
        if isinstance(node.func, ast.Name) and node.func.id in SHOWS_ORDER:
            for argument in node.args:
                self.check_order(argument)
        if isinstance(node.func, ast.Attribute):
            if node.func.attr in METHODS_SHOWING_ORDER:
                for argument in node.args:
                    self.check_order(argument)
            if node.func.attr == "pop":
                self.check_order(node.func.value)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self.check_order(node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self.check_order(node.iter)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        self.check_order(node.value)
        self.generic_visit(node)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> None:
        self.check_order(node.value)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(isinstance(target, ast.Tuple | ast.List) for target in node.targets):
            self.check_order(node.value)
        self.generic_visit(node)

    def visit_Module(self, node: ast.Module) -> None:
        self.check_state(node.body)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.check_state(node.body)
        self.generic_visit(node)

    def check_state(self, body: list[ast.stmt]) -> None:
        """Refuse a mutable value bound in a module's or a class's own body, inside `if` and `try` too."""
        for statement in flattened(body):
            match statement:
                case ast.Assign(targets=targets, value=value):
                    names = {target_name(target) for target in targets}
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    names = {target_name(target)}
                case _:
                    continue
            if names <= LISTS_ALLOWED:
                continue
            if isinstance(value, MUTABLE_DISPLAYS) or called_name(value) in MUTABLE_MAKERS:
                self.report(statement, "module-state", "bind a tuple, a frozenset or a MappingProxyType here")


def flattened(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a body runs: its own and those in its if, for, while, try and with blocks."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for block in ("body", "orelse", "finalbody"):
            yield from flattened(getattr(statement, block, []))
        for handler in getattr(statement, "handlers", []):
            yield from flattened(handler.body)


def find_violations(source: str) -> list[Violation]:
    """All violations in one file's source, by line."""
    tree = ast.parse(source)
    lint = Lint(tree)
    lint.visit(tree)
    return sorted(lint.found, key=lambda violation: (violation.line, violation.rule))
