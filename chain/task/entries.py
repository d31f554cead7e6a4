"""Batch messages: each entry stands for itself (protocol §6, last paragraph)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.task.v1.event_pb2 import EventEntryRejected
from proofmill.task.v1.tx_pb2 import EntryResult

from chain.errors import INVALID_REQUEST, TxError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from chain.context import Context
    from chain.errors import ErrorCode

    E = TypeVar("E")

ENTRIES_MAX = 1_000


def check_entry_count(count: int, code: ErrorCode = INVALID_REQUEST) -> None:
    if not 1 <= count <= ENTRIES_MAX:
        raise code.error(f"the message has {count} entries: send 1 to {ENTRIES_MAX}")


def apply_entries(
    context: Context,
    entries: Sequence[E],
    task_id_of: Callable[[E], int],
    apply: Callable[[Context, E], None],
) -> list[EntryResult]:
    """Apply each entry in a layer of its own: a TxError drops that entry's writes only and becomes its result."""
    results = []
    for entry in entries:
        task_id = task_id_of(entry)
        layer = context.nested()
        try:
            apply(layer, entry)
        except TxError as error:
            results.append(EntryResult(task_id=task_id, code=error.code, codespace=error.codespace, log=error.message))
            context.emit(
                EventEntryRejected(task_id=task_id, codespace=error.codespace, code=error.code, log=error.message)
            )
        else:
            layer.merge(context)
            results.append(EntryResult(task_id=task_id))
    return results
