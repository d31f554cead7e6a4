"""kill -9 at any moment leaves the store at a whole height, and a restart goes on from there."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from chain.state.merkle import Tree
from tests.property.commit_forever import changes_of
from validator_node.store import Store

ROOT = Path(__file__).parents[2]


def test_a_killed_store_is_at_a_whole_height(tmp_path: Path) -> None:
    draw = random.Random(7)
    state: dict[bytes, bytes] = {}
    applied = 0
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.property.commit_forever", str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            told = [int(process.stdout.readline()) for _ in range(draw.randrange(1, 30))]
            process.kill()
        store = Store.open(tmp_path)
        height, app_hash = store.latest()
        assert height >= told[-1]
        for done in range(applied + 1, height + 1):
            for key, value in changes_of(done).items():
                if value is None:
                    state.pop(key, None)
                else:
                    state[key] = value
        applied = height
        with store.view() as view:
            assert dict(view.values.iterate(b"\x00", b"\xff")) == state
            rebuilt = Tree({}).apply(state)
            assert rebuilt.root == app_hash
            for path, row in rebuilt.nodes.items():
                assert view.nodes.get(path) == row
        if height > 1:
            with store.view(height - 1) as before:
                rows = dict(before.values.iterate(b"\x00", b"\xff"))
                assert Tree({}).apply(rows).root == before.app_hash
        store.close()
