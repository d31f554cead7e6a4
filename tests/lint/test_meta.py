"""A message, error, query or collection can't be added by half: each has its code, its tests and its command."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from google.protobuf import descriptor_pool

from chain import errors, schema
from chain.errors import ErrorCode
from chain.messages import MESSAGES, MessageSpec
from chain.query import QUERY_PATHS
from chain.state.collections import Collection
from client.cli.main import cli
from tests.support.imports import ROOT, imported, sources

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIT = ROOT / "tests" / "unit" / "chain"
ERRORS = {name: value for name, value in vars(errors).items() if isinstance(value, ErrorCode)}
SPECS = {spec.message.DESCRIPTOR.name: spec for spec in MESSAGES.values()}
# What a person types to send a message; a prover's daemon sends those of its node key itself.
COMMANDS = {
    "MsgSend": "send",
    "MsgGrantCredits": "credits grant",
    "MsgDeployProgram": "program deploy",
    "MsgDeprecateProgram": "program deprecate",
    "MsgRegisterProver": "prover register",
    "MsgUpdateProver": "prover update",
    "MsgTopUpBond": "prover top-up",
    "MsgExitProver": "prover exit",
    "MsgRequestTest": "prover unjail",
    "MsgRunTask": "run",
    "MsgCancelTask": "task cancel",
    "MsgUpdateParams": "params update",
    "MsgAcceptTasks": "prover start",
    "MsgDeclineTasks": "prover start",
    "MsgCommitProofs": "prover start",
    "MsgSubmitProofs": "prover start",
    "MsgReportFailure": "prover start",
    "MsgVotes": "prover start",
}


def snake(name: str) -> str:
    """MsgRunTask → run_task."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.removeprefix("Msg")).lower()


@cache
def names_in(path: Path) -> frozenset[str]:
    """The identifiers that a file uses, other than in its imports."""
    return frozenset(
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name | ast.Attribute)
    )


@cache
def texts_in(path: Path) -> frozenset[str]:
    """The texts that a file writes out, also as parts of f-strings."""
    return frozenset(
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def functions_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node.name


@pytest.mark.parametrize("name", SPECS)
def test_message_has_its_handlers(name: str) -> None:
    spec: MessageSpec = SPECS[name]
    assert spec.validate.__name__ == f"validate_{snake(name)}"
    assert spec.execute.__name__ == f"execute_{snake(name)}"
    assert inspect.signature(spec.execute).return_annotation == f"{name}Response"
    assert spec.message.DESCRIPTOR.fields[0].name == spec.signer_field
    assert spec.gas(spec.message()) > 0


@pytest.mark.parametrize("name", SPECS)
def test_message_has_its_tests(name: str) -> None:
    functions = list(functions_in(UNIT / f"test_{snake(name)}.py"))
    assert any(function.startswith("test_basic") for function in functions)
    assert sum(function.startswith("test_invalid_") for function in functions) >= 3


@pytest.mark.parametrize("name", SPECS)
def test_message_has_a_command(name: str) -> None:
    command: click.Command | None = cli
    for word in COMMANDS[name].split():
        assert isinstance(command, click.Group), COMMANDS[name]
        command = command.get_command(click.Context(command), word)
        assert command is not None, f"mill {COMMANDS[name]} doesn't exist"
    package = "prover_node" if COMMANDS[name].startswith("prover") else "client"
    modules = {module for path in sources(package) for _, module in imported(path.read_text())}
    used = {found for path in sources(package) for found in names_in(path)}
    assert name in used
    assert any(name in module or module.endswith(".tx_pb2") for module in modules)


def test_every_message_on_the_wire_is_registered() -> None:
    """A Msg… without a handler would be a promise that nobody keeps."""
    stated = {
        found
        for path in (ROOT / "proto" / "proofmill").glob("*/v1/tx.proto")
        for found in re.findall(r"^message (Msg\w+) ", path.read_text(), re.MULTILINE)
        if not found.endswith("Response")
    }
    assert stated == set(SPECS) - {"MsgSend"}


def test_error_numbers_are_unique() -> None:
    pairs = [(code.codespace, code.code) for code in ERRORS.values()]
    assert len(set(pairs)) == len(pairs)
    assert all(number > 0 for _, number in pairs)


@pytest.mark.parametrize("name", ERRORS)
def test_error_is_raised_and_tested(name: str) -> None:
    assert any(name in names_in(path) for path in sources("chain")), f"nothing raises {name}"
    assert any(name in names_in(path) for path in UNIT.glob("test_*.py")), f"no unit test provokes {name}"


@pytest.mark.parametrize("path", QUERY_PATHS)
def test_query_is_stated_and_tested(path: str) -> None:
    service, _, method = path.removeprefix("/").rpartition("/")
    stated = descriptor_pool.Default().FindServiceByName(service)
    assert method in stated.methods_by_name
    asked = {text.rpartition("/")[2] for file in UNIT.glob("test_*.py") for text in texts_in(file)}
    assert method in asked


def test_every_query_of_ours_is_answered() -> None:
    stated = set()
    for file in (ROOT / "proto" / "proofmill").glob("*/v1/query.proto"):
        package = f"proofmill.{file.parents[1].name}.v1"
        stated |= {f"/{package}.Query/{rpc}" for rpc in re.findall(r"^  rpc (\w+)\(", file.read_text(), re.MULTILINE)}
    assert stated == {path for path in QUERY_PATHS if path.startswith("/proofmill.")}


def test_every_collection_is_listed() -> None:
    listed = {part.prefix for collection in schema.COLLECTIONS for part in collection.parts()}
    assert listed == {
        part.prefix for value in vars(schema).values() if isinstance(value, Collection) for part in value.parts()
    }
