"""What a chain can be asked, typed: the answers are the protocol's own messages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Protocol, Self, TypeVar

from cosmos.bank.v1beta1.query_pb2 import QueryAllBalancesRequest, QueryAllBalancesResponse
from cosmos.base.query.v1beta1.pagination_pb2 import PageRequest, PageResponse
from google.protobuf.message import Message
from proofmill.credits.v1.query_pb2 import QueryPoolsRequest, QueryPoolsResponse
from proofmill.credits.v1.state_pb2 import Pools
from proofmill.params.v1.query_pb2 import QueryParamsRequest, QueryParamsResponse
from proofmill.params.v1.state_pb2 import Params
from proofmill.program.v1.query_pb2 import (
    QueryProgramRequest,
    QueryProgramResponse,
    QueryProgramsRequest,
    QueryProgramsResponse,
    QueryProgramStatsRequest,
    QueryProgramStatsResponse,
)
from proofmill.program.v1.state_pb2 import PROGRAM_STATUS_ACTIVE, Program, ProgramStats
from proofmill.prover.v1.query_pb2 import (
    QueryProverDutiesRequest,
    QueryProverDutiesResponse,
    QueryProverRequest,
    QueryProverResponse,
    QueryProversRequest,
    QueryProversResponse,
    QueryProverStatusRequest,
    QueryProverStatusResponse,
)
from proofmill.prover.v1.state_pb2 import Prover, ProverStatus
from proofmill.task.v1.query_pb2 import (
    QueryEstimateRequest,
    QueryEstimateResponse,
    QueryTaskRequest,
    QueryTaskResponse,
    QueryTasksRequest,
    QueryTasksResponse,
    TaskView,
)
from proofmill.task.v1.state_pb2 import TaskStatus
from proofmill.types.v1.types_pb2 import Resources

from chain.amount import UCREDIT, UMILL
from client.errors import InvalidInput
from client.messages import check_address
from client.rpc import Rpc
from client.rpc_types import NodeStatus, TxInfo

_PAGE = 100
_PROGRAM_ID = re.compile(r"[0-9a-f]{8,64}")
_TX_HASH = re.compile(r"[0-9A-F]{64}")


class _Paged(Protocol):
    @property
    def pagination(self) -> PageResponse: ...


P = TypeVar("P", bound=_Paged)
M = TypeVar("M", bound=Message)


class Queries:
    """Asks one node. Errors: :class:`NodeUnreachable`, and :class:`QueryFailed` with the chain's numbered error."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self.rpc.close()

    async def status(self) -> NodeStatus:
        return await self.rpc.status()

    async def balances(self, address: str) -> dict[str, int]:
        """Amounts by denomination; `umill` and `ucredit` are always there."""
        request = QueryAllBalancesRequest(address=check_address(address))
        answer = await self.rpc.query("/cosmos.bank.v1beta1.Query/AllBalances", request, QueryAllBalancesResponse)
        return {UMILL: 0, UCREDIT: 0} | {coin.denom: int(coin.amount) for coin in answer.balances}

    async def params(self, version: int = 0) -> Params:
        """Those in force now, or of an earlier version."""
        request = QueryParamsRequest(version=version)
        return (await self.rpc.query("/proofmill.params.v1.Query/Params", request, QueryParamsResponse)).params

    async def pools(self) -> Pools:
        answer = await self.rpc.query("/proofmill.credits.v1.Query/Pools", QueryPoolsRequest(), QueryPoolsResponse)
        return answer.pools

    async def program(self, program: str) -> Program:
        """By id, by the first 8 or more digits of it, or as `name` or `name@version`.

        A name stands for its newest active program; if several deployers use it, the id is needed.
        """
        if _PROGRAM_ID.fullmatch(program):
            request = QueryProgramRequest(program_id=program)
            return (await self.rpc.query("/proofmill.program.v1.Query/Program", request, QueryProgramResponse)).program
        name, _, version = program.partition("@")
        found = [one async for one in self.programs(name=name) if not version or one.spec.version == version]
        active = [one for one in found if one.status == PROGRAM_STATUS_ACTIVE]
        if not active:
            what = "none of that name is active" if found else "see mill program list"
            raise InvalidInput(f"there is no program {program!r}: {what}")
        if len({one.deployer for one in active}) > 1:
            ids = ", ".join(one.id.hex()[:16] for one in active)
            raise InvalidInput(f"several deployers have a program {program!r}: name it by its id, one of {ids}")
        return max(active, key=lambda one: one.deployed_height)

    async def programs(self, *, deployer: str = "", name: str = "", limit: int | None = None) -> AsyncIterator[Program]:
        async def page(pagination: PageRequest) -> QueryProgramsResponse:
            request = QueryProgramsRequest(deployer=deployer, name=name, pagination=pagination)
            return await self.rpc.query("/proofmill.program.v1.Query/Programs", request, QueryProgramsResponse)

        async for one in _pages(page, limit):
            for program in one.programs:
                yield program

    async def program_stats(self, program_id: str) -> tuple[ProgramStats, ...]:
        """How a program's runs went, by class of resources."""
        request = QueryProgramStatsRequest(program_id=program_id)
        path = "/proofmill.program.v1.Query/ProgramStats"
        return tuple((await self.rpc.query(path, request, QueryProgramStatsResponse)).stats)

    async def estimate(
        self, program_id: str, *, time_limit_s: int, resources: Resources | None = None, redundancy: int = 1
    ) -> QueryEstimateResponse:
        """The fee in ucredit that a run would lock now, the resources that it is for, and how such runs went so far."""
        request = QueryEstimateRequest(
            program_id=program_id, resources=resources, time_limit_s=time_limit_s, redundancy=redundancy
        )
        return await self.rpc.query("/proofmill.task.v1.Query/Estimate", request, QueryEstimateResponse)

    async def task(self, task_id: int) -> QueryTaskResponse:
        """A task's whole life so far."""
        request = QueryTaskRequest(task_id=task_id)
        return await self.rpc.query("/proofmill.task.v1.Query/Task", request, QueryTaskResponse)

    async def tasks(
        self, *, user: str = "", status: TaskStatus | str | None = None, limit: int | None = None
    ) -> AsyncIterator[TaskView]:
        """Newest first; ``status`` may be a full name such as `TASK_STATUS_DONE`."""

        async def page(pagination: PageRequest) -> QueryTasksResponse:
            request = QueryTasksRequest(user=user, status=status, pagination=pagination)
            return await self.rpc.query("/proofmill.task.v1.Query/Tasks", request, QueryTasksResponse)

        async for one in _pages(page, limit):
            for task in one.tasks:
                yield task

    async def prover(self, address: str) -> Prover:
        """``address``: of the operator or of the node key."""
        request = QueryProverRequest(address=check_address(address))
        return (await self.rpc.query("/proofmill.prover.v1.Query/Prover", request, QueryProverResponse)).prover

    async def provers(
        self, *, status: ProverStatus | str | None = None, limit: int | None = None
    ) -> AsyncIterator[Prover]:
        async def page(pagination: PageRequest) -> QueryProversResponse:
            request = QueryProversRequest(status=status, pagination=pagination)
            return await self.rpc.query("/proofmill.prover.v1.Query/Provers", request, QueryProversResponse)

        async for one in _pages(page, limit):
            for prover in one.provers:
                yield prover

    async def prover_status(self, address: str) -> QueryProverStatusResponse:
        """Everything that decides whether a prover may work."""
        request = QueryProverStatusRequest(address=check_address(address))
        return await self.rpc.query("/proofmill.prover.v1.Query/ProverStatus", request, QueryProverStatusResponse)

    async def prover_duties(self, address: str) -> QueryProverDutiesResponse:
        """Everything that a prover owes now."""
        request = QueryProverDutiesRequest(address=check_address(address))
        return await self.rpc.query("/proofmill.prover.v1.Query/ProverDuties", request, QueryProverDutiesResponse)

    async def tx(self, tx_hash: str) -> TxInfo:
        """A transaction in a block, by its hash; :class:`InvalidInput` if there is none."""
        wanted = tx_hash.upper().removeprefix("0X")
        if not _TX_HASH.fullmatch(wanted):
            raise InvalidInput(f"{tx_hash!r} is not a transaction hash of 64 hexadecimal digits")
        found = await self.rpc.tx(wanted)
        if found is None:
            raise InvalidInput(f"transaction {wanted} is in no block that this node knows")
        return found


async def _pages(page: Callable[[PageRequest], Awaitable[P]], limit: int | None) -> AsyncIterator[P]:
    """Page after page until the last, or until ``limit`` entries were asked for."""
    key = b""
    while limit is None or limit > 0:
        size = _PAGE if limit is None else min(_PAGE, limit)
        answer = await page(PageRequest(key=key, limit=size))
        yield answer
        key = answer.pagination.next_key
        if not key:
            return
        limit = None if limit is None else limit - size
