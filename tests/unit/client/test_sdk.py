"""A user's day with the network: the SDK over HTTP to the real state machine."""

from __future__ import annotations

import asyncio
import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from proofmill.task.v1.state_pb2 import VERDICT_INVALID, Input
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH

from client.blobs import BlobError
from client.errors import InvalidInput, TxRejected
from client.life import task_life
from client.sdk import MillClient
from tests.support.bundles import BUNDLED, make_bundle
from tests.support.http_node import HttpNode
from tests.support.life import make_spec, task_of
from tests.support.network import ALICE, AUTHORITY, BOB, DEPLOYER, MILL, RICH, operator_key
from tests.support.small_life import NOWHERE, is_final, step

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.network import Key


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def client(server: HttpNode, key: Key | None = ALICE) -> MillClient:
    return MillClient(server.url, signer=key)


def inputs() -> list[Input]:
    data = b"{}"
    return [Input(name="a", sha256=hashlib.sha256(data).digest(), size=2, inline=data, audience=AUDIENCE_BOTH)]


async def start_task(server: HttpNode) -> int:
    async with client(server, DEPLOYER) as deployer:
        program_id = await deployer.deploy_program(make_spec())
    async with client(server) as alice:
        return (await alice.run_task(program_id, inputs(), time_limit_s=10)).task_id


def finish(server: HttpNode, task_id: int, *, bundle: bytes = b"proof", url: str = NOWHERE) -> None:
    while not is_final(server.node, task_id):
        step(server.node, task_id, bundle=bundle, url=url)


async def keep_working(server: HttpNode, task_id: int) -> None:
    """Blocks at a pace of their own, until the task has ended."""
    while not is_final(server.node, task_id):
        await asyncio.to_thread(step, server.node, task_id)
        await asyncio.sleep(0.01)


async def test_money(server: HttpNode) -> None:
    async with client(server) as alice:
        await alice.send(BOB.address, 5 * MILL)
        assert (await alice.balances(BOB.address)) == {"umill": RICH + 5 * MILL, "ucredit": 100 * MILL}
    async with client(server, AUTHORITY) as authority:
        await authority.grant_credits(BOB.address, 7)
        assert (await authority.balances(BOB.address))["ucredit"] == 100 * MILL + 7
        assert (await authority.pools()).umill_supply > 0


async def test_only_the_authority_grants(server: HttpNode) -> None:
    async with client(server) as alice:
        with pytest.raises(TxRejected, match="only the authority"):
            await alice.grant_credits(ALICE.address, 1)


async def test_without_a_key_nothing_is_sent(server: HttpNode) -> None:
    async with client(server, None) as nobody:
        assert (await nobody.status()).chain_id == "test-1"
        with pytest.raises(InvalidInput, match="needs a key"):
            await nobody.send(BOB.address, 1)


@pytest.mark.parametrize("amount", [0, -1])
async def test_amounts_that_are_nothing(server: HttpNode, amount: int) -> None:
    async with client(server) as alice:
        with pytest.raises(InvalidInput, match="more than zero"):
            await alice.send(BOB.address, amount)


async def test_programs_are_found_by_id_prefix_and_name(server: HttpNode) -> None:
    async with client(server, DEPLOYER) as deployer:
        program_id = await deployer.deploy_program(make_spec())
        for name in (program_id.hex(), program_id.hex()[:8], "groth16", "groth16@1.0.0"):
            assert (await deployer.program(name)).id == program_id
        with pytest.raises(InvalidInput, match="there is no program 'groth16@2'"):
            await deployer.program("groth16@2")
        with pytest.raises(TxRejected, match=program_id.hex()):
            await deployer.deploy_program(make_spec())


async def test_the_newest_active_program_of_a_name_is_taken(server: HttpNode) -> None:
    async with client(server, DEPLOYER) as deployer:
        old = await deployer.deploy_program(make_spec())
        spec = make_spec()
        spec.version = "1.1.0"
        new = await deployer.deploy_program(spec)
        assert (await deployer.program("groth16")).id == new
        await deployer.deprecate_program(new)
        assert (await deployer.program("groth16")).id == old
        await deployer.deprecate_program(old)
        with pytest.raises(InvalidInput, match="none of that name is active"):
            await deployer.program("groth16")


async def test_a_name_that_several_deployers_use_is_refused(server: HttpNode) -> None:
    async with client(server, DEPLOYER) as deployer:
        await deployer.deploy_program(make_spec())
    spec = make_spec()
    spec.version = "6.6.6"
    async with client(server, BOB) as bob:
        await bob.deploy_program(spec)
        with pytest.raises(InvalidInput, match="several deployers have a program 'groth16'"):
            await bob.program("groth16")


async def test_lists_are_read_to_their_end_or_limit(server: HttpNode) -> None:
    async with client(server, DEPLOYER) as deployer:
        spec = make_spec()
        for index in range(7):
            spec.version = f"1.{index}"
            await deployer.deploy_program(spec)
        assert len([one async for one in deployer.programs()]) == 7
        assert len([one async for one in deployer.programs(limit=3)]) == 3
        assert len([one async for one in deployer.provers()]) == 3


