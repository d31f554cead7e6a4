"""The capacity program's files are here before the first test."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from proofmill.params.v1.state_pb2 import Params
from proofmill.program.v1.state_pb2 import Image, Program, ProgramSpec

from prover_node.capacity_program import CapacityProgram
from prover_node.chain_link import ChainLink
from prover_node.duties import FileRef
from prover_node.fetcher import Fetcher, FetchError
from prover_node.runner.base import Runner
from prover_node.storage import BlobStore


@dataclass
class World:
    """A chain, a network and a runner of which only so much is needed."""

    store: BlobStore
    program_id: bytes = b"p" * 32
    reachable: bool = True
    prepared: list[str] = field(default_factory=list)
    kept: Collection[str] = ()
    fetched: list[str] = field(default_factory=list)

    async def params(self) -> Params:
        return Params(capacity_program=self.program_id)

    async def program(self, program_id: bytes) -> Program:
        spec = ProgramSpec(prover=_image(program_id + b"prover"), verifier=_image(program_id + b"verifier"))
        return Program(id=program_id, spec=spec)

    async def fetch(self, ref: FileRef, patience_s: float) -> None:
        if not self.reachable:
            raise FetchError("nobody answers")
        self.fetched.append(ref.sha256)
        async with self.store.make(ref.key, ref.size) as file:
            file.write(b"x" * ref.size)

    async def prepare(self, image: Path, image_sha256: str) -> None:
        assert self.store.has(image.name)
        self.prepared.append(image_sha256)

    def keep_images(self, sha256s: Collection[str]) -> None:
        self.kept = sha256s

    def capacity_program(self) -> CapacityProgram:
        return CapacityProgram(cast(ChainLink, self), self.store, cast(Fetcher, self), cast(Runner, self), 1.0)


def _image(data: bytes) -> Image:
    return Image(urls=["http://files/image"], sha256=hashlib.sha256(data).digest(), bytes=100)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(BlobStore(tmp_path / "blobs", 250))


async def test_both_images_are_fetched_and_made_ready_once(world: World) -> None:
    program = world.capacity_program()
    await program.prepare()
    await program.prepare()
    assert len(world.fetched) == 2
    assert world.prepared == world.fetched
    assert sorted(world.kept) == sorted(world.prepared)


async def test_a_chain_without_tests_needs_nothing(world: World) -> None:
    world.program_id = b""
    await world.capacity_program().prepare()
    assert world.fetched == []


async def test_they_are_kept_however_full_the_store_is(world: World) -> None:
    await world.capacity_program().prepare()
    async with world.store.make("e" * 64, 100) as file:
        file.write(b"y" * 100)
    assert all(world.store.has(name) for name in world.fetched)


async def test_what_could_not_be_had_is_tried_again(world: World) -> None:
    program = world.capacity_program()
    world.reachable = False
    with pytest.raises(FetchError):
        await program.prepare()
    world.reachable = True
    await program.prepare()
    assert len(world.prepared) == 2


async def test_another_program_takes_the_place_of_the_first(world: World) -> None:
    program = world.capacity_program()
    await program.prepare()
    first = list(world.fetched)
    world.program_id = b"q" * 32
    await program.prepare()
    assert world.prepared[2:] == world.fetched[2:]
    assert not all(world.store.has(name) for name in first)
