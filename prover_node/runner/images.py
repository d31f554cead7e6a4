"""Image archives: what an OCI-layout or docker-archive tar holds, read without trusting it.

Sources: OCI image-spec (image layout, manifest, config, layer), and the ``manifest.json`` that
``docker save`` writes. Both runners take an image from here, so they agree on what is in it.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import platform
import posixpath
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MAX_JSON = 4 << 20
"""Bytes of the largest manifest, index or config that is read."""
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_MAX_MEMBERS = 10_000
_MAX_LAYERS = 128
_MAX_EXTENDED_HEADER = 1 << 20
_MAX_NESTED_INDEXES = 3
_CHUNK = 1 << 20
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_EXTENDED_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
MALFORMED = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError)
"""What reading a broken or hostile archive with the standard library can raise."""
_MACHINE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES}
)


class ImageError(Exception):
    """The image can't be used; the message says why."""


class ImageTooLarge(ImageError):
    """It unpacks to more than it may."""


def raise_if_machines(error: BaseException) -> None:
    """Raise ``error`` again if it is this machine's fault, such as a full disk, and no image's."""
    if isinstance(error, OSError) and error.errno in _MACHINE_ERRORS:
        raise error


@dataclass(frozen=True)
class UnpackLimits:
    """How large an image may be once unpacked: bytes of all layers, and entries in them."""

    max_bytes: int = 64 << 30
    max_entries: int = 1_000_000

    def within(self, budget: int) -> UnpackLimits:
        """These limits on a machine that has ``budget`` bytes for images."""
        return replace(self, max_bytes=min(self.max_bytes, budget))

    def too_large(self, error: ImageTooLarge, budget: int) -> Exception:
        """What an image that was refused ``within`` the budget is to blame for, or the machine."""
        if budget >= self.max_bytes:
            return error
        return OSError(errno.ENOSPC, f"{error}: raise runner.image_bytes to run it on this node")


