"""What a manifest's `files` come to in an image, once the build has made them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from client.program.errors import BuildError
from client.program.image import LayerEntry, LayerFile, LayerLink
from client.program.manifest import ImageFile

_DEFAULT_MODE, _EXECUTABLE = 0o644, 0o755


def layer_entries(files: Sequence[ImageFile], work: Path) -> list[LayerEntry]:
    """The files and links of an image, from the build folder `work`. Raises BuildError."""
    entries: dict[str, LayerEntry] = {}
    for file in files:
        for entry in _expand(file, work):
            if entry.target in entries:
                raise BuildError(f"{file.source}: two files of the manifest go to {entry.target}")
            entries[entry.target] = entry
    for target in entries:
        for parent in PurePosixPath(target).parents:
            if str(parent) in entries:
                raise BuildError(f"{target} is in the way of {parent}: one of them can't be in the image")
    return list(entries.values())


def product(work: Path, name: str) -> Path:
    """The file or directory `name` that a build step left in `work`. Raises BuildError."""
    path = (work / name).resolve()
    if not path.is_relative_to(work.resolve()) or not path.exists():
        raise BuildError(f"the manifest names {name}, but no build step left such a file")
    return path


def product_file(work: Path, name: str) -> Path:
    """The same, for what must be a regular file."""
    path = product(work, name)
    if not path.is_file():
        raise BuildError(f"the manifest names {name} as a file, but a build step left something else there")
    return path


def _expand(file: ImageFile, work: Path) -> Iterator[LayerEntry]:
    source = product(work, file.source)
    if source.is_dir():
        if file.mode is not None:
            raise BuildError(f"{file.source} is a directory, whose files keep their own modes: remove its mode")
        yield from _tree(source, file.target)
    else:
        yield LayerFile(product_file(work, file.source), file.target, file.mode or _DEFAULT_MODE)


def _tree(directory: Path, target: str) -> Iterator[LayerEntry]:
    for path in sorted(directory.iterdir()):
        place = f"{target}/{path.name}"
        if path.is_symlink():
            yield LayerLink(place, str(path.readlink()))
        elif path.is_dir():
            yield from _tree(path, place)
        elif path.is_file():
            yield LayerFile(path, place, _EXECUTABLE if path.stat().st_mode & 0o100 else _DEFAULT_MODE)
        else:
            raise BuildError(f"{path.name} in {directory.name} is neither file, directory nor link: leave it out")
