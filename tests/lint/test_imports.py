"""Import rules that import-linter can't state: an allow-list for chain, and libraries that belong to a single file."""

from __future__ import annotations

import ast

import pytest

from tests.support.imports import ROOT, below, imported, importers, sources

# What of the standard library gives the same result on every machine and Python version.
CHAIN_MAY_IMPORT = (
    *("__future__", "abc", "base64", "binascii", "bisect", "collections", "contextlib", "dataclasses", "enum"),
    *("functools", "hashlib", "heapq", "hmac", "itertools", "json", "operator", "re", "struct", "types", "typing"),
    *("bech32", "coincurve", "google.protobuf"),
    *("chain", "cosmos", "proofmill", "tendermint"),
)


def test_chain_imports_only_what_is_deterministic() -> None:
    strangers = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sources("chain")
        for line, name in imported(path.read_text())
        if not any(below(name, module) for module in CHAIN_MAY_IMPORT)
    ]
    assert not strangers, "\n".join(strangers)


def test_chain_modules_keep_their_handlers_to_themselves() -> None:
    modules = sorted(path.parent.name for path in (ROOT / "chain").glob("*/__init__.py"))
    trespasses = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sources("chain")
        if len(path.relative_to(ROOT / "chain").parts) > 1
        for line, name in imported(path.read_text())
        for module in modules
        if module != path.relative_to(ROOT / "chain").parts[0]
        and name.startswith(f"chain.{module}.")
        and "handler" in name.removeprefix(f"chain.{module}.").split(".")[0]
    ]
    assert not trespasses, "\n".join(trespasses)


@pytest.mark.parametrize(
    ("module", "home"),
    [("plyvel", "validator_node/store.py"), ("docker", "prover_node/runner/engine.py")],
)
def test_library_belongs_to_one_file(module: str, home: str) -> None:
    assert importers(module) == {home}


def starts_processes(source: str) -> bool:
    """Whether a file can start a process: by subprocess, or by asyncio's own functions."""
    return any(below(name, "subprocess") for _, name in imported(source)) or any(
        isinstance(node, ast.Attribute) and node.attr in ("create_subprocess_exec", "create_subprocess_shell")
        for node in ast.walk(ast.parse(source))
    )


def test_cometbft_is_run_from_one_file() -> None:
    """The localnet starts processes too, but those are our own nodes."""
    starting = {str(path.relative_to(ROOT)) for path in sources("validator_node") if starts_processes(path.read_text())}
    assert {path for path in starting if not path.startswith("validator_node/localnet/")} == {"validator_node/comet.py"}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import os.path as p, time", ["os.path", "time"]),
        ("def f():\n    from a.b import c", ["a.b.c"]),
        ("from . import x", ["..x"]),
        ("if True:\n    import plyvel", ["plyvel"]),
    ],
)
def test_imports_are_found(source: str, names: list[str]) -> None:
    assert [name for _, name in imported(source)] == names


def test_a_name_that_merely_begins_alike_is_another_module() -> None:
    assert below("docker.errors", "docker")
    assert not below("dockerfile", "docker")
