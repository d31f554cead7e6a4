"""What the node publishes about its tasks: which proof it made, and what the prover printed."""

from __future__ import annotations

import heapq
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PROOF = "proof.sha256"
_TEMPORARY = ".new-"
LOG_NAMES = ("stdout", "stderr")


class TaskFiles:
    """A small folder a task below ``root``, and in memory which proof is whose."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        for left in root.glob(f"*/{_TEMPORARY}*"):
            left.unlink()  # a crash cut its writing short
        paths = [path for path in root.glob(f"*/{_PROOF}") if path.parent.name.isdigit()]
        self._proofs = {int(path.parent.name): path.read_text() for path in paths}

    def save_logs(self, task_id: int, stdout: bytes, stderr: bytes) -> None:
        """Keep what the prover container printed."""
        for name, data in zip(LOG_NAMES, (stdout, stderr), strict=True):
            self._write(task_id, name, data)

    def save_proof(self, task_id: int, digest: str) -> None:
        """Note that the blob ``digest`` (hex) is the task's proof."""
        self._write(task_id, _PROOF, digest.encode())
        self._proofs[task_id] = digest

    def proof(self, task_id: int) -> str | None:
        """Digest (hex) of the task's proof, or ``None`` if this node made none."""
        return self._proofs.get(task_id)

    def log(self, task_id: int, name: str) -> Path | None:
        """The file with the prover's ``stdout`` or ``stderr``, or ``None``."""
        path = self._folder(task_id) / name
        return path if name in LOG_NAMES and path.is_file() else None

    def by_task(self) -> Iterator[tuple[int, str]]:
        """Every task's number and the digest of its proof."""
        yield from self._proofs.copy().items()

    def newest(self, count: int, before: int | None = None) -> list[tuple[int, str]]:
        """The last ``count`` tasks with a proof, and its digest; of those below ``before`` if that is a number."""
        tasks = [task_id for task_id in self._proofs.copy() if before is None or task_id < before]
        return [(task_id, self._proofs[task_id]) for task_id in heapq.nlargest(count, tasks)]

    def proofs(self) -> set[str]:
        """Digests of all proofs."""
        return set(self._proofs.copy().values())

    def untouched_since(self, time_s: float) -> list[int]:
        """Tasks to which nothing was added since then (seconds since 1970)."""
        folders = (folder for folder in self._root.iterdir() if folder.name.isdigit())
        return sorted(int(folder.name) for folder in folders if folder.stat().st_mtime < time_s)

    def drop(self, task_id: int) -> str | None:
        """Forget the task; the digest of its proof if no other task has the same."""
        shutil.rmtree(self._folder(task_id))
        digest = self._proofs.pop(task_id, None)
        return digest if digest is not None and digest not in self.proofs() else None

    def _folder(self, task_id: int) -> Path:
        return self._root / str(task_id)

    def _write(self, task_id: int, name: str, data: bytes) -> None:
        folder = self._folder(task_id)
        folder.mkdir(exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            Path(temporary).replace(folder / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
