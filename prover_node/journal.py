"""The journal: results that must survive the daemon's death, one JSON object a line.

Each entry is on disk (fsync) before ``append`` returns. A crash can only tear the last line, which is
then dropped: its entry was never acted upon. When most of the file is history it is rewritten in one step.
The disk keeps room for the next entries, so that what was finished is written down even when the disk is full.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

from client.errors import ClientError
from prover_node.disk import is_full, set_aside, sync_directory, write_whole
from prover_node.duties import FailureReason, ProofRecord, Usage, Verdict
from prover_node.journal_entries import AssignmentEnded, JournalEntry, ProofMade, VerdictReached, VoteEnded, WorkFailed

_COMPACT_AT_LINES = 1024
_SET_ASIDE_BYTES = 1 << 20

_Key = tuple[str, int, int]


class JournalError(ClientError):
    """The journal can't be read or written; the message says where and what to do."""


class JournalFull(JournalError):
    """The disk is full; nothing was written, and it can be tried again."""


class Journal:
    """An open journal. Only one process may have it open: the daemon locks its home."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._live: dict[_Key, JournalEntry] = {}
        self._lines = 0
        self._compact_at = _COMPACT_AT_LINES
        self.is_new = not path.exists()
        """There was none before: perhaps it was lost."""
        data = self._read()
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self._apply(_decode(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise JournalError(
                    f"line {number} of {path} is damaged ({error}): move the file away and start again; "
                    "the node then asks the chain what it owes and does that work anew"
                ) from None
            self._lines += 1
        self._file = self._open()
        self._size = len(whole)
        if len(whole) != len(data):
            self._file.truncate(self._size)
            os.fsync(self._file.fileno())
        self._room = 0
        self._set_aside()

    def entries(self) -> tuple[JournalEntry, ...]:
        """What still counts, oldest first."""
        return tuple(self._live.values())

    def append(self, entry: JournalEntry) -> None:
        """Write ``entry`` durably; raises JournalFull if the disk has no room, JournalError if it refuses otherwise."""
        line = _line(entry)
        try:
            write_whole(self._file, line)
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(self._size)
            self._room = 0
            kind = JournalFull if is_full(error) else JournalError
            raise kind(f"{self._path} can't be written: {error}") from error
        self._size += len(line)
        self._room -= len(line)
        if self._room < _SET_ASIDE_BYTES // 2:
            self._set_aside()
        self._lines += 1
        self._apply(entry)
        if self._lines >= self._compact_at and self._lines > 2 * len(self._live):
            self._compact()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise JournalError(f"{self._path} can't be read: {error}") from error

    def _open(self) -> FileIO:
        try:
            file = self._path.open("ab", buffering=0)
            sync_directory(self._path.parent)
        except OSError as error:
            raise JournalError(f"{self._path} can't be opened for writing: {error}") from error
        return file

    def _apply(self, entry: JournalEntry) -> None:
        key = _key(entry)
        if isinstance(entry, AssignmentEnded | VoteEnded):
            self._live.pop(key, None)
            return
        known = self._live.get(key)
        if isinstance(entry, VerdictReached) and isinstance(known, VerdictReached) and known.verdict != entry.verdict:
            raise ValueError(f"two different verdicts on task {entry.task_id}, round {entry.round}")
        self._live[key] = entry

    def _set_aside(self) -> None:
        if set_aside(self._file.fileno(), _SET_ASIDE_BYTES):
            self._room = _SET_ASIDE_BYTES

    def _compact(self) -> None:
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            with temporary.open("wb") as out:
                out.writelines(_line(entry) for entry in self._live.values())
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if is_full(error):
                self._compact_at = self._lines + _COMPACT_AT_LINES
                return
            raise JournalError(f"{self._path} can't be rewritten: {error}") from error
        self._file.close()
        self._file = self._open()
        self._size = os.fstat(self._file.fileno()).st_size
        self._set_aside()
        self._lines = len(self._live)
        self._compact_at = _COMPACT_AT_LINES


def _key(entry: JournalEntry) -> _Key:
    if isinstance(entry, VerdictReached | VoteEnded):
        return ("vote", entry.task_id, entry.round)
    return ("task", entry.task_id, 0)


def _line(entry: JournalEntry) -> bytes:
    return json.dumps(_encode(entry), separators=(",", ":")).encode() + b"\n"


def _encode(entry: JournalEntry) -> dict[str, object]:
    match entry:
        case ProofMade(task_id, proof):
            usage = proof.usage
            measured = [usage.wall_ms, usage.cpu_ms, usage.peak_memory_bytes]
            return {"entry": "proof", "task": task_id, "sha256": proof.sha256, "size": proof.size, "usage": measured}
        case WorkFailed(task_id, reason, detail):
            return {"entry": "failed", "task": task_id, "reason": reason.name, "detail": detail}
        case VerdictReached(task_id, round_, verdict, detail):
            return {"entry": "verdict", "task": task_id, "round": round_, "verdict": verdict.name, "detail": detail}
        case AssignmentEnded(task_id):
            return {"entry": "task ended", "task": task_id}
        case VoteEnded(task_id, round_):
            return {"entry": "vote ended", "task": task_id, "round": round_}


_DECODERS: dict[str, Callable[[dict[str, Any]], JournalEntry]] = {
    "proof": lambda f: ProofMade(int(f["task"]), ProofRecord(str(f["sha256"]), int(f["size"]), Usage(*f["usage"]))),
    "failed": lambda f: WorkFailed(int(f["task"]), FailureReason[f["reason"]], str(f["detail"])),
    "verdict": lambda f: VerdictReached(int(f["task"]), int(f["round"]), Verdict[f["verdict"]], str(f["detail"])),
    "task ended": lambda f: AssignmentEnded(int(f["task"])),
    "vote ended": lambda f: VoteEnded(int(f["task"]), int(f["round"])),
}


def _decode(fields: dict[str, Any]) -> JournalEntry:
    return _DECODERS[fields["entry"]](fields)
