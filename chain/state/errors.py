"""The one error of the state layer."""

from __future__ import annotations


class StateError(Exception):
    """State is missing, malformed or used against its schema: a bug or a broken database, never a user's mistake."""
