"""The daemon's way to the chain: one of several nodes, another one when it stops answering."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import structlog
from google.protobuf.message import Message
from proofmill.params.v1.state_pb2 import Params
from proofmill.program.v1.state_pb2 import Program
from proofmill.prover.v1.state_pb2 import Prover
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE, Assignment

from chain.errors import INSUFFICIENT_FEE, PROVER_NOT_FOUND
from chain.messages import MESSAGES
from client.errors import NodeUnreachable, QueryFailed, TxRejected
from client.queries import Queries
from client.rpc import Rpc
from client.tx import Signer
from client.wallet import TxOutcome, Wallet
from prover_node.chain_duties import read_duties, read_standing
from prover_node.duties import Standing
from prover_node.events import DutiesReported

_RPC_TIMEOUT_S = 5.0
_PATIENCE_S = 5.0
# Offers and votes are due within a few blocks: a transaction that got lost must not hold up the next for longer.
_TIMEOUT_BLOCKS = 5

log = structlog.get_logger("prover.chain")


class ChainLink:
    """Queries and transactions of one prover. Everything raises NodeUnreachable when the present node is gone.

    ``urls`` are RPC base URLs; ``operator`` is the prover's operator address.
    """

    def __init__(self, urls: Sequence[str], chain_id: str, operator: str, signer: Signer) -> None:
        self._wallets = tuple(
            Wallet(
                Rpc(url, timeout_s=_RPC_TIMEOUT_S),
                signer,
                chain_id=chain_id,
                timeout_blocks=_TIMEOUT_BLOCKS,
                patience_s=_PATIENCE_S,
            )
            for url in urls
        )
        self._chain_id = chain_id
        self._operator = operator
        self._turn = 0

    @property
    def _wallet(self) -> Wallet:
        return self._wallets[self._turn % len(self._wallets)]

    @property
    def _rpc(self) -> Rpc:
        return self._wallet.rpc

    @property
    def _queries(self) -> Queries:
        return Queries(self._rpc)

    @property
    def url(self) -> str:
        """Of the node in use."""
        return self._rpc.url

    async def close(self) -> None:
        """Release all connections."""
        for wallet in self._wallets:
            await wallet.rpc.close()

    def next_node(self) -> None:
        """Use the next of the nodes from now on; what is under way with the present one goes on."""
        was = self.url
        self._turn += 1
        if self.url != was:
            log.warning("another chain node is used", was=was, now=self.url)

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

    async def is_settled(self, task_id: int) -> bool:
        """Whether the task is over, so that nobody needs its proof for a vote any more."""
        return (await self._queries.task(task_id)).task.progress.status >= TASK_STATUS_DONE

    async def new_heights(self) -> AsyncIterator[int]:
        """Heights of committed blocks as they come; raises NodeUnreachable when the node stays away."""
        async for header in self._rpc.new_blocks(patience_s=_PATIENCE_S):
            if header.chain_id != self._chain_id:
                raise NodeUnreachable(f"the node at {self.url} follows chain {header.chain_id!r} now")
            yield header.height

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