@dataclass(frozen=True)
class ImageConfig:
    """The parts of an OCI image config that a runner needs.

    ``digest`` is the config's sha256 (hex): the id by which a Docker engine knows the image.
    ``user`` is left out on purpose: the container contract fixes it.
    """

    digest: str
    diff_ids: tuple[str, ...]
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    working_dir: str

    def argv(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """``command`` if given, else the image's entry point and cmd."""
        argv = command or self.entrypoint + self.cmd
        if not argv:
            raise ImageError("the image names no entry point and the program names no command")
        return argv

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """The image's environment, with a PATH and a writable HOME if it sets none, overridden by ``extra``."""
        return {"PATH": DEFAULT_PATH, "HOME": "/tmp"} | dict(self.env) | dict(extra)  # noqa: S108 - the container's own


@dataclass(frozen=True)
class Blob:
    """A part of an image: its sha256 (hex) and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """``blobs`` are the config and then the layers from the lowest to the highest, each distinct blob once."""

    media_type: str
    blobs: tuple[Blob, ...]


class BoundedTarInfo(tarfile.TarInfo):
    """Refuses extended headers so large that reading them would exhaust our memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """See :meth:`tarfile.TarInfo.frombuf`."""
        info = super().frombuf(buf, encoding, errors)
        if info.type in _EXTENDED_HEADERS and info.size > _MAX_EXTENDED_HEADER:
            raise ImageError("the archive has an extended header of more than 1 MiB")
        return info


class Archive:
    """An open image archive: its config, and its layers from the lowest to the highest."""

    def __init__(self, path: Path) -> None:
        try:
            self._tar = tarfile.open(path, "r:", tarinfo=BoundedTarInfo)  # noqa: SIM115 - closed by close()
        except MALFORMED as error:
            raise_if_machines(error)
            raise ImageError(f"the image is not an uncompressed tar archive: {error}") from error
        try:
            self._members = self._index()
            self.raw_config, self._layers = self._read_manifest()
            self.config = parse_config(self.raw_config, layers=len(self._layers))
        except MALFORMED as error:
            self.close()
            raise ImageError(f"the image archive is malformed: {error}") from error
        except ImageError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the archive file."""
        self._tar.close()

    def stored_layers(self) -> Iterator[tuple[int, IO[bytes]]]:
        """Each layer as it is stored (perhaps compressed): its size and its bytes."""
        for layer in self._layers:
            yield layer.size, self._open(layer)

    @contextmanager
    def layer(self, index: int, max_bytes: int) -> Iterator[LayerReader]:
        """Layer ``index`` decompressed, bounded, and compared with its diff id at the end."""
        if self._layers[index].size > max_bytes:
            # A layer is hardly ever larger packed than unpacked, and reading it could take minutes.
            raise ImageTooLarge(f"the image has more than the {max_bytes} bytes allowed")
        with self._open(self._layers[index]) as stored:
            magic = stored.read(4)
            stored.seek(0)
            if magic == b"\x28\xb5\x2f\xfd":
                raise ImageError("a layer is compressed with zstd; only gzip or no compression is understood")
            plain = cast(IO[bytes], gzip.GzipFile(fileobj=stored)) if magic[:2] == b"\x1f\x8b" else stored
            reader = LayerReader(plain, max_bytes)
            yield reader
            if reader.finish() != self.config.diff_ids[index]:
                raise ImageError(f"layer {index}'s contents differ from the diff id in the image config")

    def _index(self) -> dict[str, tarfile.TarInfo]:
        members: dict[str, tarfile.TarInfo] = {}
        for info in self._tar:
            if len(members) >= _MAX_MEMBERS:
                raise ImageError(f"the archive holds more than {_MAX_MEMBERS} members")
            if info.issparse():
                raise ImageError("the archive holds a sparse member")
            members[posixpath.normpath(info.name)] = info
        return members

    def _member(self, name: str) -> tarfile.TarInfo:
        name = posixpath.normpath(name)
        info = self._members.get(name)
        if info is not None and info.issym():
            # "docker save" once stored repeated layers as links to the first.
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), info.linkname))
            info = self._members.get(target)
        if info is None or not info.isreg():
            raise ImageError(f"the archive lacks {name!r}")
        return info

    def _open(self, info: tarfile.TarInfo) -> IO[bytes]:
        stored = self._tar.extractfile(info)
        if stored is None:
            raise ImageError(f"the archive's {info.name!r} is not a file")
        return stored

    def _read(self, name: str) -> bytes:
        info = self._member(name)
        if info.size > MAX_JSON:
            raise ImageError(f"the archive's {name!r} is larger than {MAX_JSON} bytes")
        with self._open(info) as stored:
            return stored.read()

    def _read_manifest(self) -> tuple[bytes, list[tarfile.TarInfo]]:
        if "manifest.json" in self._members:
            config, names = self._docker_manifest()
        elif "index.json" in self._members:
            config, names = self._oci_manifest()
        else:
            raise ImageError("the archive has neither a manifest.json (docker-archive) nor an index.json (OCI layout)")
        if len(names) > _MAX_LAYERS:
            raise ImageError(f"the image has more than {_MAX_LAYERS} layers")
        return config, [self._member(name) for name in names]

    def _docker_manifest(self) -> tuple[bytes, list[str]]:
        images = _list(_parse(self._read("manifest.json"), "manifest.json"), "manifest.json")
        if len(images) != 1:
            raise ImageError(f"the archive holds {len(images)} images instead of one")
        image = _object(images[0], "manifest.json")
        return self._read(_string(image, "Config")), _strings(image, "Layers")

    def _oci_manifest(self) -> tuple[bytes, list[str]]:
        document = _object(_parse(self._read("index.json"), "index.json"), "index.json")
        for _ in range(_MAX_NESTED_INDEXES):
            if "manifests" not in document:
                break
            document = _object(_parse(self._blob(_pick(document)), "manifest"), "manifest")
        config = self._blob(_object(document.get("config"), "the manifest's config"))
        layers = [
            _blob_name(_object(layer, "a layer")) for layer in _list(document.get("layers"), "the manifest's layers")
        ]
        return config, layers

    def _blob(self, descriptor: dict[str, object]) -> bytes:
        name = _blob_name(descriptor)
        data = self._read(name)
        if hashlib.sha256(data).hexdigest() != posixpath.basename(name):
            raise ImageError(f"the blob {name!r} differs from its digest")
        return data


class LayerReader(io.RawIOBase):
    """Hashes what is read from a layer and stops at a bound."""

    def __init__(self, source: IO[bytes], max_bytes: int) -> None:
        super().__init__()
        self._source = source
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        """Always; see :class:`io.RawIOBase`."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes; fewer, or all, when ``size`` is negative or large."""
        data = self._source.read(_CHUNK if size < 0 else min(size, _CHUNK))
        self.size += len(data)
        if self.size > self._max_bytes:
            raise ImageTooLarge(f"the image unpacks to more than the {self._max_bytes} bytes allowed")
        self._digest.update(data)
        return data

    def finish(self) -> str:
        """Read to the end; the hex sha256 of the whole layer."""
        while self.read(_CHUNK):
            pass
        return self._digest.hexdigest()


def parse_manifest(raw: bytes) -> Manifest:
    """What an image's manifest says, or :class:`ImageError`."""
    document = _object(_parse(raw, "the manifest"), "the manifest")
    if "manifests" in document:
        raise ImageError("it is an index of several images: refer to the manifest of the one to run")
    layers = _list(document.get("layers"), "the manifest's layers")
    if len(layers) > _MAX_LAYERS:
        raise ImageError(f"the image has more than {_MAX_LAYERS} layers")
    blobs = tuple(dict.fromkeys(_described(item) for item in (document.get("config"), *layers)))
    if len({blob.sha256 for blob in blobs}) < len(blobs):
        raise ImageError("the manifest states two sizes of one blob")
    if blobs[0].size > MAX_JSON:
        raise ImageError(f"the image's config is larger than {MAX_JSON} bytes")
    return Manifest(_string({"mediaType": _OCI_MANIFEST} | document, "mediaType"), blobs)


def parse_config(raw: bytes, *, layers: int | None = None) -> ImageConfig:
    """The config of an image with so many ``layers`` that this machine can run, or :class:`ImageError`."""
    document = _object(_parse(raw, "the image config"), "the image config")
    system, architecture = document.get("os"), document.get("architecture")
    if system != "linux" or architecture != machine_architecture():
        raise ImageError(
            f"the image is for {system}/{architecture}, but this machine is linux/{machine_architecture()}"
        )
    rootfs = _object(document.get("rootfs"), "the config's rootfs")
    settings = _object(document.get("config") or {}, "the image config's config")
    diff_ids = tuple(_sha256(diff_id) for diff_id in _strings(rootfs, "diff_ids"))
    if layers is not None and layers != len(diff_ids):
        raise ImageError(f"the image has {layers} layers, but its config names {len(diff_ids)}")
    env = [entry.partition("=") for entry in _strings(settings, "Env")]
    working_dir = settings.get("WorkingDir") or "/"
    if not isinstance(working_dir, str) or not working_dir.startswith("/") or "\0" in working_dir:
        raise ImageError(f"the image's working directory {working_dir!r} is not an absolute path")
    return ImageConfig(
        digest=hashlib.sha256(raw).hexdigest(),
        diff_ids=diff_ids,
        entrypoint=tuple(_strings(settings, "Entrypoint")),
        cmd=tuple(_strings(settings, "Cmd")),
        env=tuple((name, value) for name, _, value in env if name),
        working_dir=posixpath.normpath(working_dir),
    )


def machine_architecture() -> str:
    """This machine's architecture by its OCI name, such as ``amd64``."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def _pick(index: dict[str, object]) -> dict[str, object]:
    """The one manifest of an index that is for this machine."""
    found = [_object(item, "the image index") for item in _list(index.get("manifests"), "the image index")]
    fitting = [item for item in found if _fits(item)]
    if len(fitting) != 1:
        raise ImageError(f"the image index names {len(fitting)} images for linux/{machine_architecture()}, not one")
    return fitting[0]


def _fits(descriptor: dict[str, object]) -> bool:
    target = descriptor.get("platform")
    if target is None:
        return True
    target = _object(target, "a platform")
    return (target.get("os"), target.get("architecture")) == ("linux", machine_architecture())


def _blob_name(descriptor: dict[str, object]) -> str:
    return f"blobs/sha256/{_sha256(_string(descriptor, 'digest'))}"


def _described(value: object) -> Blob:
    descriptor = _object(value, "a blob's descriptor")
    size = descriptor.get("size")
    if type(size) is not int or size < 0:
        raise ImageError("the manifest states a blob's size as something else than a number of bytes")
    return Blob(_sha256(_string(descriptor, "digest")), size)


def _sha256(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise ImageError(f"the image uses {digest!r}, which is not a sha256 digest")
    return value


def _parse(raw: bytes, what: str) -> object:
    try:
        return cast(object, json.loads(raw))
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{what} is not valid JSON: {error}") from error


def _object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ImageError(f"{what} is not a JSON object")
    return value


def _list(value: object, what: str) -> list[object]:
    if not isinstance(value, list):
        raise ImageError(f"{what} is not a JSON list")
    return value


def _string(document: dict[str, object], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise ImageError(f"the image's {key!r} is not a string")
    return value


def _strings(document: dict[str, object], key: str) -> list[str]:
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) and "\0" not in item for item in value):
        raise ImageError(f"the image's {key!r} is not a list of strings")
    return cast(list[str], value)
