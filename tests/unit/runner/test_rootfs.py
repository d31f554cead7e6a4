"""Unpacking layers: whiteouts as the OCI image-spec says, and nothing ever lands outside the root."""

from __future__ import annotations

import os
import stat
import tarfile
import threading
from pathlib import Path

import pytest

from prover_node.runner.image_store import ImageStore
from prover_node.runner.images import ImageError, UnpackLimits
from prover_node.runner.mounts import can_mount, mount_tmpfs, unmount
from prover_node.runner.rootfs import MOUNT_POINTS
from tests.support.image_archives import (
    Entry,
    directory,
    docker_archive,
    file,
    huge_archive,
    image_config,
    link,
    special,
    tar,
)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images", UnpackLimits(max_bytes=1 << 20, max_entries=100))


def unpack(store: ImageStore, tmp_path: Path, *layers: list[Entry], **settings: object) -> Path:
    tars = [tar(layer) for layer in layers]
    sha256 = docker_archive(tmp_path / "image.tar", tars, image_config(tars, settings))
    with store.use(tmp_path / "image.tar", sha256) as image:
        return image.rootfs


def names(root: Path) -> set[str]:
    """Everything below the root but the mount points."""
    mounts = {parent for mount in MOUNT_POINTS for parent in (mount, str(Path(mount).parent))}
    return {str(path.relative_to(root)) for path in root.rglob("*") if f"/{path.relative_to(root)}" not in mounts}


def test_files_directories_and_links(store: ImageStore, tmp_path: Path) -> None:
    root = unpack(
        store,
        tmp_path,
        [
            directory("./bin", 0o750),
            file("bin/prog", b"x", 0o4755),
            link("bin/alias", "/bin/prog"),
            link("hard", "bin/prog", tarfile.LNKTYPE),
            file("/abs", b"y"),
        ],
    )
    assert names(root) == {"bin", "bin/prog", "bin/alias", "hard", "abs"}
    assert (root / "bin/prog").samefile(root / "hard")
    assert stat.S_IMODE((root / "bin/prog").stat().st_mode) == 0o755
    assert (root / "bin/alias").readlink() == Path("/bin/prog")
    assert all((root / mount.lstrip("/")).is_dir() for mount in MOUNT_POINTS)


def test_upper_layers_replace_and_remove(store: ImageStore, tmp_path: Path) -> None:
    root = unpack(
        store,
        tmp_path,
        [directory("d"), file("d/old"), file("d/gone"), file("f", b"1"), directory("t"), file("t/x"), file("l/x")],
        [file("d/.wh.gone"), file("f", b"2"), file("t", b"now a file"), link("l", "d")],
    )
    assert names(root) == {"d", "d/old", "t", "l", "f"}
    assert (root / "f").read_bytes() == b"2"
    assert (root / "l").readlink() == Path("d")


def test_an_opaque_directory_hides_lower_layers_only(store: ImageStore, tmp_path: Path) -> None:
    root = unpack(
        store,
        tmp_path,
        [file("d/low"), file("d/sub/low")],
        [file("d/high"), file("d/sub/high"), file("d/.wh..wh..opq"), file("d/after")],
    )
    assert names(root) == {"d", "d/high", "d/sub", "d/sub/high", "d/after"}


def test_a_whiteout_keeps_what_its_own_layer_made(store: ImageStore, tmp_path: Path) -> None:
    root = unpack(store, tmp_path, [file("d/low"), file("e")], [file("d/new"), file(".wh.d"), file("e"), file(".wh.e")])
    assert names(root) == {"d", "d/new", "e"}


def test_devices_and_fifos_are_left_out(store: ImageStore, tmp_path: Path) -> None:
    root = unpack(
        store,
        tmp_path,
        [special("null", tarfile.CHRTYPE), special("sda", tarfile.BLKTYPE), special("f", tarfile.FIFOTYPE)],
    )
    assert names(root) == set()


