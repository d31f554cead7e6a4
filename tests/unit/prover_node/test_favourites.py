"""Which files stay in a store that is full."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from prover_node.duties import ContainerSpec, FileKind, FileRef
from prover_node.favourites import Favourites
from prover_node.storage import BlobStore
from tests.support.prover_duties import spec


def program(name: str, size: int = 100) -> ContainerSpec:
    data = name.encode().ljust(size, b".")
    image = FileRef(FileKind.IMAGE, "", hashlib.sha256(data).hexdigest(), size, (), data)
    witness = FileRef(FileKind.INPUT, "w", hashlib.sha256(b"w" + data).hexdigest(), size)
    return replace(spec(), image=image, files=(witness,))


async def put(store: BlobStore, data: bytes) -> None:
    async with store.receive(hashlib.sha256(data).hexdigest(), len(data)) as sink:
        sink.write(data)


async def test_a_program_that_comes_often_stays_though_others_were_used_since(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 350)
    favourites = Favourites(store, 200)
    often, once = program("often"), program("once")
    for one in (often, once):
        await put(store, one.image.inline or b"")
    for one in (often, often, often, once):
        favourites.used(one)
        store.find(one.image.key)
    for number in range(5):
        await put(store, f"{number}".encode().ljust(120))
    assert store.has(often.image.key)
    assert not store.has(once.image.key)


def test_inputs_are_no_favourites(tmp_path: Path) -> None:
    favourites = Favourites(BlobStore(tmp_path, 1000), 500)
    often = program("often")
    for _ in range(3):
        favourites.used(often)
    assert favourites.files == (often.image.key,)


def test_no_more_is_kept_than_the_budget_allows_the_most_frequent_first(tmp_path: Path) -> None:
    favourites = Favourites(BlobStore(tmp_path, 1000), 250)
    first, second, third = program("first"), program("second"), program("third")
    for one in (third, second, first) * 3 + (second, first, first):
        favourites.used(one)
    assert favourites.files == (first.image.key, second.image.key)


def test_what_no_longer_comes_is_let_go(tmp_path: Path) -> None:
    favourites = Favourites(BlobStore(tmp_path, 1000), 150)
    old, new = program("old"), program("new")
    for one in [old] * 10 + [new] * 250:
        favourites.used(one)
    assert favourites.files == (new.image.key,)
