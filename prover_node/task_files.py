"""What the node publishes about its tasks: which proof it made, and what the prover printed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PROOF = "proof.sha256"
LOG_NAMES = ("stdout", "stderr")


class TaskFiles:
    """A small folder a task below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def save_logs(self, task_id: int, stdout: bytes, stderr: bytes) -> None:
        """Keep what the prover container printed."""
        for name, data in zip(LOG_NAMES, (stdout, stderr), strict=True):
            self._write(task_id, name, data)

    def save_proof(self, task_id: int, digest: str) -> None:
        """Note that the blob ``digest`` (hex) is the task's proof."""
        self._write(task_id, _PROOF, digest.encode())

    def proof(self, task_id: int) -> str | None:
        """Digest (hex) of the task's proof, or ``None`` if this node made none."""
        try:
            return (self._folder(task_id) / _PROOF).read_text()
        except FileNotFoundError:
            return None

    def log(self, task_id: int, name: str) -> Path | None:
        """The file with the prover's ``stdout`` or ``stderr``, or ``None``."""
        path = self._folder(task_id) / name
        return path if name in LOG_NAMES and path.is_file() else None

    def by_task(self) -> Iterator[tuple[int, str]]:
        """Every task's number and the digest of its proof."""
        for path in self._root.glob(f"*/{_PROOF}"):
            if path.parent.name.isdigit():
                yield int(path.parent.name), path.read_text()

    def proofs(self) -> Iterator[str]:
        """Digests of all proofs."""
        for path in self._root.glob(f"*/{_PROOF}"):
            yield path.read_text()

    def prune(self, older_than: float) -> list[str]:
        """Drop tasks untouched since ``older_than`` (seconds since 1970); returns the proofs that no task names now."""
        dropped = set()
        for folder in self._root.iterdir():
            if folder.stat().st_mtime < older_than:
                proof = folder / _PROOF
                if proof.is_file():
                    dropped.add(proof.read_text())
                shutil.rmtree(folder)
        return sorted(dropped - set(self.proofs()))

    def _folder(self, task_id: int) -> Path:
        return self._root / str(task_id)

    def _write(self, task_id: int, name: str, data: bytes) -> None:
        folder = self._folder(task_id)
        folder.mkdir(exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=folder)
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        Path(temporary).replace(folder / name)
