"""Several localnets on one machine, apart by --port-offset: each its own chain, and stopping one leaves the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.localnet import PATIENCE_S, Localnet, require_comet, run_mill, running_localnet

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localnet]:
    """A second network: one validator and one prover."""
    require_comet()
    with running_localnet(tmp_path_factory.mktemp("other") / "net", validators=1, provers=1) as network:
        yield network


def test_no_process_address_or_key_is_shared(small_localnet: Localnet, other: Localnet) -> None:
    assert small_localnet.plan.port_offset != other.plan.port_offset
    assert not set(small_localnet.plan.all_ports()) & set(other.plan.all_ports())
    pids = [{record.pid for record in network.processes().values()} for network in (small_localnet, other)]
    assert not pids[0] & pids[1]
    assert small_localnet.key("alice").address != other.key("alice").address


def test_each_is_a_chain_of_its_own(small_localnet: Localnet, other: Localnet) -> None:
    small_localnet.reach(1)
    other.reach(1)
    first = [network.rpc(0, "block", height="1")["block_id"]["hash"] for network in (small_localnet, other)]
    assert first[0] != first[1]


def test_money_moves_on_one_only(small_localnet: Localnet, other: Localnet) -> None:
    before = small_localnet.balances("bob"), other.balances("bob")
    other.ask("send", "bob", "3mill", sender="alice")
    assert other.balances("bob")["umill"] == before[1]["umill"] + 3_000_000
    assert small_localnet.balances("bob") == before[0]


def test_a_key_of_one_network_means_nothing_on_the_other(small_localnet: Localnet, other: Localnet) -> None:
    done = small_localnet.mill("send", other.key("bob").address, "1mill", "--node", other.node, sender="alice")
    assert done.returncode == 1
    assert "doesn't exist on this chain yet" in done.stderr


def test_the_ports_of_a_running_network_are_taken(other: Localnet, tmp_path: Path) -> None:
    offset = str(other.plan.port_offset)
    done = run_mill("localnet", "start", "--home", tmp_path / "net", "--port-offset", offset)
    assert done.returncode == 1
    assert "choose another --port-offset" in done.stderr
    assert not (tmp_path / "net").exists()


def test_stopping_one_leaves_the_other(small_localnet: Localnet, other: Localnet) -> None:
    running = small_localnet.processes()
    done = run_mill("localnet", "stop", "--home", other.layout.root)
    assert done.returncode == 0
    assert other.processes() == {}
    assert small_localnet.processes() == running
    small_localnet.reach(small_localnet.height() + 1)


def test_a_stopped_network_goes_on_where_it_was(other: Localnet) -> None:
    # After the test above: its state stays on disk.
    assert other.processes() == {}
    other.revive()
    assert other.balances("bob")["umill"] == 1_000_003_000_000
