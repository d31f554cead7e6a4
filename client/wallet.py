"""One key's way onto the chain: transactions in sequence, safe to repeat, followed until they are in a block.

A transaction is never signed anew while an earlier copy might still land: every one carries a timeout
height, and is only replaced once it is in no block up to that height. So a send happens once or not at all,
whatever the network loses, unless :class:`OutcomeUnknown` says that nobody could find out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from cosmos.auth.v1beta1.auth_pb2 import BaseAccount
from cosmos.auth.v1beta1.query_pb2 import QueryAccountRequest, QueryAccountResponse
from cosmos.tx.v1beta1.service_pb2 import SimulateRequest, SimulateResponse
from google.protobuf.message import Message
from proofmill.params.v1.query_pb2 import QueryParamsRequest, QueryParamsResponse

from chain.errors import INSUFFICIENT_FEE, NOT_FOUND, UNKNOWN_ADDRESS, WRONG_SEQUENCE
from client.errors import (
    ClientError,
    NodeUnreachable,
    OutcomeUnknown,
    QueryFailed,
    RpcFailed,
    TxExpired,
    TxRejected,
    WrongChain,
)
from client.rpc import Rpc, tx_hash
from client.rpc_types import BroadcastResult, TxEvent, TxInfo
from client.tx import Signer, TxTerms, decode_response, price_tx, sign_tx, unsigned_tx

_ACCOUNT_PATH = "/cosmos.auth.v1beta1.Query/Account"
_SIMULATE_PATH = "/cosmos.tx.v1beta1.Service/Simulate"
_PARAMS_PATH = "/proofmill.params.v1.Query/Params"
_MEMPOOL_FULL = "mempool is full"
_SEQUENCE_ATTEMPTS = 10
_BLOCKS_UNTIL_OFFERED_AGAIN = 2

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class AccountState:
    number: int
    sequence: int


@dataclass(frozen=True)
class TxPlan:
    """A transaction that is ready to be signed, and what it will cost."""

    messages: tuple[Message, ...]
    chain_id: str
    account: AccountState
    terms: TxTerms


@dataclass(frozen=True)
class TxOutcome:
    """A transaction that succeeded in block ``height``; ``hash`` is upper-case hexadecimal."""

    hash: str
    height: int
    gas_used: int
    fee_umill: int
    data: bytes
    events: tuple[TxEvent, ...]

    def response(self, response_type: type[M], index: int = 0) -> M:
        """The ``index``-th message's response."""
        return decode_response(self.data, response_type, index)


