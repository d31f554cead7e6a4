"""A send happens once or not at all, whatever is lost on the way."""

from __future__ import annotations

import asyncio

import pytest
from cosmos.bank.v1beta1.tx_pb2 import MsgSend, MsgSendResponse
from cosmos.tx.v1beta1.tx_pb2 import TxBody, TxRaw

from chain import schema
from client import messages
from client.errors import ClientError, NodeUnreachable, OutcomeUnknown, TxExpired, TxRejected, WrongChain
from client.rpc import Rpc
from client.wallet import Wallet
from tests.support.memory_node import MemoryNode
from tests.support.network import ALICE, BOB, CHAIN_ID, Key

AMOUNT = 1_000


def wallet(rpc: Rpc, key: Key = ALICE, *, patience_s: float = 5.0, timeout_blocks: int = 4) -> Wallet:
    return Wallet(rpc, key, chain_id=CHAIN_ID, poll_s=0, patience_s=patience_s, timeout_blocks=timeout_blocks)


def payment() -> MsgSend:
    return messages.send(ALICE.address, BOB.address, AMOUNT)


def umill(node: MemoryNode, key: Key) -> int:
    return schema.ACCOUNTS.require(node.network.values, key.raw).umill


def sequence(node: MemoryNode, key: Key) -> int:
    return schema.ACCOUNTS.require(node.network.values, key.raw).sequence


async def test_send_is_in_a_block_with_exact_gas_and_fee(node: MemoryNode, rpc: Rpc) -> None:
    before = umill(node, ALICE)
    outcome = await wallet(rpc).send([payment()])
    found = await rpc.tx(outcome.hash)
    assert found is not None
    assert found.height == outcome.height == node.network.height
    assert found.result.gas_used == found.result.gas_wanted == outcome.gas_used
    assert umill(node, ALICE) == before - AMOUNT - outcome.fee_umill
    assert outcome.response(MsgSendResponse) == MsgSendResponse()


async def test_concurrent_sends_get_consecutive_sequences(node: MemoryNode, rpc: Rpc) -> None:
    node.instant = False
    before = umill(node, BOB)
    alice = wallet(rpc)
    outcomes = await asyncio.gather(*(alice.send([payment()], memo=str(index)) for index in range(8)))
    assert len({outcome.hash for outcome in outcomes}) == 8
    assert sequence(node, ALICE) == 8
    assert umill(node, BOB) == before + 8 * AMOUNT


async def test_several_messages_are_one_transaction(node: MemoryNode, rpc: Rpc) -> None:
    before = umill(node, BOB)
    await wallet(rpc).send([payment(), payment()])
    assert umill(node, BOB) == before + 2 * AMOUNT
    assert sequence(node, ALICE) == 1


@pytest.mark.parametrize("instant", [True, False])
async def test_a_lost_broadcast_answer_does_not_pay_twice(node: MemoryNode, rpc: Rpc, *, instant: bool) -> None:
    node.instant = instant
    node.lose_answers["broadcast_tx_sync"] = 2
    before = umill(node, BOB)
    await wallet(rpc).send([payment()])
    assert umill(node, BOB) == before + AMOUNT
    assert sequence(node, ALICE) == 1
    assert len(set(node.broadcasts)) == 1


async def test_a_lost_request_is_sent_again(node: MemoryNode, rpc: Rpc) -> None:
    node.lose_requests["broadcast_tx_sync"] = 3
    await wallet(rpc).send([payment()])
    assert sequence(node, ALICE) == 1


async def test_lost_answers_while_waiting_are_asked_for_again(node: MemoryNode, rpc: Rpc) -> None:
    node.lose_answers["tx"] = 5
    await wallet(rpc).send([payment()])
    assert sequence(node, ALICE) == 1


async def test_a_dropped_transaction_is_offered_again(node: MemoryNode, rpc: Rpc) -> None:
    node.instant = False
    node.forget = 1
    before = umill(node, BOB)
    await wallet(rpc, timeout_blocks=8).send([payment()])
    assert umill(node, BOB) == before + AMOUNT
    first, second = node.broadcasts
    assert first == second


async def test_a_transaction_is_replaced_only_after_its_timeout(node: MemoryNode, rpc: Rpc) -> None:
    node.instant = False
    node.forget = 3
    before = umill(node, BOB)
    outcome = await wallet(rpc).send([payment()])
    assert umill(node, BOB) == before + AMOUNT
    first = TxBody.FromString(TxRaw.FromString(node.broadcasts[0]).body_bytes)
    assert node.broadcasts[-1] != node.broadcasts[0]
    assert outcome.height > first.timeout_height