async def test_a_run_is_escrowed_at_the_estimate(server: HttpNode) -> None:
    task_id = await start_task(server)
    async with client(server) as alice:
        task = await alice.task(task_id)
        estimate = await alice.estimate(task.task.task.program_id.hex(), time_limit_s=10)
        assert task.task.task.fee == task.task.task.max_fee == estimate.fee
        assert [view.task.id async for view in alice.tasks(user=ALICE.address)] == [task_id]
        assert [view.task.id async for view in alice.tasks(status="TASK_STATUS_DONE")] == []


async def test_watching_tells_every_step_once_with_height_and_time(server: HttpNode) -> None:
    task_id = await start_task(server)
    async with client(server) as alice:
        network = asyncio.create_task(keep_working(server, task_id))
        seen = [one async for one in alice.watch_task(task_id)]
        await network
        names = [one.name for one in seen]
        expected = [
            "created",
            "offered",
            "accepted",
            "proved",
            "committee",
            "committed",
            "revealed",
            "decided",
            "paid",
            "burned",
            "ended",
        ]
        assert names == expected
        assert all(one.height and one.time_ms for one in seen)
        assert [one.height for one in seen] == sorted(one.height for one in seen)
        answer = await alice.wait_task(task_id)
        assert await alice.task_steps(answer) == tuple(seen)


async def test_a_life_only_grows(server: HttpNode) -> None:
    task_id = await start_task(server)
    lives = []
    while not is_final(server.node, task_id):
        lives.append(task_life(task_of(server.node.network, task_id)))
        step(server.node, task_id)
    for before, after in pairwise(lives):
        assert set(before) <= set(after)


async def test_an_invalid_proof_ends_without_one(server: HttpNode) -> None:
    task_id = await start_task(server)
    while not is_final(server.node, task_id):
        step(server.node, task_id, verdict=VERDICT_INVALID)
    async with client(server) as alice:
        steps = await alice.task_steps(await alice.task(task_id))
        decided = [one.text for one in steps if one.name == "decided"]
        assert decided[0] == "verdict INVALID: 2 invalid of 2"
        assert decided[1].startswith("verdict INVALID on the proof of ")


async def test_a_proof_is_fetched_checked_and_unpacked(server: HttpNode, tmp_path: Path) -> None:
    bundle = make_bundle(BUNDLED)
    server.files["proof.tar"] = bundle
    task_id = await start_task(server)
    finish(server, task_id, bundle=bundle, url=f"{server.url}/proof.tar")
    async with client(server) as alice:
        assert await alice.fetch_proof(task_id, tmp_path / "out") == ("proof.bin",)
    assert (tmp_path / "out" / "proof.bin").read_bytes() == b"hello"
    assert names_in(tmp_path) == ["out"]


async def test_a_changed_proof_is_refused(server: HttpNode, tmp_path: Path) -> None:
    server.files["proof.tar"] = make_bundle({"other.txt": b"hello"})
    task_id = await start_task(server)
    finish(server, task_id, bundle=make_bundle(BUNDLED), url=f"{server.url}/proof.tar")
    async with client(server) as alice:
        with pytest.raises(BlobError, match="its sha256 is not the one that the chain states"):
            await alice.fetch_proof(task_id, tmp_path / "out")
    assert names_in(tmp_path) == []


async def test_a_larger_proof_is_cut_off(server: HttpNode, tmp_path: Path) -> None:
    server.files["proof.tar"] = make_bundle(BUNDLED) + bytes(1 << 20)
    task_id = await start_task(server)
    finish(server, task_id, bundle=make_bundle(BUNDLED), url=f"{server.url}/proof.tar")
    async with client(server) as alice:
        with pytest.raises(BlobError, match="larger than the"):
            await alice.fetch_proof(task_id, tmp_path / "out")


async def test_a_task_without_a_proof_says_where_it_stands(server: HttpNode, tmp_path: Path) -> None:
    task_id = await start_task(server)
    async with client(server) as alice:
        with pytest.raises(InvalidInput, match=f"task {task_id} has no proof: it is PENDING"):
            await alice.fetch_proof(task_id, tmp_path / "out")
        with pytest.raises(InvalidInput, match="no logs yet"):
            await alice.task_logs(task_id)


async def test_logs_that_nobody_has_any_more(server: HttpNode) -> None:
    task_id = await start_task(server)
    finish(server, task_id)
    async with client(server) as alice:
        with pytest.raises(BlobError, match=f"the logs of task {task_id} aren't available"):
            await alice.task_logs(task_id)


async def test_provers_and_their_duties(server: HttpNode) -> None:
    task_id = await start_task(server)
    server.node.commit()
    async with client(server) as alice:
        operator = (await alice.task(task_id)).task.progress.prover
        assert (await alice.prover(operator)).operator == operator
        duties = await alice.prover_duties(operator)
        assert [duty.task.id for duty in duties.assignments] == [task_id]
        status = await alice.prover_status(operator_key(0).address)
        assert status.may_work


@pytest.mark.parametrize("tx_hash", ["", "xyz", "AB" * 31, "g" * 64])
async def test_hashes_that_are_none(server: HttpNode, tx_hash: str) -> None:
    async with client(server, None) as nobody:
        with pytest.raises(InvalidInput, match="is not a transaction hash"):
            await nobody.tx(tx_hash)


async def test_a_hash_that_is_in_no_block(server: HttpNode) -> None:
    async with client(server, None) as nobody:
        with pytest.raises(InvalidInput, match="is in no block"):
            await nobody.tx("0x" + "ab" * 32)
