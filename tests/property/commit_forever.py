"""What test_store_crash.py kills: commits blocks to the store in a folder until it dies, telling each height."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from chain.state.merkle import Tree
from validator_node.store import Store


def changes_of(height: int) -> dict[bytes, bytes | None]:
    """A block's changes: the same for the same height, so that another process can say what the state must be."""
    draw = random.Random(height)
    changes: dict[bytes, bytes | None] = {}
    for _ in range(400):
        key = b"k%d" % draw.randrange(2000)
        changes[key] = None if draw.random() < 0.3 else draw.randbytes(draw.randrange(1, 200))
    return changes


def main(folder: str) -> None:
    store = Store.open(Path(folder))
    height, _ = store.latest()
    while True:
        height += 1
        changes = changes_of(height)
        update = Tree(store.nodes).apply(changes)
        store.commit(height, changes, update.nodes, update.root, 3)
        print(height, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
