"""The tree against a model that is too simple to be wrong: the whole trie built anew from a dict by its definition."""

from __future__ import annotations

import random
from hashlib import sha256

from hypothesis import given, strategies as st

from chain.state.merkle import EMPTY_ROOT, Tree

# Few distinct keys, so that they are overwritten and deleted often.
KEYS = st.binary(min_size=1, max_size=2)
BATCHES = st.lists(st.dictionaries(KEYS, st.none() | st.binary(min_size=1, max_size=3), max_size=60), max_size=8)


def model_root(state: dict[bytes, bytes]) -> bytes:
    """The root by the definition in chain/state/merkle.py, without any of its data structures."""
    leaves = sorted(
        (sha256(key).hexdigest(), sha256(b"\x00" + sha256(key).digest() + sha256(value).digest()).digest())
        for key, value in state.items()
    )

    def inner(depth: int, below: list[tuple[str, bytes]]) -> bytes:
        children = []
        for digit in "0123456789abcdef":
            group = [leaf for leaf in below if leaf[0][depth] == digit]
            if len(group) == 1:
                children.append(group[0][1])
            elif group:
                children.append(inner(depth + 1, group))
        return sha256(b"\x01" + b"".join(children) + bytes(32) * (16 - len(children))).digest()

    return inner(0, leaves)


def write(nodes: dict[bytes, bytes], rows: dict[bytes, bytes | None]) -> None:
    for path, row in rows.items():
        if row is None:
            del nodes[path]  # a KeyError here would mean that a row was deleted that never existed
        else:
            nodes[path] = row


@given(BATCHES)
def test_root_and_rows_depend_on_the_map_alone(batches: list[dict[bytes, bytes | None]]) -> None:
    state: dict[bytes, bytes] = {}
    nodes: dict[bytes, bytes] = {}
    for batch in batches:
        update = Tree(nodes).apply(batch)
        write(nodes, update.nodes)
        for key, value in batch.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        assert update.root == model_root(state)
        assert Tree(nodes).root() == update.root
        assert Tree({}).apply(state).nodes == nodes


@given(st.dictionaries(KEYS, st.binary(min_size=1, max_size=3), max_size=60))
def test_deleting_everything_leaves_no_rows(state: dict[bytes, bytes]) -> None:
    nodes: dict[bytes, bytes] = {}
    write(nodes, Tree(nodes).apply(state).nodes)
    update = Tree(nodes).apply(dict.fromkeys(state))
    write(nodes, update.nodes)
    assert nodes == {}
    assert update.root == EMPTY_ROOT


@given(st.dictionaries(KEYS, st.binary(min_size=1, max_size=3), max_size=60))
def test_writing_what_is_there_changes_no_row(state: dict[bytes, bytes]) -> None:
    nodes: dict[bytes, bytes] = {}
    first = Tree(nodes).apply(state)
    write(nodes, first.nodes)
    absent = {b"absent" + key: None for key in state}
    again = Tree(nodes).apply({**state, **absent})
    assert again.nodes == {}
    assert again.root == first.root


# Numbers whose hashes share their first 10 (the pairs) or 8 (the triple) digits, found by hashing three million.
DEEP = tuple(b"%d" % number for number in (2958437, 2304059, 2880214, 2685089, 1991855, 1220077, 2431389))


@given(st.lists(st.dictionaries(st.sampled_from(DEEP), st.none() | st.just(b"v"), min_size=1), max_size=8))
def test_paths_that_only_an_attackers_work_makes_so_long(batches: list[dict[bytes, bytes | None]]) -> None:
    state: dict[bytes, bytes] = {}
    nodes: dict[bytes, bytes] = {}
    for batch in batches:
        update = Tree(nodes).apply(batch)
        write(nodes, update.nodes)
        merged = {**state, **batch}
        state = {key: value for key, value in merged.items() if value is not None}
        assert update.root == model_root(state)
        assert Tree({}).apply(state).nodes == nodes


def test_a_tree_of_thousands_of_keys() -> None:
    draw = random.Random(3)
    state: dict[bytes, bytes] = {}
    nodes: dict[bytes, bytes] = {}
    for _ in range(4):
        batch = {b"%d" % draw.randrange(8000): draw.choice([None, b"a", b"b", b"c"]) for _ in range(3000)}
        update = Tree(nodes).apply(batch)
        write(nodes, update.nodes)
        merged = {**state, **batch}
        state = {key: value for key, value in merged.items() if value is not None}
        assert update.root == model_root(state)