def test_links_are_followed_within_the_root_only(store: ImageStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = unpack(
        store,
        tmp_path,
        [
            link("abs", str(outside)),
            link("up", "../../../../../../../.."),
            link("deep/link", "../abs"),
            link("lib", "usr/lib"),
        ],
        [
            file("abs/1"),
            file("up/2"),
            file("deep/link/3"),
            file("lib/4"),
            file("up/.wh.nothing"),
            file("up/.wh..wh..opq"),
        ],
    )
    assert list(outside.iterdir()) == []
    inside = root / str(outside).lstrip("/")
    assert {path.name for path in inside.iterdir()} >= {"1", "3"}
    assert (root / "2").is_file()
    assert (root / "usr/lib/4").is_file()


def test_a_file_replaces_a_link_instead_of_writing_through_it(store: ImageStore, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"safe")
    root = unpack(store, tmp_path, [link("a", str(victim))], [file("a", b"evil", 0o777)])
    assert victim.read_bytes() == b"safe"
    assert (root / "a").read_bytes() == b"evil"
    assert not (root / "a").is_symlink()


def test_a_whiteout_removes_a_link_and_not_its_target(store: ImageStore, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").touch()
    unpack(store, tmp_path, [link("a", str(victim))], [file(".wh.a")])
    assert (victim / "file").exists()


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        ([file("../a")], "leads out"),
        ([file("a/../../b")], "leads out"),
        ([link("h", "/etc/passwd", tarfile.LNKTYPE)], "no file of the image"),
        ([link("h", "../../etc/passwd", tarfile.LNKTYPE)], "leads out"),
        ([link("l", "/etc/passwd"), link("h", "l", tarfile.LNKTYPE)], "no file of the image"),
        ([link("a", "b"), link("b", "a"), file("a/x")], "loop"),
        ([file("a"), file("a/b")], "as a directory"),
        ([file(".wh...")], "without a usable name"),
        ([file("mnt")], "other than a directory at /mnt"),
        ([link("mnt", "/tmp")], "other than a directory at /mnt"),  # noqa: S108
        ([link("tmp", "/")], "other than a directory at /tmp"),
        ([file("a", bytes(1 << 20))], "more than the 1048576 bytes"),
        ([file(str(number)) for number in range(101)], "more than 100 files"),
        ([file("a" * 300)], "can't be unpacked"),
        ([file("d/" * 300 + "a")], "256 deep"),
        ([directory("d/" * 200), link("l", "d/" * 200), directory("l/" + "d/" * 200)], "256 deep"),
    ],
)
def test_hostile_layers(store: ImageStore, tmp_path: Path, layer: list[Entry], word: str) -> None:
    with pytest.raises(ImageError, match=word):
        unpack(store, tmp_path, layer)
    assert {path.suffix for path in (tmp_path / "images").iterdir()} == {".lock"}


def test_an_impossible_owner(store: ImageStore, tmp_path: Path) -> None:
    info, content = file("a")
    info.uid = 1 << 40
    with pytest.raises(ImageError, match="owner"):
        unpack(store, tmp_path, [(info, content)])


def test_the_working_directory_is_made(store: ImageStore, tmp_path: Path) -> None:
    root = unpack(store, tmp_path, [link("w", "real")], WorkingDir="/w/x")
    assert (root / "real/x").is_dir()


def test_concurrent_callers_share_one_unpacking(tmp_path: Path) -> None:
    layer = tar([file(str(number), b"x") for number in range(50)])
    sha256 = docker_archive(tmp_path / "image.tar", [layer], image_config([layer], {}))
    found: list[Path] = []

    def get() -> None:
        # Stores of their own: as in several processes, only the file lock stands between them.
        with ImageStore(tmp_path / "images").use(tmp_path / "image.tar", sha256) as image:
            found.append(image.rootfs)

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [sha256, f"{sha256}.lock"]


def test_an_unpacked_image_needs_its_archive_no_more(store: ImageStore, tmp_path: Path) -> None:
    layer = tar([file("a")])
    sha256 = docker_archive(tmp_path / "image.tar", [layer], image_config([layer], {"Cmd": ["/a"]}))
    with store.use(tmp_path / "image.tar", sha256) as first:
        (tmp_path / "image.tar").unlink()
    with store.use(tmp_path / "image.tar", sha256) as second:
        assert second == first


