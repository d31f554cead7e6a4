from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import plyvel
import pytest

from chain.state.merkle import Tree
from validator_node.store import HeightUnavailable, Store, StoreError


def commit(store: Store, changes: dict[bytes, bytes | None], retain_blocks: int = 10) -> bytes:
    height, _ = store.latest()
    update = Tree(store.nodes).apply(changes)
    store.commit(height + 1, changes, update.nodes, update.root, retain_blocks)
    return update.root


def test_a_new_store_is_at_height_zero(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "not" / "there" / "yet")
    assert store.latest() == (0, b"")
    with pytest.raises(HeightUnavailable, match="no block is committed yet"):
        store.view()
    store.close()


def test_a_chain_may_begin_at_a_later_height(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.commit(500, {b"k": b"v"}, {}, b"\x11" * 32, 10)
    store.commit(501, {b"k": b"w"}, {}, b"\x22" * 32, 10)
    assert store.latest() == (501, b"\x22" * 32)
    with store.view(500) as view:
        assert view.values.get(b"k") == b"v"
    with pytest.raises(HeightUnavailable, match="height 499 is pruned; the oldest kept is 500"):
        store.view(499)
    store.close()


def test_heights_must_follow_each_other(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    commit(store, {b"k": b"v"})
    for height in (1, 3):
        with pytest.raises(StoreError, match=f"height {height} can't be committed after height 1"):
            store.commit(height, {}, {}, bytes(32), 10)
    store.close()


def test_a_height_to_come_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    commit(store, {b"k": b"v"})
    with pytest.raises(HeightUnavailable, match="height 2 is not committed yet; the latest is 1"):
        store.view(2)
    store.close()


def test_a_view_outlives_commits_and_pruning(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    commit(store, {b"k": b"old", b"gone": b"x"})
    with store.view() as view:
        for number in range(20):
            commit(store, {b"k": b"new%d" % number, b"gone": None}, retain_blocks=1)
        assert view.values.get(b"k") == b"old"
        assert list(view.values.iterate(b"a", b"z")) == [(b"gone", b"x"), (b"k", b"old")]
        assert Tree(view.nodes).root() == view.app_hash
    store.close()


def test_views_are_consistent_beside_commits(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    keys = [b"k%d" % number for number in range(50)]
    commit(store, dict.fromkeys(keys, b"0"), retain_blocks=0)

    def read() -> int:
        reads = 0
        while store.latest()[0] < 100:
            with store.view() as view:
                height = view.height
                values = {view.values.get(key) for key in keys}
                assert len(values) == 1
                assert Tree(view.nodes).root() == view.app_hash
            if height > 1:
                with store.view(height) as again:
                    assert {again.values.get(key) for key in keys} == values
            reads += 1
        return reads

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for number in range(1, 100):
            commit(store, dict.fromkeys(keys, b"%d" % number), retain_blocks=0)
        assert all(reader.result() >= 0 for reader in readers)
    store.close()


def test_a_range_read_backwards_is_the_same_range(tmp_path: Path) -> None:
    """Also where its only row lies at its start: plyvel 1.5.1 loses that one."""
    store = Store.open(tmp_path)
    keys = (b"a", b"b", b"c", b"d")
    commit(store, dict.fromkeys(keys, b"v"))
    bounds = (b"A", b"a", b"aa", b"b", b"bb", b"c", b"d", b"dd", b"e")
    for start in bounds:
        for end in bounds:
            found = [key for key, _ in store.values.iterate(start, end, reverse=True)]
            assert found == [key for key in reversed(keys) if start <= key < end]
    store.close()


def test_pruning_leaves_no_rows_behind(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for number in range(30):
        commit(store, {b"k%d" % (number % 7): b"%d" % number}, retain_blocks=0)
    commit(store, {b"k0": b"last"}, retain_blocks=1)
    store.close()
    db = plyvel.DB(str(tmp_path))
    with db.iterator(include_value=False) as rows:
        kinds = [key[:1] for key in rows]
    db.close()
    assert kinds.count(b"a") == kinds.count(b"b") == 0
    assert kinds.count(b"s") == 1
    assert kinds.count(b"v") == 7


def test_lowering_retain_blocks_prunes_over_several_commits(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for number in range(250):
        store.commit(number + 1, {b"k": b"%d" % number}, {}, bytes(32), 0)
    oldest = []
    for number in range(250, 254):
        store.commit(number + 1, {b"k": b"%d" % number}, {}, bytes(32), 2)
        with pytest.raises(HeightUnavailable, match="the oldest kept is") as error:
            store.view(0)
        oldest.append(int(str(error.value).rsplit(maxsplit=1)[-1]))
    assert oldest == [101, 201, 252, 253]
    store.close()


def test_writing_what_is_there_writes_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    commit(store, {b"k": b"v"})
    commit(store, {b"k": b"v", b"absent": None})
    store.close()
    db = plyvel.DB(str(tmp_path))
    with db.iterator(prefix=b"a", include_value=False) as rows:
        assert list(rows) == []
    db.close()


def test_a_failed_batch_changes_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    root = commit(store, {b"k": b"v"})
    with pytest.raises(TypeError):
        store.commit(2, {b"a": b"written first", b"k": "text"}, {}, bytes(32), 10)  # type: ignore[dict-item]
    assert store.latest() == (1, root)
    assert store.values.get(b"a") is None
    assert store.values.get(b"k") == b"v"
    store.close()


def test_another_process_is_named(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    code = f"from pathlib import Path; from validator_node.store import Store; Store.open(Path({str(tmp_path)!r}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert f"StoreError: the database {tmp_path} is in use by another process; stop it first" in result.stderr
    store.close()


def test_opening_twice_in_one_process_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with pytest.raises(StoreError, match="is in use"):
        Store.open(tmp_path)
    store.close()
    Store.open(tmp_path).close()


def test_another_format_is_refused(tmp_path: Path) -> None:
    db = plyvel.DB(str(tmp_path), create_if_missing=True)
    db.put(b"mformat", b"77")
    db.close()
    with pytest.raises(StoreError, match="has format 77, this version needs 1"):
        Store.open(tmp_path)


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    (tmp_path / "CURRENT").write_text("MANIFEST-999999\n")
    with pytest.raises(StoreError, match="can't be opened"):
        Store.open(tmp_path)


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("not a folder")
    with pytest.raises(StoreError, match="can't be opened"):
        Store.open(tmp_path / "db")
