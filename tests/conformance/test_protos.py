"""Our own statement of CometBFT's and Cosmos' wire contracts agrees with theirs, name by name and number by number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from tests.conformance.protos.compare import declarations, differences
from tests.conformance.protos.upstream import compile_protos, upstream_files

PROTO = Path(__file__).resolve().parents[2] / "proto"
UPSTREAM_FOLDERS = ("tendermint", "cosmos")


@pytest.fixture(scope="module")
def our_names() -> list[str]:
    return sorted(
        str(file.relative_to(PROTO)) for folder in UPSTREAM_FOLDERS for file in (PROTO / folder).rglob("*.proto")
    )


@pytest.fixture(scope="module")
def ours(our_names: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[FileDescriptorProto]:
    return compile_protos([PROTO], our_names, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(our_names: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[FileDescriptorProto]:
    return upstream_files(tmp_path_factory.mktemp("theirs"), our_names)


def test_everything_that_we_state_is_upstreams(
    ours: list[FileDescriptorProto], theirs: list[FileDescriptorProto]
) -> None:
    assert len(declarations(ours)) > 100
    assert differences(ours, theirs) == []


def test_every_abci_request_of_consensus_mempool_query_and_snapshots_is_stated(
    ours: list[FileDescriptorProto], theirs: list[FileDescriptorProto]
) -> None:
    """All of Request and Response but the two for a mempool that the application keeps (`mempool.type = "app"`)."""
    for name in ("Request", "Response"):
        stated, published = (
            {field.name for file in files if file.package == "tendermint.abci"
             for message in file.message_type if message.name == name for field in message.field}
            for files in (ours, theirs)
        )  # fmt: skip
        assert published - stated == {"insert_tx", "reap_txs"}


def abci_message(files: list[FileDescriptorProto], name: str) -> list[FieldDescriptorProto]:
    (message,) = (
        message
        for file in files
        if file.package == "tendermint.abci"
        for message in file.message_type
        if message.name == name
    )
    return list(message.field)


def change_number(field: FieldDescriptorProto) -> None:
    field.number = 99


def change_type(field: FieldDescriptorProto) -> None:
    field.type = FieldDescriptorProto.TYPE_STRING


def change_label(field: FieldDescriptorProto) -> None:
    field.label = FieldDescriptorProto.LABEL_REPEATED


def change_name(field: FieldDescriptorProto) -> None:
    field.name = "transaction"


def change_json_name(field: FieldDescriptorProto) -> None:
    field.json_name = "transaction"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (change_number, "tendermint.abci.RequestCheckTx.tx: number is 99, upstream 1"),
        (change_type, "tendermint.abci.RequestCheckTx.tx: type is TYPE_STRING, upstream TYPE_BYTES"),
        (change_label, "tendermint.abci.RequestCheckTx.tx: label is LABEL_REPEATED, upstream LABEL_OPTIONAL"),
        (change_name, "tendermint.abci.RequestCheckTx.transaction: not upstream"),
        (change_json_name, "tendermint.abci.RequestCheckTx.tx: JSON name is transaction, upstream tx"),
    ],
)
def test_a_changed_field_is_found(
    ours: list[FileDescriptorProto],
    theirs: list[FileDescriptorProto],
    change: Callable[[FieldDescriptorProto], None],
    found: str,
) -> None:
    changed = [FileDescriptorProto.FromString(file.SerializeToString()) for file in ours]
    change(abci_message(changed, "RequestCheckTx")[0])
    assert differences(changed, theirs) == [found]


def test_a_changed_path_method_enum_and_message_are_found(
    ours: list[FileDescriptorProto], theirs: list[FileDescriptorProto]
) -> None:
    changed = [FileDescriptorProto.FromString(file.SerializeToString()) for file in ours]
    by_name = {file.name: file for file in changed}
    methods = by_name["cosmos/bank/v1beta1/query.proto"].service[0].method
    methods[0].options.Extensions[annotations_pb2.http].get = "/elsewhere"
    methods[1].name = "EveryBalance"
    by_name["tendermint/abci/types.proto"].enum_type[0].value[1].number = 2
    by_name["cosmos/bank/v1beta1/tx.proto"].message_type[0].name = "MsgSendAll"
    problems = differences(changed, theirs)
    assert [problem.split(":")[0] for problem in problems] == [
        "cosmos.bank.v1beta1.Query.Balance",
        "cosmos.bank.v1beta1.Query.EveryBalance",
        "cosmos.bank.v1beta1.MsgSendAll",
        "tendermint.abci.CheckTxType.RECHECK",
    ]
