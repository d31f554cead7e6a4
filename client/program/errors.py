"""What can go wrong before a program reaches the chain."""

from __future__ import annotations

from client.errors import ClientError


class ProgramError(ClientError):
    """A program can't be read or built; the message is one sentence for its author."""


class ManifestError(ProgramError):
    """program.yaml breaks a rule; the message starts with file, line and key."""


class BuildError(ProgramError):
    """A tool is missing, a step failed, or a step left out a file that the manifest names."""
