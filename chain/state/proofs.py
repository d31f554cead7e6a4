"""ICS-23 proofs from the tree's node rows, and the ProofSpec by which anyone verifies them (protocol §3)."""

from __future__ import annotations

from hashlib import sha256

from cosmos.ics23.v1 import proofs_pb2 as ics23

from chain.state.errors import StateError
from chain.state.kv import Getter
from chain.state.tree_row import (
    ARITY,
    EMPTY_CHILD,
    HASH_SIZE,
    HASHES_AT,
    INNER_PREFIX,
    LEAF_PREFIX,
    NO_CHILDREN,
    leaf_key,
)


def proof_spec() -> ics23.ProofSpec:
    """The description of this tree that verifiers need; docs/proof-spec.json is the same as JSON."""
    return ics23.ProofSpec(
        leaf_spec=_leaf_op(),
        inner_spec=ics23.InnerSpec(
            child_order=range(ARITY),
            child_size=HASH_SIZE,
            min_prefix_length=len(INNER_PREFIX),
            max_prefix_length=len(INNER_PREFIX),
            empty_child=EMPTY_CHILD,
            hash=ics23.SHA256,
        ),
        max_depth=2 * HASH_SIZE,
        min_depth=1,
        prehash_key_before_comparison=True,
    )


def prove(nodes: Getter, key: bytes, values: Getter) -> ics23.CommitmentProof:
    """That key is stored with its value, or that it isn't stored, in the tree of these node rows and values.

    StateError if the tree is empty (ICS-23 has no proof about it) or if rows are missing.
    """
    found, left, right = _locate(nodes, key)
    if found:
        return ics23.CommitmentProof(exist=_existence(nodes, key, values))
    if left is None and right is None:
        raise StateError("nothing can be proved about an empty state; ask again after the first block")
    return ics23.CommitmentProof(
        nonexist=ics23.NonExistenceProof(
            key=key,
            left=None if left is None else _existence(nodes, left, values),
            right=None if right is None else _existence(nodes, right, values),
        )
    )


def _locate(nodes: Getter, key: bytes) -> tuple[bool, bytes | None, bytes | None]:
    """Whether key is in the tree, and if not, the keys of the leaves before and after the place where it belongs."""
    digits = sha256(key).hexdigest()
    # The paths of the nearest subtrees on either side so far, and whether each is a leaf.
    left: tuple[bytes, int] | None = None
    right: tuple[bytes, int] | None = None
    depth = 0
    while True:
        path = digits[:depth].encode()
        row = nodes.get(path) if depth == 0 else _require(nodes, path)
        children, leaves = _bits(row or NO_CHILDREN)
        nibble = int(digits[depth], 16)
        below = children & ((1 << nibble) - 1)
        above = children >> (nibble + 1) << (nibble + 1)
        if below:
            left = (path, below.bit_length() - 1)
        if above:
            right = (path, (above & -above).bit_length() - 1)
        bit = 1 << nibble
        if not children & bit:
            break
        if leaves & bit:
            other = _key_at(row or NO_CHILDREN, nibble)
            if other == key:
                return True, None, None
            if sha256(other).hexdigest() < digits:
                left = (path, nibble)
            else:
                right = (path, nibble)
            break
        depth += 1
    return (
        False,
        None if left is None else _edge_key(nodes, *left, last=True),
        None if right is None else _edge_key(nodes, *right, last=False),
    )


def _edge_key(nodes: Getter, path: bytes, nibble: int, *, last: bool) -> bytes:
    """The key of the first or last leaf at or below one child of the node at path."""
    while True:
        row = _require(nodes, path)
        _, leaves = _bits(row)
        if leaves >> nibble & 1:
            return _key_at(row, nibble)
        path += b"%x" % nibble
        children, _ = _bits(_require(nodes, path))
        nibble = (children if last else children & -children).bit_length() - 1


def _existence(nodes: Getter, key: bytes, values: Getter) -> ics23.ExistenceProof:
    """The proof of a key that is in the tree."""
    value = values.get(key)
    if value is None:
        raise StateError(f"the tree holds key {key.hex()} but its value is missing; the database is damaged")
    digits = sha256(key).hexdigest()
    path = []
    for depth in range(len(digits)):
        row = _require(nodes, digits[:depth].encode())
        children, leaves = _bits(row)
        bit = 1 << int(digits[depth], 16)
        before = (children & (bit - 1)).bit_count()
        count = children.bit_count()
        at = HASHES_AT + HASH_SIZE * before
        path.append(
            ics23.InnerOp(
                hash=ics23.SHA256,
                prefix=INNER_PREFIX + row[HASHES_AT:at],
                suffix=row[at + HASH_SIZE : HASHES_AT + HASH_SIZE * count] + EMPTY_CHILD * (ARITY - count),
            )
        )
        if leaves & bit:
            break
    path.reverse()
    return ics23.ExistenceProof(key=key, value=value, leaf=_leaf_op(), path=path)


def _leaf_op() -> ics23.LeafOp:
    return ics23.LeafOp(
        hash=ics23.SHA256,
        prehash_key=ics23.SHA256,
        prehash_value=ics23.SHA256,
        length=ics23.NO_PREFIX,
        prefix=LEAF_PREFIX,
    )


def _bits(row: bytes) -> tuple[int, int]:
    return row[0] << 8 | row[1], row[2] << 8 | row[3]


def _key_at(row: bytes, nibble: int) -> bytes:
    children, leaves = _bits(row)
    return leaf_key(row, HASHES_AT + HASH_SIZE * children.bit_count(), leaves & ((1 << nibble) - 1))


def _require(nodes: Getter, path: bytes) -> bytes:
    row = nodes.get(path)
    if row is None:
        raise StateError(f"the tree's node {path.decode() or '(root)'} is missing; the database is damaged")
    return row
