"""The application keeps CometBFT's contract, above all where a node crashed or is asked twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from tendermint.abci import types_pb2 as abci

from chain.genesis import GenesisError, export_genesis
from tests.support.consensus import Consensus
from tests.support.network import ALICE, BOB, Key, make_tx
from tests.support.sends import make_send
from validator_node.application import ApplicationError

ALICE_NUMBER = 1


def send(sequence: int, amount: int = 5, *, signer: Key = ALICE, number: int = ALICE_NUMBER) -> bytes:
    return make_tx(signer, [make_send(signer, BOB.address, amount)], account_number=number, sequence=sequence)


def test_info_says_height_zero_before_the_first_commit(consensus: Consensus) -> None:
    assert (consensus.height, consensus.app_hash) == (0, b"")
    consensus.init_chain()
    assert (consensus.height, consensus.app_hash) == (0, b"")
    consensus.finalize(1)
    assert (consensus.height, consensus.app_hash) == (0, b"")


def test_the_first_commit_writes_the_genesis_state_too(consensus: Consensus) -> None:
    genesis_hash = consensus.init_chain().app_hash
    result = consensus.finalize(1)
    consensus.commit()
    assert (consensus.height, consensus.app_hash) == (1, result.app_hash)
    assert genesis_hash != result.app_hash
    consensus.crash()
    assert (consensus.height, consensus.app_hash) == (1, result.app_hash)
    assert consensus.block(send(0)).tx_results[0].code == 0


def test_init_chain_may_come_again_until_a_block_is_committed(consensus: Consensus) -> None:
    first = consensus.init_chain().app_hash
    block = consensus.finalize(1, send(0)).app_hash
    consensus.crash()
    assert consensus.init_chain().app_hash == first
    assert consensus.finalize(1, send(0)).app_hash == block


def test_init_chain_is_refused_after_a_commit(running: Consensus) -> None:
    with pytest.raises(ApplicationError, match="height 2"):
        running.init_chain()


def test_init_chain_is_refused_for_another_chain(consensus: Consensus) -> None:
    with pytest.raises(ApplicationError, match="other-1"):
        consensus.init_chain(chain_id="other-1")


def test_a_genesis_that_is_none_stops_the_node(consensus: Consensus) -> None:
    with pytest.raises(GenesisError, match="not a genesis"):
        consensus.init_chain(app_state_bytes=b'{"nonsense": 1}')


def test_finalize_block_twice_gives_the_same_and_commits_once(running: Consensus) -> None:
    first = running.finalize(3, send(0))
    again = running.finalize(3, send(0))
    assert first == again
    running.commit()
    assert running.app_hash == first.app_hash
    assert running.check(send(0)).code != 0
    assert running.check(send(1)).code == 0


def test_a_crash_between_finalize_and_commit_replays_to_the_same_hash(running: Consensus) -> None:
    before = running.app_hash
    lost = running.finalize(3, send(0), send(1))
    running.crash()
    assert (running.height, running.app_hash) == (2, before)
    replayed = running.finalize(3, send(0), send(1))
    assert replayed == lost
    running.commit()
    assert running.app_hash == lost.app_hash


def test_finalize_block_after_a_refused_proposal_starts_from_the_committed_state(running: Consensus) -> None:
    running.finalize(3, send(0, 77))
    decided = running.finalize(3)
    running.commit()
    assert running.app_hash == decided.app_hash
    assert running.check(send(0)).code == 0


def test_a_block_out_of_order_stops_the_node(running: Consensus) -> None:
    with pytest.raises(ApplicationError, match="block 5"):
        running.finalize(5)


def test_commit_without_a_block_stops_the_node(running: Consensus) -> None:
    with pytest.raises(ApplicationError, match="without a FinalizeBlock"):
        running.commit()


def test_results_carry_gas_code_and_events_in_order(running: Consensus) -> None:
    result = running.block(send(0), b"garbage", send(7), send(1))
    codes = [(one.codespace, one.code) for one in result.tx_results]
    assert codes == [("", 0), ("sdk", 2), ("sdk", 32), ("", 0)]
    assert result.tx_results[0].gas_used > 0
    assert [event.type for event in result.tx_results[0].events]
    assert all(one.index for event in result.tx_results[0].events for one in event.attributes)


def test_the_mempool_sees_its_own_earlier_transactions_and_forgets_them_at_commit(running: Consensus) -> None:
    assert running.check(send(0)).code == 0
    assert running.check(send(0)).code == 32
    assert running.check(send(1)).code == 0
    running.block(send(0))
    assert running.check(send(1), recheck=True).code == 0
    assert running.check(send(0), recheck=True).code == 32


def test_a_signature_is_verified_once_for_mempool_and_block(running: Consensus) -> None:
    running.check(send(0))
    running.block(send(0))
    rendered = running.metrics.render().decode()
    assert "mill_signature_cache_misses 1.0" in rendered
    assert "mill_signature_cache_hits 1.0" in rendered


def test_a_proposal_leaves_out_what_would_fail_and_keeps_to_its_bytes(running: Consensus) -> None:
    good, later, bad = send(0), send(1), send(9)
    assert running.propose(bad, good, b"garbage", later) == [good, later]
    assert running.propose(good, later, max_tx_bytes=len(good) + 10) == [good]
    assert running.propose(max_tx_bytes=0) == []


def test_a_proposal_leaves_no_trace(running: Consensus) -> None:
    assert running.propose(send(0)) == [send(0)]
    assert running.propose(send(0)) == [send(0)]
    assert running.check(send(0)).code == 0


def test_process_proposal_accepts_transactions_that_will_fail(running: Consensus) -> None:
    response = running.application.process_proposal(abci.RequestProcessProposal(txs=[b"garbage", send(9)], height=3))
    assert response.status == abci.ResponseProcessProposal.ACCEPT


def test_snapshots_are_refused_and_never_unknown(running: Consensus) -> None:
    application = running.application
    assert not application.list_snapshots(abci.RequestListSnapshots()).snapshots
    offer = application.offer_snapshot(abci.RequestOfferSnapshot(snapshot=abci.Snapshot(height=9)))
    assert offer.result == abci.ResponseOfferSnapshot.ABORT
    chunk = application.apply_snapshot_chunk(abci.RequestApplySnapshotChunk(index=0))
    assert chunk.result == abci.ResponseApplySnapshotChunk.ABORT
    assert application.load_snapshot_chunk(abci.RequestLoadSnapshotChunk(height=9)).chunk == b""


def test_vote_extensions_are_off(running: Consensus) -> None:
    with pytest.raises(ApplicationError, match="off"):
        running.application.extend_vote(abci.RequestExtendVote(height=3))
    verdict = abci.ResponseVerifyVoteExtension
    check = running.application.verify_vote_extension
    assert check(abci.RequestVerifyVoteExtension(vote_extension=b"x")).status == verdict.REJECT
    assert check(abci.RequestVerifyVoteExtension()).status == verdict.ACCEPT


def test_requests_before_any_state_stop_the_node(consensus: Consensus) -> None:
    with pytest.raises(ApplicationError, match="CheckTx"):
        consensus.check(send(0))
    with pytest.raises(ApplicationError, match="block"):
        consensus.finalize(1)


def test_a_chain_goes_on_from_an_exported_state_at_its_height(running: Consensus, tmp_path: Path) -> None:
    running.block(send(0))
    exported = Consensus(tmp_path / "new.db", export_genesis(running.store.values))
    exported.init_chain(initial_height=4)
    assert exported.finalize(4, send(1)).tx_results[0].code == 0
    exported.commit()
    assert exported.height == 4
    exported.crash()
    assert exported.block(send(2)).tx_results[0].code == 0
    running.block(send(1))
    running.block(send(2))
    assert running.app_hash == exported.app_hash
    exported.store.close()
