from __future__ import annotations

from pathlib import Path

import pytest

from client.program.errors import ManifestError
from client.program.manifest import Resources, load_manifest
from tests.support.small_program import SMALL_MANIFEST, write_small_program


def test_a_manifest_is_read_with_its_defaults(tmp_path: Path) -> None:
    manifest = load_manifest(write_small_program(tmp_path))

    assert manifest.name == "small"
    assert manifest.parameters == {"size": "3", "colour": "red"}
    assert manifest.recipe.steps[0].argv == ("cp", "lib/key.txt", "key-3-red")
    assert manifest.prover.command == ("/bin/prove", "--size", "3")
    assert [file.mode for file in manifest.prover.files] == [0o755, None]
    assert manifest.verifier.files[0].mode == 0o755
    assert manifest.max_resources == Resources(cpu_millis=2000, memory_bytes=1 << 30, gpus=1)
    assert manifest.verifier_resources == Resources(cpu_millis=100, memory_bytes=1 << 20, gpus=0)


def test_a_version_stays_as_written(tmp_path: Path) -> None:
    assert load_manifest(write_small_program(tmp_path)).version == "1.10"


def test_parameters_are_put_everywhere(tmp_path: Path) -> None:
    manifest = load_manifest(write_small_program(tmp_path), {"size": "9", "colour": "blue"})

    assert manifest.recipe.steps[0].name == "make a key of size 9"
    assert manifest.prover.files[1].source == "key-9-blue"
    assert manifest.prover.labels == {"colour": "blue"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"sise": "3"}, "--set sise: this program has no such parameter; it has size, colour"),
        ({"size": "10"}, "--set size: must be a whole number from 1 to 9, not '10'"),
        ({"size": "two"}, "--set size: must be a whole number from 1 to 9, not 'two'"),
        ({"size": "-1"}, "--set size: must be a whole number"),
        ({"colour": "green"}, "--set colour: must be one of red, blue, not 'green'"),
    ],
)
def test_invalid_overrides_name_the_parameter(tmp_path: Path, overrides: dict[str, str], message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(write_small_program(tmp_path), overrides)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: small", "name: -small", "program.yaml:1: name: must be 1 to 128 letters"),
        ("name: small\n", "", "program.yaml:1: needs the key name"),
        ("name: small", "name: small\nname: other", "program.yaml:2: name: is given twice"),
        ("name: small", "name:", "program.yaml:1: name: must be text"),
        ("name: small", "name: [small]", "program.yaml:1: name: must be text"),
        ("version: 1.10", "verson: 1", "program.yaml:2: verson: is not a known key: did you mean version?"),
        ("version: 1.10", "version: a b", "program.yaml:2: version: must be 1 to 128"),
        ("architecture: amd64", "architecture: mips", "program.yaml:3: architecture: must be one of amd64, arm64"),
        ("default: 3,", "default: 30,", "program.yaml:5: parameters.size.default: must be a whole number from 1 to 9"),
        ("min: 1, ", "", "program.yaml:5: parameters.size: must have both min and max"),
        ("min: 1", "min: one", "program.yaml:5: parameters.size.min: must be a whole number"),
        ("  size: {", "  Size: {", "program.yaml:5: parameters.Size: a parameter's name must be a lower-case word"),
        ("build:\n", "build:\n  tools: {go: '1.26'}\n", "build.tools.go: must be an exact Go version"),
        ("prove.sh, ", "../prove.sh, ", "program.yaml:8: build.sources[0]: must be a plain path inside"),
        ("prove.sh, ", "/etc/passwd, ", "program.yaml:8: build.sources[0]: must be a plain path inside"),
        ("argv: [cp, lib/key.txt, ", "argv: [] #", "program.yaml:11: build.steps[0].argv: must name a command"),
        ('key-${size}-${colour}"]', 'key-${shape}"]', "build.steps[0].argv[2]: ${shape} is not a parameter"),
        (
            "command: [/verify]",
            "command: [/bin/sh]",
            "images.verifier.command: /bin/sh is not one of this image's files",
        ),
        ("mode: 0755", "mode: 0644", "program.yaml:14: images.prover.command: /bin/prove is not one of"),
        ("mode: 0755", "mode: 9", "program.yaml:16: images.prover.files[0].mode: must be three octal digits"),
        ("to: /keys/key", "to: keys/key", "images.prover.files[1].to: must be a plain absolute path"),
        ("to: /keys/key", "to: /keys/../key", "images.prover.files[1].to: must be a plain absolute path"),
        ("to: /keys/key", "to: /mnt/input/key", "images.prover.files[1].to: /mnt belongs to the runner"),
        ("to: /keys/key", "to: /bin/prove", "/bin/prove is given twice"),
        ("memory: 64MiB", "memory: 64MB", "resources.default.memory: must be bytes, or a whole number of KiB"),
        ("memory: 64MiB", "memory: 2GiB", "program.yaml:23: resources.default: memory_bytes is above resources.max"),
        ("memory: 64MiB", "memory: 0", "resources.default.memory: must be 1 to"),
        ("memory: 64MiB", "memory: 999999TiB", "resources.default.memory: must be 1 to"),
        ("command: [/verify]", f"command: [/verify{', x' * 64}]", "verifier.command: must have at most 64 words"),
        ("command: [/verify]", f"command: [/verify, {'x' * 4097}]", "at most 64 words of at most 4096 bytes"),
        ("command: [/verify]", 'command: [/verify, "a\\0"]', "must not have a NUL character"),
        ("cpu_millis: 500", "cpu_millis: 0", "resources.default.cpu_millis: must be a whole number from 1"),
        ("limit_s: 5", "limit_s: 0", "resources.verifier_time_limit_s: must be a whole number from 1 to 3600"),
        ("name: small", "name: 'small", "not YAML"),
        (SMALL_MANIFEST, "", "program.yaml is empty"),
        (SMALL_MANIFEST, "- small", "program.yaml:1: must be a mapping of keys to values"),
    ],
)
def test_invalid_manifests_name_line_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SMALL_MANIFEST
    write_small_program(tmp_path, SMALL_MANIFEST.replace(old, new, 1))

    with pytest.raises(ManifestError) as caught:
        load_manifest(tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("asset", "message"),
    [
        ("{name: key, audience: prover}", "assets[0]: must have either from"),
        ("{name: key, audience: prover, from: key, urls: [http://x]}", "assets[0]: must have either from"),
        ("{name: key, audience: everyone, from: key}", "assets[0].audience: must be one of prover, verifier, both"),
        ("{name: a/b, audience: both, from: key}", "assets[0].name: must be 1 to 128 letters"),
        ("{name: k, audience: both, urls: [ftp://x], sha256: x, bytes: 1}", "assets[0].urls[0]: must be an http"),
        ("{name: k, audience: both, urls: [], sha256: x, bytes: 1}", "assets[0].urls: must have 1 to 8 URLs"),
        ("{name: k, audience: both, urls: [http://x], sha256: ab, bytes: 1}", "assets[0].sha256: must be 64"),
    ],
)
def test_invalid_assets_are_refused(tmp_path: Path, asset: str, message: str) -> None:
    write_small_program(tmp_path, SMALL_MANIFEST + f"assets: [{asset}]\n")

    with pytest.raises(ManifestError) as caught:
        load_manifest(tmp_path)
    assert message in str(caught.value)


