"""Typed reading of YAML that remembers lines, so that every complaint says where."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NoReturn

import yaml

from client.program.errors import ManifestError

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NULL = "tag:yaml.org,2002:null"
_MAX_FILE_BYTES = 256 * 1024


class YamlNode:
    """One value in a YAML file: where it stands, and typed access to it.

    Scalars are taken as written, not as YAML 1.1 would type them, so that a version 1.10 stays "1.10" and a mode
    0755 stays octal. `${name}` in a scalar stands for the parameter's value once `bind` has given the values.
    """

    def __init__(self, file: Path, key: str, node: yaml.Node, values: Mapping[str, str]) -> None:
        self._file = file
        self._node = node
        self._values = values
        self.key = key

    @classmethod
    def load(cls, file: Path) -> YamlNode:
        """Parse `file`, at most 256 KiB of UTF-8. Raises ManifestError."""
        try:
            if file.stat().st_size > _MAX_FILE_BYTES:
                raise ManifestError(f"{file} is larger than {_MAX_FILE_BYTES} bytes")
            node = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except FileNotFoundError:
            raise ManifestError(f"{file} does not exist: name a folder that has a {file.name}") from None
        except OSError as error:
            raise ManifestError(f"{file} can't be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ManifestError(f"{file} is not UTF-8 text") from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ManifestError(f"{file}:{line}: not YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise ManifestError(f"{file} is not YAML: {error}") from error
        if node is None:
            raise ManifestError(f"{file} is empty")
        return cls(file, "", node, {})

    def bind(self, values: Mapping[str, str]) -> YamlNode:
        """The same value with `${name}` standing for `values[name]`, here and below."""
        return YamlNode(self._file, self.key, self._node, values)

    def fail(self, problem: str) -> NoReturn:
        where = f"{self._file}:{self._node.start_mark.line + 1}: "
        raise ManifestError(where + (f"{self.key}: " if self.key else "") + problem)

    def is_mapping(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    def mapping(self) -> dict[str, YamlNode]:
        """The entries of a mapping with text keys, each key once."""
        if not isinstance(self._node, yaml.MappingNode):
            self.fail("must be a mapping of keys to values")
        entries: dict[str, YamlNode] = {}
        for key_node, value_node in self._node.value:
            key = YamlNode(self._file, self.key, key_node, {}).text()
            child = YamlNode(self._file, f"{self.key}.{key}" if self.key else key, value_node, self._values)
            if key in entries:
                child.fail("is given twice")
            entries[key] = child
        return entries

    def fields(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, YamlNode]:
        """The entries of a mapping that must have `required`, may have `optional`, and nothing else."""
        entries = self.mapping()
        known = required + optional
        for key, child in entries.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                child.fail(
                    "is not a known key" + (f": did you mean {near[0]}?" if near else f": use {', '.join(known)}")
                )
        for key in required:
            if key not in entries:
                self.fail(f"needs the key {key}")
        return entries

    def sequence(self) -> list[YamlNode]:
        if not isinstance(self._node, yaml.SequenceNode):
            self.fail("must be a list")
        return [
            YamlNode(self._file, f"{self.key}[{index}]", child, self._values)
            for index, child in enumerate(self._node.value)
        ]

    def text(self) -> str:
        if not isinstance(self._node, yaml.ScalarNode) or self._node.tag == _NULL:
            self.fail("must be text")
        return _REFERENCE.sub(self._resolve, str(self._node.value))

    def matching(self, pattern: str, rule: str) -> str:
        """Text that matches all of `pattern`; `rule` says it in words."""
        text = self.text()
        if not re.fullmatch(pattern, text):
            self.fail(f"must be {rule}, not {text!r}")
        return text

    def integer(self, minimum: int, maximum: int) -> int:
        text = self.text()
        if not _INTEGER.fullmatch(text) or not minimum <= int(text) <= maximum:
            self.fail(f"must be a whole number from {minimum} to {maximum}, not {text!r}")
        return int(text)

    def words(self) -> tuple[str, ...]:
        """A command: a list of at least one text, without NUL characters."""
        words = tuple(item.text() for item in self.sequence())
        if not words or not words[0]:
            self.fail("must name a command")
        if any("\0" in word for word in words):
            self.fail("must not have a NUL character in a word")
        return words

    def relative_path(self) -> str:
        """A plain path below some folder: not absolute, no `..`, nothing to normalise."""
        text = self.text()
        path = PurePosixPath(text)
        if not text or path.is_absolute() or ".." in path.parts or posixpath.normpath(text) != text:
            self.fail(f"must be a plain path inside the program's folder, not {text!r}")
        return text

    def _resolve(self, match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in self._values:
            self.fail(f"${{{name}}} is not a parameter")
        return self._values[name]
