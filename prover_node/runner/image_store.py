"""Root file systems on disk: each image is unpacked once, and kept while there is room."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prover_node.runner.images import Archive, ImageConfig, ImageTooLarge, UnpackLimits, parse_config
from prover_node.runner.rootfs import unpack_layers

IMAGE_BYTES = 64 << 30
"""How much room images take at most, unless the operator says otherwise."""


@dataclass(frozen=True)
class UnpackedImage:
    """An image's config and the directory with its files, never written to again."""

    config: ImageConfig
    rootfs: Path


class ImageStore:
    """Unpacked images below ``root``, by the sha256 of their archives.

    Several processes may share one: an image appears complete or not at all, and isn't removed while
    it is used. When they take more than ``max_bytes`` together, those not used for longest go; those
    that are to be kept never do.
    """

    def __init__(self, root: Path, limits: UnpackLimits | None = None, *, max_bytes: int = IMAGE_BYTES) -> None:
        self._root = root
        self._limits = limits or UnpackLimits()
        self._max_bytes = max_bytes
        self._kept: frozenset[str] = frozenset()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def keep(self, sha256s: Collection[str]) -> None:
        """Never remove these images; replaces what was named before."""
        self._kept = frozenset(sha256s)

    @contextmanager
    def use(self, archive: Path, sha256: str) -> Iterator[UnpackedImage]:
        """The unpacked image, for as long as the block lasts.

        Blocks while ``archive`` is unpacked, if it isn't yet. Raises :class:`ImageError`, and :class:`OSError`
        where this machine can't hold it.
        """
        home = self._root / sha256
        with self._lock(sha256) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            while not home.is_dir():
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not home.is_dir():
                    self._unpack(archive, home)
                    self._make_room()
                # Not atomic: another process may remove the image in between.
                fcntl.flock(lock, fcntl.LOCK_SH)
            os.utime(home)
            yield UnpackedImage(parse_config((home / "config.json").read_bytes()), home / "rootfs")

    def _unpack(self, archive: Path, home: Path) -> None:
        prefix = f".{home.name}-"
        for stale in self._root.glob(f"{prefix}*"):
            shutil.rmtree(stale, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=self._root))
        try:
            rootfs = temporary / "rootfs"
            rootfs.mkdir()
            with Archive(archive) as image:
                size = unpack_layers(image, rootfs, self._limits.within(self._max_bytes))
                (temporary / "config.json").write_bytes(image.raw_config)
            (temporary / "size").write_text(str(size))
            temporary.rename(home)
        except ImageTooLarge as error:
            raise self._limits.too_large(error, self._max_bytes) from error
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            where = f"to unpack the image in {self._root}: free some, or lower runner.image_bytes"
            raise OSError(error.errno, f"the disk has no room {where}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _make_room(self) -> None:
        images = {home: int((home / "size").read_text()) for home in self._root.iterdir() if (home / "size").is_file()}
        total = sum(images.values())
        for home in sorted(images, key=lambda home: home.stat().st_mtime):
            if total <= self._max_bytes:
                return
            if home.name in self._kept:
                continue
            with self._lock(home.name) as lock, contextlib.suppress(BlockingIOError):
                # Whoever uses the image has the lock, the caller included.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(home.rename(self._root / f".{home.name}-removed"), ignore_errors=True)
                total -= images[home]

    @contextmanager
    def _lock(self, sha256: str) -> Iterator[int]:
        descriptor = os.open(self._root / f"{sha256}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
