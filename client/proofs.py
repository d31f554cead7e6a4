"""A proof bundle, unpacked on the machine of whoever asked for it. Its maker isn't trusted."""

from __future__ import annotations

from pathlib import Path

from client.bundle import BundleError, unpack
from client.errors import ClientError, InvalidInput
from client.proof_limits import PROOF_BYTES_MAX, PROOF_FILES_MAX


class ProofError(ClientError):
    """The bundle isn't a proof as the protocol packs it: plain files and folders below one folder."""


def unpack_proof(bundle: Path, target: Path) -> tuple[str, ...]:
    """Unpacks ``bundle`` to ``target``, which must be new or empty; the names of its files, sorted.

    ``target`` appears complete or not at all.
    """
    check_target(target)
    try:
        unpack(bundle, target, max_bytes=PROOF_BYTES_MAX, max_files=PROOF_FILES_MAX)
    except BundleError as error:
        raise ProofError(f"this is not a proof as provers pack it: {error}") from error
    return tuple(sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()))


def check_target(target: Path) -> None:
    """:class:`InvalidInput` unless ``target`` is new or an empty folder."""
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise InvalidInput(f"{target} exists and is not an empty folder: choose another one")
