"""A proof bundle, unpacked on the machine of whoever asked for it. Its maker isn't trusted."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path

from client.errors import ClientError, InvalidInput

_MAX_MEMBERS = 10_000


class ProofError(ClientError):
    """The bundle isn't a proof as the protocol packs it: plain files and folders below one folder."""


def unpack_proof(bundle: Path, target: Path) -> tuple[str, ...]:
    """Unpacks ``bundle`` to ``target``, which must be new or empty; the names of its files, sorted.

    ``target`` appears complete or not at all.
    """
    check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".proof-", dir=target.parent))
    try:
        with tarfile.open(bundle, "r:") as archive:
            members = _checked_members(archive)
            archive.extractall(scratch, members, filter="data")
        scratch.chmod(0o755)
        scratch.rename(target)
    except (tarfile.TarError, OSError, UnicodeError) as error:
        raise ProofError(f"the proof bundle {bundle} can't be unpacked: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return tuple(sorted(member.name for member in members if member.isreg()))


def check_target(target: Path) -> None:
    """:class:`InvalidInput` unless ``target`` is new or an empty folder."""
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise InvalidInput(f"{target} exists and is not an empty folder: choose another one")


def _checked_members(archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    members = []
    for member in archive:
        # Sparse files would unpack to more bytes than the bundle has.
        if member.type not in (tarfile.REGTYPE, tarfile.DIRTYPE) or member.issparse():
            raise ProofError(f"the proof bundle has {member.name!r}, which is neither a plain file nor a folder")
        members.append(member)
        if len(members) > _MAX_MEMBERS:
            raise ProofError(f"the proof bundle has more than {_MAX_MEMBERS} files")
    return members
