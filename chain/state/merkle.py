"""The authenticated tree: a 16-ary trie over the nibbles of sha256(key), proved with ICS-23 (protocol §3).

- leaf hash = sha256(0x00 ‖ sha256(key) ‖ sha256(value)); a leaf stands at the shallowest depth where it is alone;
- inner hash = sha256(0x01 ‖ the hashes of the children that exist, in nibble order, then 32 zero bytes for each of the
  16 places that is left). Packing the children to the left, instead of giving each nibble its own place, keeps
  neighbours side by side: ICS-23 verifiers know two leaves as neighbours only if their places differ by one;
- the root is always an inner node; the root of an empty tree is that of a node without children.

So the root depends on the map alone, not on the order of the writes that led to it.
"""

from __future__ import annotations

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
    hash_row,
    leaf_key,
    leaf_keys,
    sized,
)

EMPTY_ROOT = hash_row(NO_CHILDREN)

_DIGITS = b"0123456789abcdef"
# Hexadecimal digit (as a byte) to nibble; other bytes never occur.
_NIBBLE = tuple(_DIGITS.index(byte) if byte in _DIGITS else 0 for byte in range(128))


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
        row = self._nodes.get(b"")
        return EMPTY_ROOT if row is None else hash_row(row)

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
    """One run of `Tree.apply`: the changes in tree order, and the rows that they lead to."""

    __slots__ = ("_changes", "_get", "_paths", "_written")

    def __init__(self, nodes: Getter, changes: Mapping[bytes, bytes | None]) -> None:
        by_path: dict[bytes, tuple[bytes, bytes | None]] = {}
        for key, value in changes.items():
            digest = sha256(key)
            if value is None:
                leaf = None
            elif value:
                leaf = sha256(LEAF_PREFIX + digest.digest() + sha256(value).digest()).digest()
            else:
                raise StateError(f"the value of key {key.hex()} is empty; delete the key instead")
            by_path[digest.hexdigest().encode()] = (key, leaf)
        self._get = nodes.get
        # The hexadecimal hashes of the changed keys in order, and for each of them its key and new leaf hash.
        self._paths = sorted(by_path)
        self._changes = [by_path[path] for path in self._paths]
        self._written: dict[bytes, bytes | None] = {}

    def run(self) -> TreeUpdate:
        row = self._get(b"")
        if not self._paths:
            return TreeUpdate(EMPTY_ROOT if row is None else hash_row(row), {})
        new = self._update_row(row, 0, 0, len(self._paths))
        if new[:2] == b"\x00\x00":
            if row is not None:
                self._written[b""] = None
        elif new != row:
            self._written[b""] = new
        return TreeUpdate(hash_row(new), self._written)

    def _update_child(self, depth: int, low: int, high: int) -> tuple[bytes | None, bytes | None]:
        """Apply changes low to high to the inner node at their common path; the hash, and the key if now a leaf."""
        path = self._paths[low][:depth]
        row = self._get(path)
        if row is None:
            raise StateError(f"the tree's node {path.decode()} is missing; the database is damaged")
        new = self._update_row(row, depth, low, high)
        children = new[0] << 8 | new[1]
        if children & (children - 1) or new[:2] != new[2:4]:
            if new != row:
                self._written[path] = new
            return hash_row(new), None
        # One leaf or nothing is left: it moves up, so that equal maps have equal trees.
        self._written[path] = None
        if not children:
            return None, None
        return new[HASHES_AT : HASHES_AT + HASH_SIZE], leaf_keys(new)[0]

    def _update_row(self, row: bytes | None, depth: int, low: int, high: int) -> bytes:
        """The row of a node at this depth after changes low to high, which all lie below it."""
        if row is None:
            row = NO_CHILDREN
        children = row[0] << 8 | row[1]
        leaves = row[2] << 8 | row[3]
        keys_at = HASHES_AT + HASH_SIZE * children.bit_count()
        hashes = bytearray(row[HASHES_AT:keys_at])
        edits: list[tuple[int, bytes | None, bytes | None]] = []
        paths, changes = self._paths, self._changes
        start = low
        while start < high:
            digit = paths[start][depth]
            end = start + 1
            if end < high and paths[end][depth] == digit:
                end = bisect_left(paths, paths[start][:depth] + bytes((digit + 1,)), end, high)
            nibble = _NIBBLE[digit]
            bit = 1 << nibble
            if children & bit:
                at = HASH_SIZE * (children & (bit - 1)).bit_count()
                if not leaves & bit:
                    new_hash, key = self._update_child(depth + 1, start, end)
                    if key is None and new_hash is not None:
                        hashes[at : at + HASH_SIZE] = new_hash
                    else:
                        edits.append((nibble, new_hash, key))
                else:
                    key = leaf_key(row, keys_at, leaves & (bit - 1))
                    changed_key, new_hash = changes[start]
                    if end == start + 1 and changed_key == key and new_hash is not None:
                        hashes[at : at + HASH_SIZE] = new_hash
                    else:
                        old = _Leaf(sha256(key).hexdigest().encode(), key, bytes(hashes[at : at + HASH_SIZE]))
                        edits.append((nibble, *self._place(depth + 1, start, end, old)))
            else:
                edits.append((nibble, *self._place(depth + 1, start, end, None)))
            start = end
        if edits:
            return _edit_row(row, hashes, edits)
        return b"".join((row[:HASHES_AT], hashes, row[keys_at:]))

    def _place(self, depth: int, start: int, end: int, old: _Leaf | None) -> tuple[bytes | None, bytes | None]:
        """Fill a place that held at most one leaf with changes start to end; the hash, and the key if now a leaf."""
        leaves = []
        for path, (key, new_hash) in zip(self._paths[start:end], self._changes[start:end], strict=True):
            if old is not None and old.path == path:
                old = None
            if new_hash is not None:
                leaves.append(_Leaf(path, key, new_hash))
        if old is not None:
            leaves.insert(bisect_left(leaves, old.path, key=lambda leaf: leaf.path), old)
        if not leaves:
            return None, None
        if len(leaves) == 1:
            return leaves[0].hash, leaves[0].key
        return self._build(depth, leaves), None

    def _build(self, depth: int, leaves: list[_Leaf]) -> bytes:
        """Write the new inner node that holds these leaves, at least two, and return its hash."""
        children = leaf_bits = 0
        hashes = []
        keys = []
        start = 0
        while start < len(leaves):
            digit = leaves[start].path[depth]
            end = start + 1
            while end < len(leaves) and leaves[end].path[depth] == digit:
                end += 1
            bit = 1 << _NIBBLE[digit]
            children |= bit
            if end == start + 1:
                leaf = leaves[start]
                leaf_bits |= bit
                hashes.append(leaf.hash)
                keys.append(sized(leaf.key))
            else:
                hashes.append(self._build(depth + 1, leaves[start:end]))
            start = end
        row = b"".join((children.to_bytes(2, "big"), leaf_bits.to_bytes(2, "big"), *hashes, *keys))
        self._written[leaves[0].path[:depth]] = row
        return hash_row(row)


def _edit_row(row: bytes, hashes: bytearray, edits: list[tuple[int, bytes | None, bytes | None]]) -> bytes:
    """The row with new hashes, and with places (nibble, hash or None, key if a leaf) filled, emptied or changed."""
    children = row[0] << 8 | row[1]
    leaves = row[2] << 8 | row[3]
    places: list[tuple[bytes | bytearray, bytes | None] | None] = [None] * ARITY
    keys = iter(leaf_keys(row))
    at = 0
    for nibble in range(ARITY):
        if children >> nibble & 1:
            places[nibble] = (hashes[at : at + HASH_SIZE], next(keys) if leaves >> nibble & 1 else None)
            at += HASH_SIZE
    for nibble, new_hash, key in edits:
        places[nibble] = None if new_hash is None else (new_hash, key)
    children = leaves = 0
    new_hashes = []
    new_keys = []
    for nibble, place in enumerate(places):
        if place is not None:
            children |= 1 << nibble
            new_hashes.append(place[0])
            if place[1] is not None:
                leaves |= 1 << nibble
                new_keys.append(sized(place[1]))
    return b"".join((children.to_bytes(2, "big"), leaves.to_bytes(2, "big"), *new_hashes, *new_keys))
