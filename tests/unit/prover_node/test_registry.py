"""Images from a registry on loopback: assembled to one archive, or refused with the reason."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from prover_node.duties import ContainerSpec, FileKind, FileRef, JobKey, Resources, Role
from prover_node.fetcher import Fetcher, FetchError
from prover_node.job_files import stage_job
from prover_node.public_http import FetchPolicy
from prover_node.runner.images import Archive
from prover_node.storage import BlobStore
from prover_node.store_errors import StoreError
from tests.support.image_archives import descriptor, digest, file, image_config, tar
from tests.support.registry import REPOSITORY, Pushed, Registry, serving

PATIENCE_S = 5.0
LAYERS = [tar([file("bin/prove", b"prove" * 1000, 0o755)]), tar([file("etc/motd", b"hello")])]
CONFIG = image_config(LAYERS, {"Entrypoint": ["/bin/prove"]})


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prover_node.fetcher._FIRST_PAUSE_S", 0.01)


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with serving() as started:
        yield started


def image(registry: Registry, pushed: Pushed, *hosts: str) -> FileRef:
    urls = tuple(f"oci://{host}/{REPOSITORY}@sha256:{pushed.sha256}" for host in hosts or (registry.address,))
    return FileRef(FileKind.IMAGE, "", pushed.sha256, pushed.size, urls)


async def fetch(
    root: Path, *wanted: FileRef, max_bytes: int = 1 << 20, patience_s: float = PATIENCE_S, allow_private: bool = True
) -> BlobStore:
    store = BlobStore(root, max_bytes)
    async with Fetcher(store, FetchPolicy(allow_private)) as fetcher:
        await asyncio.gather(*(fetcher.fetch(ref, patience_s) for ref in wanted))
    return store


async def refused(root: Path, wanted: FileRef, why: str, *, allow_private: bool = True) -> None:
    with pytest.raises(FetchError, match=f"the image can't be fetched .*{why}"):
        await fetch(root, wanted, patience_s=0, allow_private=allow_private)
    assert files_below(root) == []


def files_below(root: Path) -> list[Path]:
    """What is in the store; what came in part is not."""
    return [path for path in root.glob("??/*") if path.is_file()]


def found(store: BlobStore, ref: FileRef) -> Path:
    path = store.find(ref.key)
    assert path is not None
    return path


async def test_the_archive_holds_the_image(registry: Registry, tmp_path: Path) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    path = found(await fetch(tmp_path, wanted), wanted)
    with Archive(path) as archive:
        assert archive.raw_config == CONFIG
        assert [stored.read() for _, stored in archive.stored_layers()] == LAYERS


async def test_the_same_image_is_the_same_archive_wherever_it_comes_from(registry: Registry, tmp_path: Path) -> None:
    pushed = registry.push(LAYERS, CONFIG)
    first = image(registry, pushed)
    one = found(await fetch(tmp_path / "one", first), first).read_bytes()
    async with serving() as mirror:
        mirror.push(LAYERS, CONFIG)
        second = image(mirror, pushed, "127.0.0.1:9", mirror.address)
        assert found(await fetch(tmp_path / "two", second), second).read_bytes() == one


async def test_it_is_fetched_once_and_found_after_a_restart(registry: Registry, tmp_path: Path) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    await fetch(tmp_path, wanted, wanted)
    await fetch(tmp_path, wanted)
    assert len(registry.asked) == 1 + 1 + len(LAYERS)


async def test_a_layer_that_is_named_twice_is_fetched_and_counted_once(registry: Registry, tmp_path: Path) -> None:
    layers = [LAYERS[0], LAYERS[1], LAYERS[0]]
    config = image_config(layers, {"Entrypoint": ["/bin/prove"]})
    wanted = image(registry, registry.push(layers, config))
    with Archive(found(await fetch(tmp_path, wanted), wanted)) as archive:
        assert [stored.read() for _, stored in archive.stored_layers()] == layers
    assert len(registry.asked) == 4


async def test_a_job_runs_it_under_the_hash_of_the_archive(registry: Registry, tmp_path: Path) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    store = await fetch(tmp_path / "store", wanted)
    spec = ContainerSpec(wanted, (), (), Resources(1_000, 1 << 20), 10)
    job = stage_job(JobKey(Role.PROVE, 1, 0, 1), spec, tmp_path / "job", lambda ref: found(store, ref))
    assert job.image_sha256 == hashlib.sha256(job.image.read_bytes()).hexdigest() != wanted.sha256


async def test_a_file_with_the_manifests_hash_is_not_taken_for_the_image(registry: Registry, tmp_path: Path) -> None:
    """Else whoever has provers fetch a manifest as a file of theirs would spoil the image for everybody."""
    pushed = registry.push(LAYERS, CONFIG)
    manifest = registry.manifests[pushed.sha256]
    decoy = FileRef(FileKind.INPUT, "a", pushed.sha256, len(manifest), inline=manifest)
    wanted = image(registry, pushed)
    store = await fetch(tmp_path, decoy, wanted)
    assert found(store, decoy).read_bytes() == manifest
    with Archive(found(store, wanted)) as archive:
        assert archive.raw_config == CONFIG


async def test_tokens_are_fetched_and_renewed(registry: Registry, tmp_path: Path) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    registry.want_tokens("first", "second")
    await fetch(tmp_path, wanted)
    asked = [path for path in registry.asked if path.startswith("/token")]
    assert asked == [f"/token?service=registry&scope=repository:{REPOSITORY}:pull"] * 2


async def test_another_server_never_sees_the_token(registry: Registry, tmp_path: Path) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    registry.want_tokens("first", "second")
    async with serving() as storage:
        storage.push(LAYERS, CONFIG)
        sha256 = digest(LAYERS[0])
        registry.moved[sha256] = f"http://{storage.address}/v2/{REPOSITORY}/blobs/sha256:{sha256}"
        await fetch(tmp_path, wanted)
        assert storage.authorizations == [None]


@pytest.mark.parametrize("challenge", ["", 'Basic realm="x"', "Bearer", 'Bearer service="x"', "tokens"])
async def test_a_registry_that_wants_a_login(registry: Registry, tmp_path: Path, challenge: str) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    registry.want_tokens()
    registry.challenge = registry.challenge if challenge == "tokens" else challenge or "Negotiate"
    await refused(tmp_path, wanted, "only public images can be run")


async def test_a_token_that_is_not_taken(registry: Registry, tmp_path: Path) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    async with serving() as other:
        other.want_tokens(*(f"token{number}" for number in range(9)))
        registry.challenge = other.challenge
        await refused(tmp_path, wanted, "the registry wants a login")


async def test_a_token_server_that_talks_nonsense(registry: Registry, tmp_path: Path) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    registry.want_tokens("not\r\na: token", "", "not a token")
    await refused(tmp_path, wanted, "answers with no token")


async def test_a_manifest_that_is_another(registry: Registry, tmp_path: Path) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    registry.manifests[wanted.sha256] += b" "
    registry.manifests[wanted.sha256] = registry.manifests[wanted.sha256].replace(b": ", b":", 1)
    await refused(tmp_path, wanted, "the manifest has the sha256")


@pytest.mark.parametrize("part", [CONFIG, LAYERS[1]])
async def test_a_blob_that_is_another(registry: Registry, tmp_path: Path, part: bytes) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    registry.blobs[digest(part)] = part[:-1] + b"X"
    await refused(tmp_path, wanted, "the bytes have the sha256")


@pytest.mark.parametrize(("change", "why"), [(-1, "bytes came instead of the"), (1, "more than the .* bytes stated")])
async def test_a_blob_of_another_size(registry: Registry, tmp_path: Path, change: int, why: str) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    registry.blobs[digest(LAYERS[0])] = LAYERS[0][:-1] if change < 0 else LAYERS[0] + b"X"
    await refused(tmp_path, wanted, why)


@pytest.mark.parametrize("change", [-1, 1])
async def test_an_image_of_another_size_than_the_chain_states(registry: Registry, tmp_path: Path, change: int) -> None:
    pushed = registry.push(LAYERS, CONFIG)
    stated = Pushed(pushed.sha256, pushed.size + change)
    await refused(tmp_path, image(registry, stated), f"have {pushed.size} bytes together instead of the {stated.size}")
    assert len(registry.asked) == 1


async def test_a_manifest_larger_than_the_image_is_not_read_on(registry: Registry, tmp_path: Path) -> None:
    pushed = registry.push(LAYERS, CONFIG)
    await refused(tmp_path, image(registry, Pushed(pushed.sha256, 100)), "its manifest is larger than 100 bytes")


async def test_an_index_of_several_images(registry: Registry, tmp_path: Path) -> None:
    pushed = registry.push(LAYERS, CONFIG)
    index = json.dumps({"schemaVersion": 2, "manifests": [descriptor(registry.manifests[pushed.sha256])]}).encode()
    wanted = image(registry, Pushed(registry.push_manifest(index), len(index)))
    await refused(tmp_path, wanted, "an index of several images: refer to the manifest of the one to run")


BAD_MANIFESTS = {
    "no JSON": b"\xff{",
    "no object": b"[]",
    "nothing": b"{}",
    "no layers": json.dumps({"config": descriptor(CONFIG)}).encode(),
    "no config": json.dumps({"layers": [descriptor(LAYERS[0])]}).encode(),
    "another hash": json.dumps({"config": {"digest": "sha512:" + "0" * 128, "size": 1}, "layers": []}).encode(),
    "a path": json.dumps({"config": {"digest": "sha256:../../" + "0" * 58, "size": 1}, "layers": []}).encode(),
    "a negative size": json.dumps({"config": descriptor(CONFIG) | {"size": -1}, "layers": []}).encode(),
    "half a byte": json.dumps({"config": descriptor(CONFIG) | {"size": 0.5}, "layers": []}).encode(),
    "a huge config": json.dumps({"config": descriptor(CONFIG) | {"size": 5 << 20}, "layers": []}).encode(),
    "two sizes": json.dumps(
        {"config": descriptor(CONFIG), "layers": [descriptor(LAYERS[0]), descriptor(LAYERS[0]) | {"size": 1}]}
    ).encode(),
    "many layers": json.dumps({"config": descriptor(CONFIG), "layers": [descriptor(LAYERS[0])] * 129}).encode(),
    "a media type that is none": json.dumps({"config": descriptor(CONFIG), "layers": [], "mediaType": 3}).encode(),
}


@pytest.mark.parametrize("what", BAD_MANIFESTS)
async def test_a_malformed_manifest(registry: Registry, tmp_path: Path, what: str) -> None:
    wanted = image(registry, Pushed(registry.push_manifest(BAD_MANIFESTS[what]), 1 << 16))
    await refused(tmp_path, wanted, "the image|the manifest|a blob's descriptor")
    assert len(registry.asked) == 1


async def test_what_is_not_there(registry: Registry, tmp_path: Path) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    del registry.blobs[digest(LAYERS[1])]
    await refused(tmp_path, wanted, "the server answers 404")
    await refused(tmp_path, image(registry, Pushed("0" * 64, 5)), "the server answers 404")


async def test_urls_that_refer_to_something_else(registry: Registry, tmp_path: Path) -> None:
    pushed = registry.push(LAYERS, CONFIG)
    for url, why in {
        f"oci://{registry.address}/{REPOSITORY}@sha256:{'0' * 64}": "another manifest",
        f"oci://{registry.address}/{REPOSITORY}:latest": "not an image reference",
    }.items():
        await refused(tmp_path, FileRef(FileKind.IMAGE, "", pushed.sha256, pushed.size, (url,)), why)
    assert registry.asked == []


async def test_only_images_come_from_registries(registry: Registry, tmp_path: Path) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    asset = FileRef(FileKind.ASSET, "key", wanted.sha256, wanted.size, wanted.urls)
    with pytest.raises(FetchError, match="only http and https URLs can be fetched"):
        await fetch(tmp_path, asset)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "[::1]"])
async def test_private_registries_are_refused_unless_allowed(registry: Registry, tmp_path: Path, host: str) -> None:
    pushed = registry.push(LAYERS, CONFIG)
    wanted = image(registry, pushed, f"{host}:{registry.address.rpartition(':')[2]}")
    await refused(tmp_path, wanted, "public address", allow_private=False)
    assert registry.asked == []


async def test_a_redirect_to_what_is_no_web_address(registry: Registry, tmp_path: Path) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    for target in ("file:///etc/passwd", "http://[", "http://host:99999/"):
        registry.moved[digest(CONFIG)] = target
        await refused(tmp_path, wanted, "URL")


async def test_an_image_that_does_not_fit_is_this_machines_fault(registry: Registry, tmp_path: Path) -> None:
    wanted = image(registry, registry.push(LAYERS, CONFIG))
    with pytest.raises(StoreError, match="max_bytes"):
        await fetch(tmp_path, wanted, max_bytes=1000)


LARGE = [tar([file("a", b"layer" * 5000)]), tar([file("b", b"other" * 7000)])]
LARGE_CONFIG = image_config(LARGE, {"Entrypoint": ["/a"]})


@pytest.mark.parametrize("knows_ranges", [True, False])
async def test_an_image_goes_on_where_it_was_cut(registry: Registry, tmp_path: Path, knows_ranges: bool) -> None:
    registry.knows_ranges = knows_ranges
    pushed = registry.push(LARGE, LARGE_CONFIG)
    whole = found(await fetch(tmp_path / "whole", image(registry, pushed)), image(registry, pushed)).read_bytes()
    registry.asked.clear()
    registry.cut[digest(LARGE[1])] = 3000
    store = await fetch(tmp_path / "cut", image(registry, pushed))
    assert found(store, image(registry, pushed)).read_bytes() == whole
    assert registry.ranges == [(digest(LARGE[1]), "bytes=3000-")]
    # The first layer came but once.
    assert [path for path in registry.asked if digest(LARGE[0]) in path] == [
        f"/v2/{REPOSITORY}/blobs/sha256:{digest(LARGE[0])}"
    ]
    assert not list((tmp_path / "cut" / "partial").iterdir())


async def test_an_image_goes_on_in_the_next_process(registry: Registry, tmp_path: Path) -> None:
    pushed = registry.push(LARGE, LARGE_CONFIG)
    registry.cut[digest(LARGE[0])] = 1000
    with pytest.raises(FetchError):
        await fetch(tmp_path, image(registry, pushed), patience_s=-100)
    store = await fetch(tmp_path, image(registry, pushed))
    assert registry.ranges == [(digest(LARGE[0]), "bytes=1000-")]
    with Archive(found(store, image(registry, pushed))) as archive:
        assert archive.config.entrypoint == ("/a",)


@pytest.mark.parametrize("at", [0, 600, 2000, 5000, -2000])
async def test_wrong_bytes_of_an_earlier_attempt_are_replaced(registry: Registry, tmp_path: Path, at: int) -> None:
    pushed = registry.push(LARGE, LARGE_CONFIG)
    wanted = image(registry, pushed)
    whole = found(await fetch(tmp_path / "whole", wanted), wanted).read_bytes()
    store = BlobStore(tmp_path / "other", 1 << 20)
    damaged = bytearray(whole)
    damaged[at] ^= 1
    damaged += b"and more"
    (tmp_path / "other" / "partial" / wanted.key).write_bytes(damaged)
    async with Fetcher(store, FetchPolicy(allow_private=True)) as fetcher:
        await fetcher.fetch(wanted, PATIENCE_S)
    assert found(store, wanted).read_bytes() == whole
