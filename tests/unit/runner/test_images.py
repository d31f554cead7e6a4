"""Image archives: both formats read alike, and everything malformed is an ImageError."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from prover_node.runner.engine_image import docker_archive as engine_archive, engine_image
from prover_node.runner.images import Archive, ImageError, UnpackLimits
from prover_node.runner.rootfs import check_layers
from tests.support.image_archives import (
    digest,
    docker_archive,
    file,
    image_config,
    link,
    oci_layout,
    tar,
    write,
)

LAYERS = [tar([file("a", b"1")]), tar([file("b", b"2")])]
SETTINGS = {
    "Entrypoint": ["/a"],
    "Cmd": ["x"],
    "Env": ["PATH=/bin", "A=b=c", "=odd"],
    "WorkingDir": "/work/",
    "User": "0",
}
CONFIG = image_config(LAYERS, SETTINGS)
Writer = Callable[..., str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image.tar"


@pytest.mark.parametrize("make", [docker_archive, oci_layout])
@pytest.mark.parametrize("compress", [False, True])
def test_both_formats_are_read_alike(path: Path, make: Writer, compress: bool) -> None:
    make(path, LAYERS, CONFIG, compress=compress)
    with Archive(path) as archive:
        config = archive.config
        contents = []
        for index in range(2):
            with archive.layer(index, 1 << 20) as layer:
                contents.append(layer.read())
    assert contents == LAYERS
    assert config.digest == digest(CONFIG)
    assert config.diff_ids == tuple(digest(layer) for layer in LAYERS)
    assert config.argv(()) == ("/a", "x")
    assert config.argv(("/b",)) == ("/b",)
    assert config.environment({"A": "mine"}) == {"PATH": "/bin", "HOME": "/tmp", "A": "mine"}  # noqa: S108
    assert config.working_dir == "/work"


def test_an_image_with_no_command_has_no_default(path: Path) -> None:
    docker_archive(path, LAYERS, image_config(LAYERS, {}))
    with Archive(path) as archive, pytest.raises(ImageError, match="no entry point"):
        archive.config.argv(())


def archive_of(manifest: object, config: bytes = CONFIG) -> bytes:
    return tar([file("manifest.json", json.dumps(manifest).encode()), file("c", config), file("l", LAYERS[0])])


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "not an uncompressed tar"),
        (b"junk" * 1000, "not an uncompressed tar"),
        (gzip.compress(archive_of([])), "not an uncompressed tar"),
        (tar([file("a")]), "neither"),
        (archive_of({}), "not a JSON list"),
        (archive_of([]), "0 images"),
        (archive_of([{}, {}]), "2 images"),
        (archive_of([{"Layers": []}]), "not a string"),
        (archive_of([{"Config": "nowhere", "Layers": []}]), "lacks 'nowhere'"),
        (archive_of([{"Config": "c", "Layers": ["l"]}]), "config names 2"),
        (archive_of([{"Config": "c", "Layers": 3}]), "list of strings"),
        (archive_of([{"Config": "c", "Layers": ["l"] * 200}]), "more than 128"),
        (archive_of([{"Config": "c", "Layers": []}], b"{"), "not valid JSON"),
        (archive_of([{"Config": "c", "Layers": []}], b"[" * 100_000), "not valid JSON"),
        (archive_of([{"Config": "c", "Layers": []}], b"[]"), "not a JSON object"),
        (archive_of([{"Config": "c", "Layers": []}], image_config([], {}, os="windows")), "windows"),
        (archive_of([{"Config": "c", "Layers": []}], image_config([], {}, architecture="vax")), "linux/vax"),
        (archive_of([{"Config": "c", "Layers": []}], image_config([], {"Env": ["a\0"]})), "list of strings"),
        (archive_of([{"Config": "c", "Layers": []}], image_config([], {"WorkingDir": "up"})), "absolute"),
        (
            archive_of([{"Config": "c", "Layers": []}], image_config([], {}, rootfs={"diff_ids": ["md5:1"]})),
            "not a sha256",
        ),
        (tar([file("index.json", b'{"manifests": []}')]), "0 images"),
        (tar([file("index.json", b'{"manifests": [{"digest": "sha256:../x"}]}')]), "not a sha256"),
        (tar([file("index.json", json.dumps({"manifests": [{"digest": f"sha256:{'0' * 64}"}]}).encode())]), "lacks"),
        (tar([file(str(number)) for number in range(10_001)]), "more than 10000"),
        (tar([link("manifest.json", "manifest.json")]), "lacks"),
    ],
)
def test_malformed_archives(path: Path, data: bytes, word: str) -> None:
    write(path, data)
    with pytest.raises(ImageError, match=word), Archive(path):
        pass


def test_an_oci_blob_that_differs_from_its_digest(path: Path) -> None:
    index = {"manifests": [{"digest": f"sha256:{'1' * 64}"}]}
    write(path, tar([file("index.json", json.dumps(index).encode()), file(f"blobs/sha256/{'1' * 64}", b"{}")]))
    with pytest.raises(ImageError, match="differs from its digest"), Archive(path):
        pass


def test_an_index_is_searched_for_this_machine(path: Path) -> None:
    other = {"digest": f"sha256:{'2' * 64}", "platform": {"os": "linux", "architecture": "vax"}}
    empty = image_config([], {})
    manifest = json.dumps({"config": {"digest": f"sha256:{digest(empty)}"}, "layers": []}).encode()
    nested = json.dumps({"manifests": [other, {"digest": f"sha256:{digest(manifest)}"}]}).encode()
    index = json.dumps({"manifests": [{"digest": f"sha256:{digest(nested)}"}]}).encode()
    blobs = [file(f"blobs/sha256/{digest(blob)}", blob) for blob in (manifest, nested, empty)]
    write(path, tar([file("index.json", index), *blobs]))
    with Archive(path) as archive:
        assert archive.config.digest == digest(empty)


def test_layers_are_compared_with_their_diff_ids(path: Path) -> None:
    docker_archive(path, [LAYERS[1], LAYERS[0]], CONFIG)
    with Archive(path) as archive, pytest.raises(ImageError, match="diff id"):
        check_layers(archive, UnpackLimits())


def test_a_compressed_bomb_is_stopped_early(path: Path) -> None:
    layer = tar([file("zeros", bytes(1 << 22))])
    docker_archive(path, [layer], image_config([layer], {}), compress=True)
    assert path.stat().st_size < 1 << 15
    with Archive(path) as archive, pytest.raises(ImageError, match="more than the 1048576 bytes"):
        check_layers(archive, UnpackLimits(max_bytes=1 << 20))


def test_zstd_is_named(path: Path) -> None:
    layer = b"\x28\xb5\x2f\xfd" + bytes(600)
    docker_archive(path, [layer], image_config([layer], {}))
    with Archive(path) as archive, pytest.raises(ImageError, match="zstd"):
        check_layers(archive, UnpackLimits())


def test_a_layer_cut_short_inside_its_compression(path: Path) -> None:
    layer = tar([file("a", bytes(range(256)) * 64)])
    cut = gzip.compress(layer, mtime=0)[:-20]
    docker_archive(path, [cut], image_config([layer], {}))
    with Archive(path) as archive, pytest.raises(ImageError, match="malformed"):
        check_layers(archive, UnpackLimits())


def test_a_giant_extended_header_is_not_read(path: Path) -> None:
    data = bytearray(tar([file("a" * 300)]))
    data[124:136] = b"%011o\0" % (1 << 30)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    write(path, bytes(data))
    with pytest.raises(ImageError, match="extended header"), Archive(path):
        pass


def test_what_an_engine_gets_names_the_layers_and_nothing_else(path: Path, tmp_path: Path) -> None:
    settings = {"Volumes": {"/data": {}}, "User": "root", "Healthcheck": {"Test": ["CMD", "/a"]}}
    oci_layout(path, LAYERS, image_config(LAYERS, settings), compress=True)
    with Archive(path) as archive:
        image = engine_image(archive.config.diff_ids, "proofmill-program:x")
        (tmp_path / "engine.tar").write_bytes(b"".join(engine_archive(archive, image)))
    with Archive(tmp_path / "engine.tar") as again:
        check_layers(again, UnpackLimits())
        assert again.raw_config == image.config
    assert image.id == f"sha256:{digest(image.config)}"
    assert json.loads(image.config)["config"] == {}