async def test_sends_behind_a_dropped_one_recover(node: MemoryNode, rpc: Rpc) -> None:
    node.instant = False
    node.forget = 1
    before = umill(node, BOB)
    alice = wallet(rpc)
    await asyncio.gather(*(alice.send([payment()], memo=str(index)) for index in range(4)))
    assert umill(node, BOB) == before + 4 * AMOUNT
    assert sequence(node, ALICE) == 4


async def test_a_transaction_that_no_index_knows_is_found_in_its_block(node: MemoryNode, rpc: Rpc) -> None:
    node.instant = False
    node.indexed = False
    before = umill(node, BOB)
    outcome = await wallet(rpc).send([payment()])
    assert outcome.gas_used > 0
    assert umill(node, BOB) == before + AMOUNT


async def test_a_mempool_that_always_forgets_ends_in_expiry(node: MemoryNode, rpc: Rpc) -> None:
    node.instant = False
    node.forget = 100
    with pytest.raises(TxExpired, match="3 attempts of 4 blocks"):
        await wallet(rpc).send([payment()], attempts=3)
    assert sequence(node, ALICE) == 0


async def test_another_process_with_the_same_key_is_waited_for(node: MemoryNode, rpc: Rpc) -> None:
    first, second = wallet(rpc), wallet(rpc)
    await first.send([payment()])
    # The other process' transaction is in the mempool, so that the committed sequence is behind.
    node.network.send(ALICE, payment())
    raw = node.network._pending.pop()
    node.instant = False
    await rpc.broadcast_tx_sync(raw)
    await second.send([payment()])
    assert sequence(node, ALICE) == 3


async def test_a_node_that_goes_away_leaves_the_outcome_unknown(node: MemoryNode, rpc: Rpc) -> None:
    node.lose_requests["tx"] = 10_000
    with pytest.raises(OutcomeUnknown, match="may still be included up to height"):
        await wallet(rpc, patience_s=0.02).send([payment()])
    assert sequence(node, ALICE) == 1


async def test_a_node_that_never_takes_a_broadcast_leaves_the_outcome_unknown(node: MemoryNode, rpc: Rpc) -> None:
    node.lose_answers["broadcast_tx_sync"] = 10_000
    with pytest.raises(OutcomeUnknown):
        await wallet(rpc, patience_s=0.02).send([payment()])


async def test_an_unreachable_node_is_said_at_once(node: MemoryNode, rpc: Rpc) -> None:
    node.lose_requests["status"] = 1
    with pytest.raises(NodeUnreachable, match="can't be reached"):
        await wallet(rpc).send([payment()])
    assert not node.broadcasts


async def test_a_transaction_that_would_fail_is_never_broadcast(node: MemoryNode, rpc: Rpc) -> None:
    with pytest.raises(TxRejected, match=r"\(sdk 5\)") as caught:
        await wallet(rpc).send([messages.send(ALICE.address, BOB.address, 10**15)])
    assert (caught.value.codespace, caught.value.code, caught.value.height) == ("sdk", 5, 0)
    assert not node.broadcasts


async def test_a_transaction_that_fails_in_its_block_says_where(node: MemoryNode, rpc: Rpc) -> None:
    with pytest.raises(TxRejected) as caught:
        await wallet(rpc).send([messages.send(ALICE.address, BOB.address, 10**15)], simulate=False)
    assert caught.value.height == node.network.height
    assert caught.value.tx_hash


async def test_a_mempool_refusal_is_an_error(node: MemoryNode, rpc: Rpc) -> None:
    # The signature is over another chain's name, which only the mempool finds out.
    node.chain_id = "other"
    with pytest.raises(TxRejected, match="signature verification failed"):
        await Wallet(rpc, _LyingKey(), poll_s=0).send([payment()])


async def test_wrong_chain_is_refused_before_signing(node: MemoryNode, rpc: Rpc) -> None:
    node.chain_id = "other-1"
    with pytest.raises(WrongChain, match="follows chain 'other-1', not 'test-1'"):
        await wallet(rpc).send([payment()])
    assert not node.broadcasts


async def test_an_account_without_coins_is_named(rpc: Rpc) -> None:
    nobody = Key("nobody")
    with pytest.raises(ClientError, match=f"{nobody.address} doesn't exist on this chain yet"):
        await wallet(rpc, nobody).send([messages.send(nobody.address, BOB.address, 1)])


class _LyingKey:
    """Alice's address and key, but signatures over something else."""

    address = ALICE.address
    pub_key = ALICE.pub_key

    def sign(self, message: bytes) -> bytes:
        return ALICE.sign(message + b"!")
