"""Long answers in pages: the same rules for every list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cosmos.auth.v1beta1 import query_pb2 as auth
from cosmos.base.query.v1beta1.pagination_pb2 import PageRequest
from proofmill.program.v1 import query_pb2 as program
from proofmill.prover.v1 import query_pb2 as prover
from proofmill.task.v1 import query_pb2 as task
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE, TASK_STATUS_PENDING

from chain import query_context
from chain.errors import INVALID_REQUEST, TxError
from chain.query import QueryContext, query
from tests.support.life import deploy, make_run, make_spec
from tests.support.network import ALICE, BOB, CHAIN_ID, Network, make_genesis

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

COUNT = 7


@pytest.fixture(scope="module")
def network() -> Network:
    """Seven of everything: programs, provers, Alice's tasks (Bob has two more), and eleven accounts."""
    network = Network.start(make_genesis(COUNT))
    ids = [deploy(network, make_spec(f"p{number}")) for number in range(COUNT)]
    network.execute(ALICE, *[make_run(ALICE, ids[0]) for _ in range(COUNT)])
    network.execute(BOB, *[make_run(BOB, ids[0]) for _ in range(2)])
    return network


class Listing:
    """A query that answers in pages."""

    def __init__(self, path: str, request: Callable[..., Message], answer: Any, field: str, **filters: Any) -> None:
        self.path, self.request, self.answer, self.field, self.filters = path, request, answer, field, filters

    def ask(self, network: Network, **page: Any) -> tuple[list[Any], bytes, int]:
        request = self.request(pagination=PageRequest(**page), **self.filters)
        context = QueryContext(network.values, CHAIN_ID, network.height, network.time_ms)
        answer = self.answer.FromString(query(context, self.path, request.SerializeToString()))
        return list(getattr(answer, self.field)), answer.pagination.next_key, answer.pagination.total


LISTINGS = {
    "accounts": Listing(
        "/cosmos.auth.v1beta1.Query/Accounts", auth.QueryAccountsRequest, auth.QueryAccountsResponse, "accounts"
    ),
    "programs": Listing(
        "/proofmill.program.v1.Query/Programs",
        program.QueryProgramsRequest,
        program.QueryProgramsResponse,
        "programs",
    ),
    "programs of a name": Listing(
        "/proofmill.program.v1.Query/Programs",
        program.QueryProgramsRequest,
        program.QueryProgramsResponse,
        "programs",
        name="p3",
    ),
    "provers": Listing(
        "/proofmill.prover.v1.Query/Provers", prover.QueryProversRequest, prover.QueryProversResponse, "provers"
    ),
    "tasks": Listing("/proofmill.task.v1.Query/Tasks", task.QueryTasksRequest, task.QueryTasksResponse, "tasks"),
    "tasks of a user": Listing(
        "/proofmill.task.v1.Query/Tasks",
        task.QueryTasksRequest,
        task.QueryTasksResponse,
        "tasks",
        user=ALICE.address,
    ),
    "tasks in a status": Listing(
        "/proofmill.task.v1.Query/Tasks",
        task.QueryTasksRequest,
        task.QueryTasksResponse,
        "tasks",
        status=TASK_STATUS_PENDING,
    ),
}


@pytest.fixture(params=LISTINGS)
def listing(request: pytest.FixtureRequest) -> Listing:
    return LISTINGS[request.param]


def test_everything_at_once(network: Network, listing: Listing) -> None:
    rows, next_key, total = listing.ask(network)
    assert rows
    assert next_key == b""
    assert total == 0
    assert listing.ask(network, count_total=True)[2] == len(rows)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("reverse", [False, True])
def test_pages_add_up_in_either_direction(network: Network, listing: Listing, limit: int, reverse: bool) -> None:
    whole, _, _ = listing.ask(network)
    expected = whole[::-1] if reverse else whole
    collected: list[Any] = []
    key = b""
    while True:
        page, key, _ = listing.ask(network, key=key, limit=limit, reverse=reverse)
        assert len(page) <= limit
        collected += page
        if not key:
            break
    assert collected == expected


def test_offset_and_total(network: Network, listing: Listing) -> None:
    whole, _, _ = listing.ask(network)
    for offset in range(len(whole) + 2):
        page, next_key, total = listing.ask(network, offset=offset, limit=2, count_total=True)
        assert page == whole[offset : offset + 2]
        assert total == len(whole)
        assert bool(next_key) == (offset + 2 < len(whole)) or listing.filters
    assert listing.ask(network, offset=2**64 - 1) == ([], b"", 0)


def test_no_limit_is_a_hundred_and_no_page_is_larger_than_a_thousand(
    network: Network, listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (query_context.PAGE_DEFAULT, query_context.PAGE_MAX) == (100, 1_000)
    whole, _, _ = listing.ask(network)
    monkeypatch.setattr(query_context, "PAGE_DEFAULT", 1)
    assert listing.ask(network)[0] == whole[:1]
    monkeypatch.setattr(query_context, "PAGE_MAX", 2)
    assert listing.ask(network, limit=2**64 - 1)[0] == whole[:2]


def test_key_and_offset_exclude_each_other(network: Network, listing: Listing) -> None:
    with pytest.raises(TxError) as caught:
        listing.ask(network, key=b"x", offset=1)
    assert caught.value.code == INVALID_REQUEST.code


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("key", [b"x", bytes(7), bytes(9), bytes(100)], ids=len)
def test_invalid_key(network: Network, listing: Listing, key: bytes, reverse: bool) -> None:
    with pytest.raises(TxError) as caught:
        listing.ask(network, key=key, reverse=reverse)
    assert caught.value.code == INVALID_REQUEST.code


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("byte", [b"\x00", b"\xff"])
def test_keys_at_the_ends(network: Network, listing: Listing, byte: bytes, reverse: bool) -> None:
    whole, _, _ = listing.ask(network)
    size = {"accounts": 20, "programs": 32, "provers": 20, "tasks": 8}[listing.field]
    page, _, _ = listing.ask(network, key=byte * size, reverse=reverse)
    assert page in ([], whole, whole[::-1])


def test_a_filter_that_admits_little_hands_over_a_key_instead_of_reading_on(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = Listing(
        "/proofmill.task.v1.Query/Tasks",
        task.QueryTasksRequest,
        task.QueryTasksResponse,
        "tasks",
        status=TASK_STATUS_DONE,
    )
    monkeypatch.setattr(query_context, "SCAN_MAX", 4)
    page, key, total = listing.ask(network, count_total=True)
    assert (page, total) == ([], 0)
    assert key == (5).to_bytes(8, "big")
    assert listing.ask(network, key=key) == ([], (1).to_bytes(8, "big"), 0)