class Wallet:
    """Sends the transactions of one key through one node.

    Safe for concurrent use: sends are put in sequence, several may be under way. ``chain_id`` is checked if given,
    else learned from the node. ``timeout_blocks`` is how long a transaction stays valid, ``patience_s`` how long an
    unreachable node is tried again, ``poll_s`` how often a pending transaction is asked for.
    """

    def __init__(
        self,
        rpc: Rpc,
        signer: Signer,
        *,
        chain_id: str | None = None,
        timeout_blocks: int = 20,
        patience_s: float = 30.0,
        poll_s: float = 0.2,
    ) -> None:
        self.rpc = rpc
        self.signer = signer
        self._chain_id = chain_id
        self._timeout_blocks = timeout_blocks
        self._patience_s = patience_s
        self._poll_s = poll_s
        self._lock = asyncio.Lock()
        # By sequence; at which height each was last offered to the mempool.
        self._in_flight: dict[bytes, int] = {}
        self._settled = asyncio.Condition()
        self._next_sequence = 0

    @property
    def address(self) -> str:
        return self.signer.address

    async def account(self) -> AccountState:
        """Number and sequence as of the last block."""
        account = await read_account(self.rpc, self.address)
        if account is None:
            raise ClientError(f"the account {self.address} doesn't exist on this chain yet: send it some MILL first")
        return account

    async def plan(
        self, messages: Sequence[Message], *, memo: str = "", simulate: bool = True, free: bool = False
    ) -> TxPlan:
        """What would be signed now, and its fee; none if it is to be ``free``, as what answers a prover's duties may.

        Simulating it raises :class:`TxRejected` if it would fail now.
        """
        status, account, price = await asyncio.gather(self.rpc.status(), self.account(), self._gas_price())
        if self._chain_id is None:
            self._chain_id = status.chain_id
        if status.chain_id != self._chain_id:
            raise WrongChain(f"the node at {self.rpc.url} follows chain {status.chain_id!r}, not {self._chain_id!r}")
        sequence = max(account.sequence, self._next_sequence)
        terms = TxTerms(sequence, 0, 0, status.latest_height + self._timeout_blocks, memo)
        terms = price_tx(messages, terms, 0 if free else price)
        if simulate:
            await self._simulate(messages, terms)
        return TxPlan(tuple(messages), self._chain_id, account, terms)

    async def send(
        self,
        messages: Sequence[Message],
        *,
        memo: str = "",
        simulate: bool = True,
        attempts: int = 5,
        free: bool = False,
    ) -> TxOutcome:
        """Sends the messages in one transaction and waits until it is in a block.

        Raises :class:`TxRejected` if the chain refuses it, :class:`TxExpired` if it got into no block after
        ``attempts``, :class:`OutcomeUnknown` if the node went away for too long. Without ``simulate`` a transaction
        that fails in its block costs its fee.
        """
        for _ in range(attempts):
            async with self._lock:
                plan, tx = await self._submit(messages, memo, simulate, free)
                self._in_flight[tx] = plan.terms.timeout_height - self._timeout_blocks
            try:
                found = await self._wait(tx, plan.terms.timeout_height)
            finally:
                async with self._settled:
                    del self._in_flight[tx]
                    self._settled.notify_all()
            if found is None or _wrong_sequence(found.result.codespace, found.result.code):
                # It took no effect and never will; others of ours may have shifted, so the chain is asked again.
                self._next_sequence = 0
                continue
            result = found.result
            if result.code:
                if (result.codespace, result.code) == (INSUFFICIENT_FEE.codespace, INSUFFICIENT_FEE.code):
                    # The ante refused it: its sequence is still to be used.
                    self._next_sequence = 0
                raise TxRejected(result.codespace, result.code, result.log, found.hash, found.height)
            return TxOutcome(
                found.hash, found.height, result.gas_used, plan.terms.fee_umill, result.data, result.events
            )
        raise TxExpired(
            f"the transaction got into no block in {attempts} attempts of {self._timeout_blocks} blocks: "
            "the network is overloaded or stalled; try again later"
        )

    async def _submit(self, messages: Sequence[Message], memo: str, simulate: bool, free: bool) -> tuple[TxPlan, bytes]:
        """Signs with the next sequence and gets the transaction taken, or perhaps taken."""
        for attempt in range(1, _SEQUENCE_ATTEMPTS + 1):
            plan = await self.plan(messages, memo=memo, simulate=simulate, free=free)
            tx = sign_tx(
                plan.messages,
                plan.terms,
                signer=self.signer,
                chain_id=plan.chain_id,
                account_number=plan.account.number,
            )
            refused = await self._broadcast(tx, plan.terms.timeout_height)
            if refused is None:
                self._next_sequence = plan.terms.sequence + 1
                return plan, tx
            if not _wrong_sequence(refused.codespace, refused.code) or attempt == _SEQUENCE_ATTEMPTS:
                raise TxRejected(refused.codespace, refused.code, refused.log, refused.hash)
            await self._resynchronise(plan)
        raise AssertionError("unreachable")

    async def _resynchronise(self, plan: TxPlan) -> None:
        """Waits until the chain's sequence for this key can be relied on again."""
        if self._in_flight:
            async with self._settled:
                await self._settled.wait_for(lambda: not self._in_flight)
        else:
            # Another process uses this key too: its transactions must get into a block first.
            base = plan.terms.timeout_height - self._timeout_blocks
            await self._wait_past(base)
        self._next_sequence = 0

    async def _wait_past(self, height: int) -> None:
        while True:
            if (await self.rpc.status()).latest_height > height:
                return
            await asyncio.sleep(self._poll_s)

    async def _broadcast(self, tx: bytes, timeout_height: int) -> BroadcastResult | None:
        """The mempool's refusal, or None if it took the transaction, or may have: an answer was lost."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._patience_s
        lost = False
        while True:
            try:
                answer = await self.rpc.broadcast_tx_sync(tx)
            except NodeUnreachable as error:
                lost = True
                if loop.time() > give_up:
                    raise OutcomeUnknown(tx_hash(tx), timeout_height, str(error)) from error
            except RpcFailed as error:
                if _MEMPOOL_FULL not in error.detail or loop.time() > give_up:
                    raise
            else:
                # A refusal of the second copy may be the first copy's success.
                return answer if answer.code and not lost else None
            await asyncio.sleep(self._poll_s)

    async def _wait(self, tx: bytes, timeout_height: int) -> TxInfo | None:
        """The transaction in its block, or None once it is in none up to its timeout height."""
        hash_hex = tx_hash(tx)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._patience_s
        while True:
            try:
                if found := await self.rpc.tx(hash_hex):
                    return found
                height = (await self.rpc.status()).latest_height
                if height >= timeout_height:
                    return await self._scan(tx, timeout_height)
                if height >= self._in_flight[tx] + _BLOCKS_UNTIL_OFFERED_AGAIN:
                    await self._offer_again(height)
                give_up = loop.time() + self._patience_s
            except (NodeUnreachable, RpcFailed) as error:
                if loop.time() > give_up:
                    raise OutcomeUnknown(hash_hex, timeout_height, str(error)) from error
            await asyncio.sleep(self._poll_s)

    async def _offer_again(self, height: int) -> None:
        """Broadcasts what is under way once more, in sequence: a node that restarts forgets its mempool."""
        self._in_flight = dict.fromkeys(self._in_flight, height)
        for tx in tuple(self._in_flight):
            # A refusal says nothing: the transaction may be in a block by now.
            await self.rpc.broadcast_tx_sync(tx)

    async def _scan(self, tx: bytes, timeout_height: int) -> TxInfo | None:
        """Looks for ``tx`` in the blocks themselves: the node's index lags behind them."""
        for height in range(max(1, timeout_height - self._timeout_blocks), timeout_height + 1):
            block = await self.rpc.block(height)
            if tx in block.txs:
                index = block.txs.index(tx)
                results = await self.rpc.block_results(height)
                return TxInfo(tx_hash(tx), height, index, tx, results.txs[index])
        return None

    async def _simulate(self, messages: Sequence[Message], terms: TxTerms) -> None:
        request = SimulateRequest(tx_bytes=unsigned_tx(messages, terms, pub_key=self.signer.pub_key))
        try:
            await self.rpc.query(_SIMULATE_PATH, request, SimulateResponse)
        except QueryFailed as error:
            raise TxRejected(error.codespace, error.code, error.log) from error

    async def _gas_price(self) -> int:
        answer = await self.rpc.query(_PARAMS_PATH, QueryParamsRequest(), QueryParamsResponse)
        return answer.params.gas_price_umill


async def read_account(rpc: Rpc, address: str) -> AccountState | None:
    """Number and sequence as of the last block; None for an address that the chain doesn't know yet."""
    try:
        answer = await rpc.query(_ACCOUNT_PATH, QueryAccountRequest(address=address), QueryAccountResponse)
    except QueryFailed as error:
        if error.codespace == NOT_FOUND.codespace and error.code in (NOT_FOUND.code, UNKNOWN_ADDRESS.code):
            return None
        raise
    account = BaseAccount()
    if not answer.account.Unpack(account):
        raise NodeUnreachable(f"the node at {rpc.url} gave an account of unknown type")
    return AccountState(account.account_number, account.sequence)


def _wrong_sequence(codespace: str, code: int) -> bool:
    return (codespace, code) == (WRONG_SEQUENCE.codespace, WRONG_SEQUENCE.code)
