"""The authenticated tree: a 16-ary trie over the nibbles of sha256(key), proved with ICS-23 (protocol §3).

- leaf hash = sha256(0x00 ‖ sha256(key) ‖ sha256(value)); a leaf stands at the shallowest depth where it is alone;
- inner hash = sha256(0x01 ‖ the hashes of the children that exist, in nibble order, then 32 zero bytes for each of the
  16 places that is left). Packing the children to the left, instead of giving each nibble its own place, keeps
  neighbours side by side: ICS-23 verifiers know two leaves as neighbours only if their places differ by one;
- the root is always an inner node; the root of an empty tree is that of a node without children.

So the root depends on the map alone, not on the order of the writes that led to it.
"""

from __future__ import annotations

from binascii import hexlify
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from cosmos.ics23.v1 import proofs_pb2 as ics23

from chain.state import proofs
from chain.state.errors import StateError
from chain.state.kv import Getter
from chain.state.tree_row import (
    ARITY,
    HASH_SIZE,
    HASHES_AT,
    LEAF_PREFIX,
    NO_CHILDREN,
    PREIMAGE_AT,
    PREIMAGE_SIZE,
    Place,
    hash_row,
    leaf_key,
    make_row,
    read_row,
)

EMPTY_ROOT = hash_row(NO_CHILDREN)

# Hexadecimal digit (as a byte) to nibble; other bytes never occur.
_NIBBLE = tuple(b"0123456789abcdef".find(byte) for byte in range(128))


@dataclass(frozen=True, slots=True)
class TreeUpdate:
    """What a batch of changes makes of the tree: its root, and the node rows to write (None: to delete)."""

    root: bytes
    nodes: dict[bytes, bytes | None]


class Tree:
    """One version of the tree, read from its node rows."""

    __slots__ = ("_nodes",)

    def __init__(self, nodes: Getter) -> None:
        self._nodes = nodes

    def root(self) -> bytes:
        """The root hash, 32 bytes."""
        return hash_row(self._nodes.get(b"") or NO_CHILDREN)

    def apply(self, changes: Mapping[bytes, bytes | None]) -> TreeUpdate:
        """The tree after setting each key to its value, or deleting it where the value is None."""
        return _Batch(self._nodes, changes).run()

    def prove(self, key: bytes, values: Getter) -> ics23.CommitmentProof:
        """That key is stored with its value, or that it isn't stored; `values` must be of the tree's version.

        StateError if the tree is empty: ICS-23 has no proof about an empty tree.
        """
        return proofs.prove(self._nodes, key, values)


@dataclass(slots=True)
class _Leaf:
    """A leaf on its way to a place in the tree: the hexadecimal hash of its key, its key and its hash."""

    path: bytes
    key: bytes
    hash: bytes