def test_what_a_crash_left_is_removed(store: ImageStore, tmp_path: Path) -> None:
    layer = tar([file("a")])
    sha256 = docker_archive(tmp_path / "image.tar", [layer], image_config([layer], {}))
    stale = tmp_path / "images" / f".{sha256}-stale"
    (stale / "rootfs").mkdir(parents=True)
    with store.use(tmp_path / "image.tar", sha256):
        assert not stale.exists()


def two_and_a_half_images(tmp_path: Path) -> tuple[ImageStore, dict[str, str]]:
    """A store with room for so many of the four images, and the hashes of these by their names."""
    hashes = {}
    for name in "abcd":
        layer = tar([file(name, bytes(100))])
        hashes[name] = docker_archive(tmp_path / f"{name}.tar", [layer], image_config([layer], {}))
    return ImageStore(tmp_path / "images", max_bytes=5 * (100 + 4096) // 2), hashes


def test_images_that_nobody_uses_make_room_the_oldest_first(tmp_path: Path) -> None:
    store, kept = two_and_a_half_images(tmp_path)

    def there() -> str:
        return "".join(name for name in kept if (tmp_path / "images" / kept[name]).is_dir())

    with store.use(tmp_path / "a.tar", kept["a"]) as used:
        for age, name in enumerate("bc"):
            with store.use(tmp_path / f"{name}.tar", kept[name]) as image:
                os.utime(image.rootfs.parent, (age + 1, age + 1))
        os.utime(used.rootfs.parent, (0, 0))
        assert there() == "ac"
        with store.use(tmp_path / "d.tar", kept["d"]):
            assert there() == "ad"
    with store.use(tmp_path / "b.tar", kept["b"]):
        assert there() == "bd"


def test_images_that_are_to_be_kept_make_no_room(tmp_path: Path) -> None:
    store, hashes = two_and_a_half_images(tmp_path)
    store.keep({hashes["a"]})
    for age, name in enumerate("abcd"):
        with store.use(tmp_path / f"{name}.tar", hashes[name]) as image:
            os.utime(image.rootfs.parent, (age, age))
    assert [name for name in "abcd" if (tmp_path / "images" / hashes[name]).is_dir()] == ["a", "d"]


def test_an_image_larger_than_the_operators_budget_is_this_machines_fault(tmp_path: Path) -> None:
    layer = tar([file("a", bytes(1 << 16))])
    sha256 = docker_archive(tmp_path / "image.tar", [layer], image_config([layer], {}))
    store = ImageStore(tmp_path / "images", max_bytes=1 << 15)
    with (
        pytest.raises(OSError, match=r"32768 bytes allowed: raise runner\.image_bytes"),
        store.use(tmp_path / "image.tar", sha256),
    ):
        pass


def test_a_full_disk_is_not_the_images_fault(tmp_path: Path) -> None:
    if not can_mount():
        pytest.skip("only root may mount a small disk")
    layer = tar([file("a", bytes(1 << 20))])
    sha256 = docker_archive(tmp_path / "image.tar", [layer], image_config([layer], {}))
    disk = tmp_path / "disk"
    disk.mkdir()
    mount_tmpfs(disk, size=1 << 18, inodes=100, uid=0)
    try:
        with pytest.raises(OSError, match="no room to unpack"), ImageStore(disk).use(tmp_path / "image.tar", sha256):
            pass
    finally:
        unmount(disk)


def test_a_layer_that_is_larger_than_any_image_may_be_is_not_even_read(tmp_path: Path) -> None:
    """10 GiB of nothing: reading and hashing it would take the prover's time from others."""
    sha256 = huge_archive(tmp_path / "image.tar", 10 << 30, {})
    store = ImageStore(tmp_path / "images", max_bytes=1 << 30)
    with pytest.raises(OSError, match="bytes allowed"), store.use(tmp_path / "image.tar", sha256):
        pass
