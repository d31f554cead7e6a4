"""The tree's node rows: how an inner node is stored and hashed.

An inner node is one row: its key is its path in hexadecimal digits, its value
`children: u16 ‖ leaves: u16 ‖ 0x01 ‖ hashes: 32 bytes a child ‖ (size: u16 ‖ key) a leaf`, where bit n of `children` is
set if there is a child at nibble n, and bit n of `leaves` if that child is a leaf. Children come in nibble order; all
integers are big endian. From the 0x01 to the last hash the row is what an inner node hashes, but for its padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TypeAlias

from chain.state.errors import StateError

MAX_KEY_SIZE = 65535  # bytes, what a row's size field holds
ARITY = 16
HASH_SIZE = 32  # bytes
LEAF_PREFIX = b"\x00"
INNER_PREFIX = b"\x01"
EMPTY_CHILD = bytes(HASH_SIZE)
PREIMAGE_AT = 4
HASHES_AT = PREIMAGE_AT + len(INNER_PREFIX)
PREIMAGE_SIZE = len(INNER_PREFIX) + ARITY * HASH_SIZE
NO_CHILDREN = bytes(PREIMAGE_AT) + INNER_PREFIX

# A child: its hash and, if it's a leaf, its key.
Place: TypeAlias = tuple[bytes, bytes | None]


def hash_row(row: bytes) -> bytes:
    """The hash of an inner node."""
    children = row[0] << 8 | row[1]
    keys_at = HASHES_AT + HASH_SIZE * children.bit_count()
    return sha256(row[PREIMAGE_AT:keys_at].ljust(PREIMAGE_SIZE, b"\x00")).digest()


def make_row(places: Sequence[Place | None]) -> bytes:
    """The row of a node with these children by nibble."""
    children = leaves = 0
    hashes = []
    keys = []
    for nibble, place in enumerate(places):
        if place is not None:
            children |= 1 << nibble
            hashes.append(place[0])
            if place[1] is not None:
                leaves |= 1 << nibble
                keys.append(sized(place[1]))
    return b"".join((children.to_bytes(2, "big"), leaves.to_bytes(2, "big"), INNER_PREFIX, *hashes, *keys))


def read_row(row: bytes) -> list[Place | None]:
    """The children of a node by nibble: the inverse of make_row."""
    children, leaves = row[0] << 8 | row[1], row[2] << 8 | row[3]
    hash_at, key_at = HASHES_AT, HASHES_AT + HASH_SIZE * children.bit_count()
    places: list[Place | None] = []
    for nibble in range(ARITY):
        if not children >> nibble & 1:
            places.append(None)
            continue
        child = row[hash_at : hash_at + HASH_SIZE]
        hash_at += HASH_SIZE
        if leaves >> nibble & 1:
            key = leaf_key(row, key_at, 0)
            key_at += 2 + len(key)
            places.append((child, key))
        else:
            places.append((child, None))
    return places


def sized(key: bytes) -> bytes:
    """A leaf's key as it stands in a row; StateError if it's too long."""
    if len(key) > MAX_KEY_SIZE:
        raise StateError(f"a key has {len(key)} bytes, more than {MAX_KEY_SIZE}")
    return len(key).to_bytes(2, "big") + key


def leaf_key(row: bytes, at: int, leaves_before: int) -> bytes:
    """The key of the leaf that follows the leaves in the bit field leaves_before; the row's keys begin at `at`."""
    for _ in range(leaves_before.bit_count()):
        at += 2 + (row[at] << 8 | row[at + 1])
    return row[at + 2 : at + 2 + (row[at] << 8 | row[at + 1])]
