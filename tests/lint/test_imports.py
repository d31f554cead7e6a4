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
    [("plyvel", "validator_node/store.py"), ("docker", "prover_node/runner/docker.py")],
)
def test_library_belongs_to_one_file(module: str, home: str) -> None:
    assert importers(module) == {home}


def test_cometbft_is_run_from_one_file() -> None:
    running = {
        str(path.relative_to(ROOT))
        for path in sources("validator_node")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in ("--proxy_app", "--proxy-app", "--p2p.persistent_peers")
    }
    assert running == {"validator_node/comet.py"}


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
