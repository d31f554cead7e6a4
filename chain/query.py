"""Queries: gRPC method paths to handlers, a line each. Reads a committed state, changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from cosmos.auth.v1beta1 import query_pb2 as auth_pb
from cosmos.bank.v1beta1 import query_pb2 as bank_pb
from cosmos.tx.v1beta1 import service_pb2 as tx_pb
from proofmill.credits.v1 import query_pb2 as credits_pb
from proofmill.params.v1 import query_pb2 as params_pb
from proofmill.program.v1 import query_pb2 as program_pb
from proofmill.prover.v1 import query_pb2 as prover_pb
from proofmill.task.v1 import query_pb2 as task_pb

from chain.bank import auth_queries, queries as bank_queries
from chain.codec import decode_strict
from chain.errors import INVALID_REQUEST, UNKNOWN_REQUEST
from chain.program import queries as program_queries
from chain.prover import queries as prover_queries
from chain.query_context import QueryContext
from chain.simulate import query_simulate
from chain.task import queries as task_queries

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

__all__ = ["QUERY_PATHS", "QueryContext", "query"]


@dataclass(frozen=True, slots=True)
class _Query:
    request: type[Message]
    answer: Callable[[QueryContext, Any], Message]


_AUTH = "/cosmos.auth.v1beta1.Query/"
_BANK = "/cosmos.bank.v1beta1.Query/"
_PROGRAM = "/proofmill.program.v1.Query/"
_PROVER = "/proofmill.prover.v1.Query/"
_TASK = "/proofmill.task.v1.Query/"

_QUERIES: Final = MappingProxyType(
    {
        f"{_AUTH}Account": _Query(auth_pb.QueryAccountRequest, auth_queries.query_account),
        f"{_AUTH}AccountInfo": _Query(auth_pb.QueryAccountInfoRequest, auth_queries.query_account_info),
        f"{_AUTH}Accounts": _Query(auth_pb.QueryAccountsRequest, auth_queries.query_accounts),
        f"{_AUTH}Params": _Query(auth_pb.QueryParamsRequest, auth_queries.query_params),
        f"{_AUTH}Bech32Prefix": _Query(auth_pb.Bech32PrefixRequest, auth_queries.query_bech32_prefix),
        f"{_BANK}Balance": _Query(bank_pb.QueryBalanceRequest, bank_queries.query_balance),
        f"{_BANK}AllBalances": _Query(bank_pb.QueryAllBalancesRequest, bank_queries.query_all_balances),
        f"{_BANK}SpendableBalances": _Query(
            bank_pb.QuerySpendableBalancesRequest, bank_queries.query_spendable_balances
        ),
        f"{_BANK}TotalSupply": _Query(bank_pb.QueryTotalSupplyRequest, bank_queries.query_total_supply),
        f"{_BANK}SupplyOf": _Query(bank_pb.QuerySupplyOfRequest, bank_queries.query_supply_of),
        f"{_BANK}Params": _Query(bank_pb.QueryParamsRequest, bank_queries.query_params),
        f"{_BANK}DenomMetadata": _Query(bank_pb.QueryDenomMetadataRequest, bank_queries.query_denom_metadata),
        f"{_BANK}DenomsMetadata": _Query(bank_pb.QueryDenomsMetadataRequest, bank_queries.query_denoms_metadata),
        "/cosmos.tx.v1beta1.Service/Simulate": _Query(tx_pb.SimulateRequest, query_simulate),
        "/proofmill.credits.v1.Query/Pools": _Query(credits_pb.QueryPoolsRequest, bank_queries.query_pools),
        "/proofmill.params.v1.Query/Params": _Query(params_pb.QueryParamsRequest, bank_queries.query_chain_params),
        f"{_PROGRAM}Program": _Query(program_pb.QueryProgramRequest, program_queries.query_program),
        f"{_PROGRAM}ProgramStats": _Query(program_pb.QueryProgramStatsRequest, program_queries.query_program_stats),
        f"{_PROGRAM}Programs": _Query(program_pb.QueryProgramsRequest, program_queries.query_programs),
        f"{_PROVER}Prover": _Query(prover_pb.QueryProverRequest, prover_queries.query_prover),
        f"{_PROVER}Provers": _Query(prover_pb.QueryProversRequest, prover_queries.query_provers),
        f"{_PROVER}ProverStatus": _Query(prover_pb.QueryProverStatusRequest, prover_queries.query_prover_status),
        f"{_PROVER}ProverDuties": _Query(prover_pb.QueryProverDutiesRequest, prover_queries.query_prover_duties),
        f"{_TASK}Task": _Query(task_pb.QueryTaskRequest, task_queries.query_task),
        f"{_TASK}Tasks": _Query(task_pb.QueryTasksRequest, task_queries.query_tasks),
        f"{_TASK}Estimate": _Query(task_pb.QueryEstimateRequest, task_queries.query_estimate),
    }
)
QUERY_PATHS: Final = tuple(_QUERIES)


def query(context: QueryContext, path: str, request: bytes) -> bytes:
    """The encoded answer to an encoded request; TxError for unknown paths, bad requests and what isn't there."""
    handler = _QUERIES.get(path)
    if handler is None:
        raise UNKNOWN_REQUEST.error(f"{path[:120]!r} is not a query of this chain")
    message = decode_strict(handler.request, request, "the request", INVALID_REQUEST)
    return handler.answer(context, message).SerializeToString(deterministic=True)
