"""The images that one node has had its engine load: each once, and kept while there is room."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from prover_node.runner.engine import Engine, EngineError
from prover_node.runner.engine_image import EngineImage, docker_archive, engine_image
from prover_node.runner.images import Archive, ImageConfig, ImageError, ImageTooLarge, UnpackLimits
from prover_node.runner.rootfs import check_layers


@dataclass(frozen=True)
class Loaded:
    """An image that the engine has, and the id that it gave it."""

    config: ImageConfig
    image: EngineImage
    id: str


class EngineImages:
    """Images by the sha256 of their archives, under tags of this node's own.

    When they take more than ``max_bytes`` together, those not used for longest go, but none that is
    held or to be kept. ``root`` remembers when each was used. Every call blocks, from any thread.
    """

    def __init__(self, engine: Engine, node_id: str, root: Path, max_bytes: int) -> None:
        self._engine = engine
        self._repository = f"proofmill-program-{node_id}"
        self._root = root
        self._max_bytes = max_bytes
        self._limits = UnpackLimits()
        self._known: dict[str, Loaded] = {}
        self._held: Counter[str] = Counter()
        self._kept: frozenset[str] = frozenset()
        self._making_room = threading.Lock()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def keep(self, sha256s: Collection[str]) -> None:
        """Never remove these images; replaces what was named before."""
        self._kept = frozenset(sha256s)

    def hold(self, sha256: str) -> None:
        """Don't remove the image until it is released, as many times as it was held."""
        self._held[sha256] += 1

    def release(self, sha256: str) -> None:
        """See :meth:`hold`."""
        self._held[sha256] -= 1

    def load(self, path: Path, sha256: str) -> Loaded:
        """The image of the archive at ``path``, loaded if it isn't yet; one caller at a time for each image.

        Raises :class:`ImageError`, :class:`EngineError`, and :class:`OSError` where this machine can't hold it.
        """
        (self._root / sha256).touch()
        known = self._known.get(sha256)
        if known is not None and self._engine.find_image(known.image) == known.id:
            return known
        with Archive(path) as archive:
            image = engine_image(archive.config.diff_ids, f"{self._repository}:{sha256}")
            found = self._engine.find_image(image)
            if found is None:
                self._load(archive, image)
                found = self._engine.find_image(image)
            if found is None:
                raise EngineError("it doesn't show the image that it was given")
            # Another node's image may be this one; under a name of our own it isn't theirs to remove.
            self._engine.tag_image(found, self._repository, sha256)
            self._make_room(sha256)
            self._known[sha256] = Loaded(archive.config, image, found)
            return self._known[sha256]

    def _load(self, archive: Archive, image: EngineImage) -> None:
        try:
            # The engine unpacks without bounds.
            check_layers(archive, self._limits.within(self._max_bytes))
        except ImageTooLarge as error:
            raise self._limits.too_large(error, self._max_bytes) from error
        refusal = self._engine.load_image(docker_archive(archive, image))
        if refusal is None:
            return
        if "no space left on device" in refusal:
            raise EngineError(f"its disk has no room for the image: free some, or lower runner.image_bytes ({refusal})")
        raise ImageError(f"the container engine can't load the image: {refusal}")

    def _make_room(self, wanted: str) -> None:
        with self._making_room:
            images = self._engine.tagged_images(self._repository)
            total = sum(images.values())
            for sha256 in sorted(images, key=self._used_at):
                if total <= self._max_bytes:
                    return
                if sha256 == wanted or sha256 in self._kept or self._held[sha256] > 0:
                    continue
                if self._engine.remove_image(f"{self._repository}:{sha256}"):
                    total -= images[sha256]
                    with contextlib.suppress(FileNotFoundError):
                        (self._root / sha256).unlink()

    def _used_at(self, sha256: str) -> float:
        try:
            return (self._root / sha256).stat().st_mtime
        except FileNotFoundError:
            return 0.0