class _Batch:
    """One run of `Tree.apply`: the changes in tree order, and the rows that they lead to.

    A full block touches some 15,000 nodes. So the common case, new hashes in the places of old ones, works on a row's
    bytes, and only nodes whose children come or go are taken apart.
    """

    __slots__ = ("_changes", "_get", "_paths", "_written")

    def __init__(self, nodes: Getter, changes: Mapping[bytes, bytes | None]) -> None:
        by_path: dict[bytes, tuple[bytes, bytes | None]] = {}
        for key, value in changes.items():
            digest = sha256(key).digest()
            if value is None:
                leaf = None
            elif value:
                leaf = sha256(LEAF_PREFIX + digest + sha256(value).digest()).digest()
            else:
                raise StateError(f"the value of key {key.hex()} is empty; delete the key instead")
            by_path[hexlify(digest)] = (key, leaf)
        self._get = nodes.get
        # The hexadecimal hashes of the changed keys in order, and for each of them its key and new leaf hash.
        self._paths = sorted(by_path)
        self._changes = [by_path[path] for path in self._paths]
        self._written: dict[bytes, bytes | None] = {}

    def run(self) -> TreeUpdate:
        row = self._get(b"") or NO_CHILDREN
        if not self._paths:
            return TreeUpdate(hash_row(row), {})
        root = self._update(b"", row, 0, 0, len(self._paths))
        return TreeUpdate(EMPTY_ROOT if root is None else root[0], self._written)

    def _update(self, path: bytes, row: bytes, depth: int, low: int, high: int) -> Place | None:
        """Apply changes low to high, which all lie below it, to the inner node at path; what is in its place then."""
        paths, changes = self._paths, self._changes
        children = row[0] << 8 | row[1]
        leaves = row[2] << 8 | row[3]
        keys_at = HASHES_AT + HASH_SIZE * children.bit_count()
        new = bytearray(row)
        edits: list[tuple[int, Place | None]] = []
        start = low
        while start < high:
            first = paths[start]
            digit = first[depth]
            end = start + 1
            if end < high and paths[end][depth] == digit:
                end = bisect_left(paths, first[:depth] + bytes((digit + 1,)), end, high)
            nibble = _NIBBLE[digit]
            bit = 1 << nibble
            at = HASHES_AT + HASH_SIZE * (children & (bit - 1)).bit_count()
            if leaves & bit:
                key = leaf_key(row, keys_at, leaves & (bit - 1))
                changed_key, new_hash = changes[start]
                if new_hash is not None and end - start == 1 and changed_key == key:
                    new[at : at + HASH_SIZE] = new_hash
                else:
                    old = _Leaf(hexlify(sha256(key).digest()), key, row[at : at + HASH_SIZE])
                    edits.append((nibble, self._fill(depth + 1, start, end, old)))
            elif children & bit:
                child_path = first[: depth + 1]
                child = self._get(child_path)
                if child is None:
                    raise StateError(f"the tree's node {child_path.decode()} is missing; the database is damaged")
                place = self._update(child_path, child, depth + 1, start, end)
                if place is not None and place[1] is None:
                    new[at : at + HASH_SIZE] = place[0]
                else:
                    edits.append((nibble, place))
            else:
                edits.append((nibble, self._fill(depth + 1, start, end, None)))
            start = end
        if edits:
            return self._restructure(path, row, bytes(new), edits)
        updated = bytes(new)
        if updated != row:
            self._written[path] = updated
        return sha256(updated[PREIMAGE_AT:keys_at].ljust(PREIMAGE_SIZE, b"\x00")).digest(), None

    def _restructure(self, path: bytes, old: bytes, row: bytes, edits: list[tuple[int, Place | None]]) -> Place | None:
        """Put other children into places of the node at path, whose stored row is `old`; what is in its place then."""
        places = read_row(row)
        for nibble, place in edits:
            places[nibble] = place
        present = [place for place in places if place is not None]
        if not present or (path and len(present) == 1 and present[0][1] is not None):
            # Nothing or one leaf is left: it moves up, so that equal maps have equal trees. The root stays a node.
            if old != NO_CHILDREN:
                self._written[path] = None
            return present[0] if present else None
        new = make_row(places)
        if new != old:
            self._written[path] = new
        return hash_row(new), None

    def _fill(self, depth: int, start: int, end: int, old: _Leaf | None) -> Place | None:
        """What changes start to end put into a place, below which nodes have this depth, that held at most one leaf."""
        leaves = []
        for path, (key, new_hash) in zip(self._paths[start:end], self._changes[start:end], strict=True):
            if old is not None and old.path == path:
                old = None
            if new_hash is not None:
                leaves.append(_Leaf(path, key, new_hash))
        if old is not None:
            leaves.insert(bisect_left(leaves, old.path, key=lambda leaf: leaf.path), old)
        return self._build(depth, leaves) if leaves else None

    def _build(self, depth: int, leaves: list[_Leaf]) -> Place:
        """A place with only these leaves below it: one leaf itself, or else new nodes from this depth down."""
        first = leaves[0]
        if len(leaves) == 1:
            return first.hash, first.key
        places: list[Place | None] = [None] * ARITY
        start = 0
        while start < len(leaves):
            digit = leaves[start].path[depth]
            end = start + 1
            while end < len(leaves) and leaves[end].path[depth] == digit:
                end += 1
            places[_NIBBLE[digit]] = self._build(depth + 1, leaves[start:end])
            start = end
        row = make_row(places)
        self._written[first.path[:depth]] = row
        return hash_row(row), None
