"""What can go wrong before a program reaches the chain."""

from __future__ import annotations


class ProgramError(Exception):
    """A program can't be read or built; the message is one sentence for the author."""


class ManifestError(ProgramError):
    """program.yaml breaks a rule; the message starts with file, line and key."""


class BuildError(ProgramError):
    """A tool is missing, a step failed, or a step left out a file that the manifest names."""
