"""Keeps the files of programs that come often, though others were used since: a full store drops what is oldest."""

from __future__ import annotations

from collections import Counter, deque

from prover_node.duties import ContainerSpec, FileKind
from prover_node.storage import BlobStore

_REMEMBERED_RUNS = 256
_OFTEN = 3

_LASTING = (FileKind.IMAGE, FileKind.ASSET)


class Favourites:
    """Holds in ``store`` what the most frequent of the last containers used, up to ``budget_bytes``."""

    def __init__(self, store: BlobStore, budget_bytes: int) -> None:
        self._store = store
        self._budget_bytes = budget_bytes
        self._last: deque[str] = deque(maxlen=_REMEMBERED_RUNS)
        self._files: dict[str, dict[str, int]] = {}
        self._held: tuple[str, ...] = ()

    def used(self, spec: ContainerSpec) -> None:
        """A container of this program runs."""
        self._last.append(spec.image.key)
        self._files[spec.image.key] = {ref.key: ref.size for ref in spec.all_files if ref.kind in _LASTING}
        counts = Counter(self._last)
        self._files = {image: self._files[image] for image in counts}
        wanted: dict[str, int] = {}
        for image, count in counts.most_common():
            files = wanted | self._files[image]
            if count >= _OFTEN and sum(files.values()) <= self._budget_bytes:
                wanted = files
        held = tuple(wanted)
        # Held before the others are released, so that nothing is free in between.
        self._store.hold(held)
        self._store.release(self._held)
        self._held = held

    @property
    def files(self) -> tuple[str, ...]:
        """Names in the store of what is kept."""
        return self._held
