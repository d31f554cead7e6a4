"""What `mill` exits with, and the one sentence that it prints before."""

from __future__ import annotations

import click

from client.errors import ClientError, NodeUnreachable, TxRejected

SUCCESS = 0
FAILURE = 1
USAGE = 2
UNREACHABLE = 3
REJECTED = 4
NO_PROOF = 5
INTERRUPTED = 130

EXIT_CODES_HELP = (
    "Exit codes: 0 done; 1 failure; 2 wrong usage; 3 node unreachable; 4 transaction rejected by the chain; "
    "5 the task ended without a valid proof; 130 interrupted."
)


class TaskWithoutProof(ClientError):
    """A task that was waited for ended in another way than with a valid proof."""


def explain(error: BaseException) -> tuple[int, str] | None:
    """Exit code and sentence for an error that a user can meet; None for a bug of ours."""
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return INTERRUPTED, "interrupted"
    if isinstance(error, click.UsageError):
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        return USAGE, _one_line(error) + hint
    if isinstance(error, click.ClickException):
        return error.exit_code, error.format_message()
    if isinstance(error, NodeUnreachable):
        return UNREACHABLE, str(error)
    if isinstance(error, TxRejected):
        return REJECTED, str(error)
    if isinstance(error, TaskWithoutProof):
        return NO_PROOF, str(error)
    if isinstance(error, ClientError):
        return FAILURE, str(error)
    if isinstance(error, OSError):
        return FAILURE, f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return None


def _one_line(error: click.UsageError) -> str:
    """Its message; click lists what can be chosen from on lines of their own."""
    return " ".join(error.format_message().split())