def test_assets_may_be_built_or_published(tmp_path: Path) -> None:
    published = f"{{name: srs, audience: both, urls: [https://a/srs], sha256: {'ab' * 32}, bytes: 7}}"
    built = '{name: key, audience: prover, from: "key-${size}-${colour}"}'
    write_small_program(tmp_path, SMALL_MANIFEST + f"assets: [{published}, {built}]\n")

    srs, key = load_manifest(tmp_path).assets

    assert (srs.urls, srs.size, srs.source) == (("https://a/srs",), 7, None)
    assert (key.source, key.audience) == ("key-3-red", "prover")


def test_a_folder_without_a_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"program\.yaml does not exist: name a folder that has a program\.yaml"):
        load_manifest(tmp_path)


def test_a_manifest_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "program.yaml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ManifestError, match="is not UTF-8 text"):
        load_manifest(tmp_path)


def test_a_huge_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "program.yaml").write_bytes(b"#" * (256 * 1024 + 1))

    with pytest.raises(ManifestError, match="is larger than 262144 bytes"):
        load_manifest(tmp_path)


def test_a_manifest_with_control_characters_is_refused(tmp_path: Path) -> None:
    (tmp_path / "program.yaml").write_text("name: \x07bell", encoding="utf-8")

    with pytest.raises(ManifestError, match="is not YAML"):
        load_manifest(tmp_path)
