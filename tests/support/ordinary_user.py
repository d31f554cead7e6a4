"""Runs part of a test without root's rights, as any operator's machine would."""

from __future__ import annotations

import asyncio
import importlib
import os
import traceback
from collections.abc import Callable, Coroutine

USER = 54321
"""A user and group id that nobody has."""


def as_ordinary_user(work: Callable[[], Coroutine[None, None, None]], *, groups: tuple[int, ...] = ()) -> None:
    """Run ``work`` in a child that has given up root, if we have it, and keeps only ``groups``.

    A child and not a new interpreter, because the user might not be able to reach ours.
    """
    if os.geteuid() != 0:
        asyncio.run(work())
        return
    # Loaded at its first use, which would be too late where only root can read the interpreter's files.
    importlib.import_module("concurrent.futures.thread")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups(groups)
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
            asyncio.run(work())
            status = 0
        except BaseException:  # noqa: BLE001 - reported here, or nowhere
            traceback.print_exc()
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended) == 0
