from __future__ import annotations

from hashlib import sha256

import pytest

from chain.state.errors import StateError
from chain.state.merkle import EMPTY_ROOT, Tree


def test_the_root_of_an_empty_tree_is_that_of_a_node_without_children() -> None:
    assert sha256(b"\x01" + bytes(512)).digest() == EMPTY_ROOT
    assert Tree({}).root() == EMPTY_ROOT
    assert Tree({}).apply({}).root == EMPTY_ROOT
    assert Tree({}).apply({b"absent": None}).nodes == {}


def test_the_root_of_one_leaf_is_a_node_with_one_child() -> None:
    leaf = sha256(b"\x00" + sha256(b"key").digest() + sha256(b"value").digest()).digest()
    update = Tree({}).apply({b"key": b"value"})
    assert update.root == sha256(b"\x01" + leaf + bytes(15 * 32)).digest()
    nibble = sha256(b"key").digest()[0] >> 4
    mask = (1 << nibble).to_bytes(2, "big")
    assert update.nodes == {b"": mask + mask + b"\x01" + leaf + b"\x00\x03key"}


def test_an_empty_batch_changes_nothing() -> None:
    nodes = Tree({}).apply({b"key": b"value"}).nodes
    rows = {path: row for path, row in nodes.items() if row is not None}
    update = Tree(rows).apply({})
    assert update.nodes == {}
    assert update.root == Tree(rows).root()


def test_empty_values_are_refused() -> None:
    with pytest.raises(StateError, match="the value of key 6b is empty; delete the key instead"):
        Tree({}).apply({b"k": b""})


def test_the_longest_key_fits_and_a_longer_one_is_refused() -> None:
    Tree({}).apply({b"k" * 65535: b"v"})
    with pytest.raises(StateError, match="a key has 65536 bytes, more than 65535"):
        Tree({}).apply({b"k" * 65536: b"v"})


def grown() -> dict[bytes, bytes]:
    nodes = Tree({}).apply({b"%d" % number: b"v" for number in range(100)}).nodes
    return {path: row for path, row in nodes.items() if row is not None}


def test_a_missing_node_is_reported() -> None:
    rows = grown()
    del rows[sha256(b"7").hexdigest()[:1].encode()]
    with pytest.raises(StateError, match=r"node . is missing; the database is damaged"):
        Tree(rows).apply({b"7": b"w"})
    with pytest.raises(StateError, match=r"node . is missing; the database is damaged"):
        Tree(rows).prove(b"7", {b"7": b"v"})


def test_a_missing_value_is_reported() -> None:
    with pytest.raises(StateError, match="the tree holds key 37 but its value is missing"):
        Tree(grown()).prove(b"7", {})
