"""The store against a list of dicts: every kept height reads as it was, across commits, pruning and reopening."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from chain.state.merkle import Tree
from validator_node.store import HeightUnavailable, Store

KEYS = st.binary(min_size=1, max_size=2)
CHANGES = st.dictionaries(KEYS, st.none() | st.binary(min_size=1, max_size=3), max_size=40)
# A block: its changes, the heights to keep (0: all), and whether the store is opened anew after it.
BLOCKS = st.lists(st.tuples(CHANGES, st.integers(0, 4), st.booleans()), min_size=1, max_size=12)


def applied(state: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    merged = {**state, **changes}
    return {key: value for key, value in merged.items() if value is not None}


@settings(max_examples=60, deadline=None)
@given(BLOCKS, KEYS, KEYS)
def test_every_kept_height_reads_as_it_was(
    blocks: list[tuple[dict[bytes, bytes | None], int, bool]], start: bytes, end: bytes
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder))
        states: list[dict[bytes, bytes]] = [{}]
        roots: list[bytes] = [b""]
        oldest = 1
        for height, (changes, retain, reopen) in enumerate(blocks, 1):
            update = Tree(store.nodes).apply(changes)
            store.commit(height, changes, update.nodes, update.root, retain)
            states.append(applied(states[-1], changes))
            roots.append(update.root)
            if retain:
                oldest = max(oldest, height - retain + 1)
            if reopen:
                store.close()
                store = Store.open(Path(folder))
            assert store.latest() == (height, update.root)
        for height in range(oldest):
            with pytest.raises(HeightUnavailable):
                store.view(height)
        for height in range(oldest, len(states)):
            state = states[height]
            with store.view(height) as view:
                assert (view.height, view.app_hash) == (height, roots[height])
                rows = sorted((key, value) for key, value in state.items() if start <= key < end)
                assert list(view.values.iterate(start, end)) == rows
                assert list(view.values.iterate(start, end, reverse=True)) == rows[::-1]
                for key in states[-1] | state:
                    assert view.values.get(key) == state.get(key)
                assert Tree(view.nodes).root() == roots[height]
                for key in state:
                    assert Tree(view.nodes).prove(key, view.values).exist.value == state[key]
        for key in states[-1]:
            assert store.values.get(key) == states[-1][key]
        store.close()
