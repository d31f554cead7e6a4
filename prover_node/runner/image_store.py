"""Root file systems on disk: each image is unpacked once, whoever asks and however often."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prover_node.runner.images import Archive, ImageConfig, ImageError, UnpackLimits, parse_config
from prover_node.runner.rootfs import unpack_layers


@dataclass(frozen=True)
class UnpackedImage:
    """An image's config and the directory with its files, never written to again."""

    config: ImageConfig
    rootfs: Path


class ImageStore:
    """Unpacked images below ``root``, by the sha256 of their archives.

    Several processes may share one; an image appears complete or not at all.
    """

    def __init__(self, root: Path, limits: UnpackLimits | None = None) -> None:
        self._root = root
        self._limits = limits or UnpackLimits()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def get(self, archive: Path, sha256: str) -> UnpackedImage:
        """The unpacked image, unpacking ``archive`` if this is the first time.

        Blocks for as long as that takes. Raises :class:`ImageError`.
        """
        home = self._root / sha256
        if not home.is_dir():
            with self._locked(sha256):
                if not home.is_dir():
                    self._unpack(archive, home)
        return UnpackedImage(parse_config((home / "config.json").read_bytes()), home / "rootfs")

    def _unpack(self, archive: Path, home: Path) -> None:
        prefix = f".{home.name}-"
        for stale in self._root.glob(f"{prefix}*"):
            shutil.rmtree(stale, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=self._root))
        try:
            rootfs = temporary / "rootfs"
            rootfs.mkdir()
            with Archive(archive) as image:
                unpack_layers(image, rootfs, self._limits)
                (temporary / "config.json").write_bytes(image.raw_config)
            temporary.rename(home)
        except OSError as error:
            raise ImageError(f"the image can't be stored in {self._root}: {error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @contextmanager
    def _locked(self, sha256: str) -> Iterator[None]:
        descriptor = os.open(self._root / f"{sha256}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
