"""The daemon's way to the chain: one of several nodes, another one when it stops answering or lags behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import structlog
from google.protobuf.message import Message
from proofmill.params.v1.state_pb2 import Params
from proofmill.program.v1.state_pb2 import Program
from proofmill.prover.v1.state_pb2 import Prover
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE, Assignment

from chain.amount import UMILL
from chain.errors import INSUFFICIENT_FEE, PROVER_NOT_FOUND
from chain.messages import MESSAGES
from client.errors import ClientError, NodeUnreachable, QueryFailed, TxRejected
from client.queries import Queries
from client.rpc import Rpc
from client.rpc_types import BlockHeader
from client.tx import Signer
from client.wallet import TxOutcome, Wallet
from prover_node.chain_duties import read_duties, read_standing
from prover_node.duties import Standing
from prover_node.events import DutiesReported
from prover_node.node_choice import NodeChoice, NodeReport

_RPC_TIMEOUT_S = 5.0
_PATIENCE_S = 5.0
# Where there is another node, offers must not run out while one hangs.
_SHORT_TIMEOUT_S = 2.5
_SURVEY_S = 3.0
# Offers and votes are due within a few blocks: a transaction that got lost must not hold up the next for longer.
_TIMEOUT_BLOCKS = 5

log = structlog.get_logger("prover.chain")


class ChainLink:
    """Queries and transactions of one prover. Everything raises NodeUnreachable when the present node is gone.

    ``urls`` are RPC base URLs; ``operator`` is the prover's operator address.
    """

    def __init__(self, urls: Sequence[str], chain_id: str, operator: str, signer: Signer) -> None:
        self._patience_s = _PATIENCE_S if len(urls) == 1 else _SHORT_TIMEOUT_S
        timeout_s = _RPC_TIMEOUT_S if len(urls) == 1 else _SHORT_TIMEOUT_S
        self._rpcs = tuple(Rpc(url, timeout_s=timeout_s) for url in urls)
        self._chain_id = chain_id
        self._operator = operator
        self._choice = NodeChoice(len(urls))
        self._reports: tuple[NodeReport, ...] = tuple(NodeReport(url, problem="not asked yet") for url in urls)
        self.changed = asyncio.Event()
        """Set whenever another node is used; whoever waits for it clears it."""
        self.use_key(signer)

    def use_key(self, signer: Signer) -> None:
        """Sign with this key from now on; what is under way goes on as it was signed."""
        self._wallets = tuple(
            Wallet(
                rpc,
                signer,
                chain_id=self._chain_id,
                timeout_blocks=_TIMEOUT_BLOCKS,
                patience_s=self._patience_s,
            )
            for rpc in self._rpcs
        )

    @property
    def _wallet(self) -> Wallet:
        return self._wallets[self._choice.index]

    @property
    def _rpc(self) -> Rpc:
        return self._rpcs[self._choice.index]

    @property
    def _queries(self) -> Queries:
        return Queries(self._rpc)

    @property
    def url(self) -> str:
        """Of the node in use."""
        return self._rpc.url

    @property
    def nodes(self) -> tuple[NodeReport, ...]:
        """What each node said when it was last asked; empty where there is one alone, which isn't asked."""
        return self._reports if len(self._rpcs) > 1 else ()

    async def close(self) -> None:
        """Release all connections."""
        for rpc in self._rpcs:
            await rpc.close()

    def next_node(self) -> None:
        """Use another node from now on; what is under way with the present one goes on."""
        was = self.url
        self._choice.failed()
        self._note_change(was, "it doesn't answer")

    async def survey(self) -> None:
        """Ask all nodes now and then how far they are, and use one that is fresh; until cancelled."""
        while len(self._rpcs) > 1:
            await self.look_around()
            await asyncio.sleep(_SURVEY_S)

    async def look_around(self) -> None:
        """Ask all nodes at once."""
        self._reports = tuple(await asyncio.gather(*map(self._ask, self._rpcs)))
        was = self.url
        report = self._reports[self._choice.index]
        self._choice.survey(self._reports)
        best = max(one.height for one in self._reports)
        lag = f"it is {best - report.height} blocks behind" if report.height < best else "the first choice is back"
        self._note_change(was, report.problem or lag)

    async def _ask(self, rpc: Rpc) -> NodeReport:
        try:
            status = await rpc.require_chain(self._chain_id)
        except ClientError as error:
            return NodeReport(rpc.url, problem=str(error))
        return NodeReport(rpc.url, status.latest_height, "it is catching up" if status.catching_up else "")

    def _note_change(self, was: str, why: str) -> None:
        if self.url != was:
            log.warning("another chain node is used", was=was, now=self.url, why=why)
            self.changed.set()

    async def check_chain(self) -> None:
        """Raise WrongChain if the node follows another chain than the configured one."""
        await self._rpc.require_chain(self._chain_id)

    async def duties(self) -> DutiesReported:
        """All that the chain wants of this prover now."""
        return read_duties(await self._queries.prover_duties(self._operator))

    async def standing(self) -> Standing:
        """What decides whether this prover may work."""
        return read_standing(await self._queries.prover_status(self._operator))

    async def params(self) -> Params:
        """Those in force."""
        return await self._queries.params()

    async def program(self, program_id: bytes) -> Program:
        """A deployed program."""
        return await self._queries.program(program_id.hex())

    async def assignment(self, task_id: int) -> Assignment | None:
        """This prover's part in a task, also when it is over."""
        answer = await self._queries.task(task_id)
        return next((one for one in answer.assignments if one.prover == self._operator), None)

    async def prover(self) -> Prover | None:
        """The chain's record of this prover, or ``None`` if it isn't registered."""
        try:
            return await self._queries.prover(self._operator)
        except QueryFailed as error:
            if says_unregistered(error):
                return None
            raise

    async def balance(self, address: str) -> int:
        """umill of an account."""
        return (await self._queries.balances(address))[UMILL]

    async def is_settled(self, task_id: int) -> bool:
        """Whether the task is over, so that nobody needs its proof for a vote any more."""
        return (await self._queries.task(task_id)).task.progress.status >= TASK_STATUS_DONE

    async def new_blocks(self) -> AsyncIterator[BlockHeader]:
        """Headers of committed blocks as they come; raises NodeUnreachable when the node stays away."""
        rpc = self._rpc
        async for header in rpc.new_blocks(patience_s=self._patience_s):
            if header.chain_id != self._chain_id:
                raise NodeUnreachable(f"the node at {rpc.url} follows chain {header.chain_id!r} now")
            yield header

    async def send(self, messages: Sequence[Message]) -> TxOutcome:
        """Send one transaction and wait until it is in a block; raises ClientError when it isn't going to be.

        What answers duties is sent without a fee, and with one if that isn't taken: in a block after the first.
        """
        if all(MESSAGES[f"/{one.DESCRIPTOR.full_name}"].duties(one) for one in messages):
            try:
                return await self._wallet.send(messages, attempts=1, free=True)
            except TxRejected as error:
                if (error.codespace, error.code) != (INSUFFICIENT_FEE.codespace, INSUFFICIENT_FEE.code) or error.height:
                    raise
        return await self._wallet.send(messages, attempts=1)


def says_unregistered(error: Exception) -> bool:
    """Whether the chain answered that it doesn't know the prover."""
    code = (PROVER_NOT_FOUND.codespace, PROVER_NOT_FOUND.code)
    return isinstance(error, QueryFailed) and (error.codespace, error.code) == code
