from __future__ import annotations

import fcntl
import io
import json
import shutil
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from proofmill.program.v1.tx_pb2 import MsgDeployProgram

from chain.address import encode_address
from chain.program.handlers import validate_deploy_program
from client.deploy import program_spec, urls_below
from client.program.build import BuildResult, build
from client.program.description import read_program
from client.program.errors import BuildError, ManifestError
from tests.support.small_program import SMALL_MANIFEST, write_small_program


class Workshop:
    """A program's folder, a place for builds and a cache, all below one temporary directory."""

    def __init__(self, root: Path) -> None:
        self.source = write_small_program(root / "source")
        self.out = root / "out"
        self.cache = root / "cache"
        self.lines: list[str] = []

    def build(self, **params: str) -> BuildResult:
        return build(self.source, self.out, params, cache_dir=self.cache, progress=self.lines.append)

    def change(self, old: str, new: str) -> None:
        manifest = self.source / "program.yaml"
        text = manifest.read_text()
        assert old in text
        manifest.write_text(text.replace(old, new, 1))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_a_build_leaves_two_archives_and_their_description(workshop: Workshop) -> None:
    result = workshop.build()

    assert sorted(path.name for path in workshop.out.iterdir()) == ["program.json", "prover.tar", "verifier.tar"]
    assert read_program(workshop.out) == result.program
    description = json.loads((workshop.out / "program.json").read_text())
    assert description["format"] == "proofmill.program/1"
    assert description["prover"]["command"] == ["/bin/prove", "--size", "3"]
    assert description["parameters"] == {"size": "3", "colour": "red"}
    assert description["verifier_time_limit_s"] == 5
    with tarfile.open(workshop.out / "prover.tar") as archive:
        assert "index.json" in archive.getnames()


def test_builds_in_different_places_are_the_same_bytes(tmp_path: Path) -> None:
    first = Workshop(tmp_path / "first").build()
    second = Workshop(tmp_path / "second" / "deeper").build()

    assert not second.cached
    assert first.program == second.program


def test_a_second_build_comes_from_the_cache(workshop: Workshop) -> None:
    first = workshop.build()
    shutil.rmtree(workshop.out)
    second = workshop.build()

    assert second.cached
    assert first.program == second.program
    assert read_program(workshop.out) == first.program


@pytest.mark.parametrize("file", ["prove.sh", "lib/key.txt", "program.yaml"])
def test_a_changed_source_is_built_again(workshop: Workshop, file: str) -> None:
    workshop.build()
    with (workshop.source / file).open("a") as source:
        source.write("# more\n")

    assert not workshop.build().cached


def test_another_parameter_is_another_program(workshop: Workshop) -> None:
    first = workshop.build()
    second = workshop.build(colour="blue")

    assert not second.cached
    assert second.program.prover.sha256 != first.program.prover.sha256
    assert second.program.verifier.sha256 == first.program.verifier.sha256


def test_a_damaged_cache_is_rebuilt(workshop: Workshop) -> None:
    first = workshop.build()
    (archive,) = workshop.cache.glob("*/prover.tar")
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    second = workshop.build()

    assert not second.cached
    assert first.program == second.program


def test_an_asset_that_the_build_makes_is_put_beside_the_images(workshop: Workshop) -> None:
    workshop.change(SMALL_MANIFEST, SMALL_MANIFEST + "assets: [{name: key, audience: prover, from: key-3-red}]\n")

    (asset,) = workshop.build().program.assets

    assert (asset.file, asset.bytes, asset.urls) == ("assets/key", 4, ())
    assert (workshop.out / asset.file).read_text() == "key\n"


def test_progress_names_each_step_and_digest(workshop: Workshop) -> None:
    program = workshop.build().program

    assert workshop.lines[0] == "[1/1] make a key of size 3"
    assert workshop.lines[2] == "small 1.10 (size=3, colour=red): built"
    assert program.prover.sha256 in workshop.lines[3]


def test_steps_see_nothing_of_the_users_environment(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "hunter2")
    workshop.change('argv: [cp, lib/key.txt, "key-${size}-${colour}"]', "argv: [sh, -c, env > key-3-red]")
    workshop.change(
        "  verifier_time_limit_s: 5\n",
        "  verifier_time_limit_s: 5\nassets: [{name: env, audience: both, from: key-3-red}]\n",
    )
    workshop.build()

    assert "hunter2" not in (workshop.out / "assets" / "env").read_text()


def test_a_failing_step_is_named_with_its_last_words(workshop: Workshop) -> None:
    workshop.change("cp, lib/key.txt,", "cp, lib/absent.txt,")

    with pytest.raises(BuildError) as caught:
        workshop.build()
    assert str(caught.value).startswith("build step 'make a key of size 3' failed with exit code 1:\n")
    assert "lib/absent.txt" in str(caught.value)
    assert not workshop.out.exists()
    assert [path.suffix for path in workshop.cache.iterdir()] == [".lock"]


def test_a_missing_command_is_named(workshop: Workshop) -> None:
    workshop.change("[cp,", "[no-such-compiler,")

    with pytest.raises(BuildError, match="needs the command no-such-compiler, which isn't installed"):
        workshop.build()


def test_a_step_that_makes_nothing_is_found_out(workshop: Workshop) -> None:
    workshop.change("[cp, lib/key.txt,", "[echo, lib/key.txt,")

    with pytest.raises(BuildError, match="the manifest names key-3-red, but no build step left such a file"):
        workshop.build()


def test_an_empty_asset_is_found_out(workshop: Workshop) -> None:
    (workshop.source / "lib" / "key.txt").write_text("")
    workshop.change(SMALL_MANIFEST, SMALL_MANIFEST + "assets: [{name: key, audience: prover, from: key-3-red}]\n")

    with pytest.raises(BuildError, match="the asset key is empty"):
        workshop.build()


def test_the_chain_accepts_what_was_built(workshop: Workshop) -> None:
    published = f"{{name: srs, audience: both, urls: [https://a/srs], sha256: {'ab' * 32}, bytes: 7}}"
    made = "{name: key, audience: prover, from: key-3-red}"
    workshop.change(SMALL_MANIFEST, SMALL_MANIFEST + f"assets: [{published}, {made}]\n")
    program = workshop.build().program

    spec = program_spec(program, urls_below(program, "https://example.org/small"))

    validate_deploy_program(MsgDeployProgram(deployer=encode_address(bytes(20)), spec=spec))
    assert spec.prover.sha256.hex() == program.prover.sha256
    assert [asset.urls[0] for asset in spec.assets] == ["https://a/srs", "https://example.org/small/assets/key"]


def test_a_pattern_without_files_is_refused(workshop: Workshop) -> None:
    (workshop.source / "lib" / "key.txt").unlink()

    with pytest.raises(ManifestError, match=r"build\.sources: no file matches lib/\*\.txt"):
        workshop.build()


def test_a_source_that_is_a_symbolic_link_is_refused(workshop: Workshop) -> None:
    (workshop.source / "lib" / "other.txt").symlink_to("/etc/passwd")

    with pytest.raises(ManifestError, match=r"other\.txt is a symbolic link"):
        workshop.build()


def test_a_source_behind_a_linked_folder_is_refused(workshop: Workshop) -> None:
    shutil.move(workshop.source / "lib", workshop.source / "real")
    (workshop.source / "lib").symlink_to("real")

    with pytest.raises(ManifestError, match=r"key\.txt is a symbolic link"):
        workshop.build()


def test_a_program_in_go_says_how_to_get_go(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(workshop.source))
    monkeypatch.setattr("client.program.host_tools.PROJECT_TOOLS", workshop.source)
    workshop.change("build:\n", "build:\n  tools: {go: 1.26.8}\n")

    with pytest.raises(BuildError, match="built with Go, which isn't installed: run `make setup`"):
        workshop.build()


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ("rust: 1.95.0", "built with Rust 1.95.0, which isn't installed: run `make programs`, or install rustup"),
        ("node: 20", "built with Node.js 20 and npm, which aren't installed"),
        ("python: 3.99", "built with Python 3.99 or later"),
    ],
)
def test_a_tool_that_is_missing_is_named(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tool: str, message: str
) -> None:
    monkeypatch.setenv("PATH", str(workshop.source))
    monkeypatch.setattr("client.program.host_tools.PROJECT_TOOLS", workshop.source)
    workshop.change("build:\n", f"build:\n  tools: {{{tool}}}\n")

    with pytest.raises(BuildError, match=message):
        workshop.build()


def test_another_rust_than_the_pinned_one_is_refused(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, said in (("cargo", "cargo 1.2.3"), ("rustc", "rustc 1.2.3 (abc)")):
        tool = workshop.source / name
        tool.write_text(f"#!/bin/sh\necho '{said}'\n")
        tool.chmod(0o755)
    monkeypatch.setattr("client.program.host_tools.PROJECT_TOOLS", workshop.out)
    monkeypatch.setenv("PATH", f"{workshop.source}:/usr/bin:/bin")
    workshop.change("build:\n", "build:\n  tools: {rust: 1.95.0}\n")

    with pytest.raises(BuildError, match=r"has rustc 1.2.3 \(abc\): run `rustup toolchain install 1.95.0"):
        workshop.build()


def test_a_directory_goes_into_an_image_with_its_modes_and_links(workshop: Workshop) -> None:
    workshop.change(
        "argv: [cp, lib/key.txt,", "argv: [sh, -c, 'mkdir -p tree/sub; cp prove.sh tree/sub/tool; chmod 755"
    )
    workshop.change('"key-${size}-${colour}"]', "tree/sub/tool; cp lib/key.txt tree/key; ln -s sub/tool tree/link']")
    workshop.change('{from: "key-${size}-${colour}", to: /keys/key}', "{from: tree, to: /opt/tree}")
    workshop.build()

    with tarfile.open(workshop.out / "prover.tar") as archive:
        layers = json.load(archive.extractfile("manifest.json") or io.BytesIO())[0]["Layers"]
        with tarfile.open(fileobj=archive.extractfile(layers[0])) as layer:
            assert (layer.getmember("opt/tree/key").mode, layer.getmember("opt/tree/sub/tool").mode) == (0o644, 0o755)
            assert layer.getmember("opt/tree/link").linkname == "sub/tool"


def test_files_that_are_in_each_others_way_are_refused(workshop: Workshop) -> None:
    workshop.change("to: /keys/key", "to: /bin/prove/key")

    with pytest.raises(BuildError, match="/bin/prove/key is in the way of /bin/prove"):
        workshop.build()


def test_a_product_outside_the_build_folder_is_refused(workshop: Workshop) -> None:
    workshop.change("argv: [cp, lib/key.txt,", "argv: [ln, -s, /etc/hostname,")

    with pytest.raises(BuildError, match="names key-3-red, but no build step left such a file"):
        workshop.build()


def test_a_step_knows_the_build_folder(workshop: Workshop) -> None:
    workshop.change("argv: [cp, lib/key.txt,", "argv: [cp, '${build}/lib/key.txt',")

    assert not workshop.build().cached


def test_a_build_waits_for_another_of_the_same_thing(workshop: Workshop) -> None:
    built = workshop.build()
    (lock,) = workshop.cache.glob("*.lock")
    with lock.open("w") as other, ThreadPoolExecutor() as pool:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = pool.submit(workshop.build)
        while "another process builds the same; waiting for it" not in workshop.lines:
            time.sleep(0.01)
        assert not waiting.done()
        fcntl.flock(other, fcntl.LOCK_UN)

        assert waiting.result() == replace(built, cached=True)


def test_variants_of_a_program_share_a_folder(workshop: Workshop) -> None:
    (workshop.source / "fast.yaml").write_text(SMALL_MANIFEST.replace("name: small", "name: fast"))
    result = build(
        workshop.source / "fast.yaml", workshop.out, cache_dir=workshop.cache, progress=workshop.lines.append
    )

    assert result.program.name == "fast"


def test_an_output_that_cannot_be_written_is_named(workshop: Workshop) -> None:
    workshop.out.write_text("in the way")

    with pytest.raises(BuildError, match=r"the build of small can't use .*/out"):
        workshop.build()


@pytest.mark.parametrize("damage", ["{}", "[]", "not json", '{"format": "proofmill.program/2"}'])
def test_a_malformed_description_is_refused(workshop: Workshop, damage: str) -> None:
    workshop.build()
    (workshop.out / "program.json").write_text(damage)

    with pytest.raises(BuildError, match=r"is not a proofmill\.program/1 description"):
        read_program(workshop.out)


def test_a_missing_description_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="run `mill program build` first"):
        read_program(tmp_path)


def test_a_changed_archive_is_found_out(workshop: Workshop) -> None:
    workshop.build()
    with (workshop.out / "verifier.tar").open("ab") as archive:
        archive.write(b"x")

    with pytest.raises(BuildError, match=r"verifier\.tar is missing or is not the file that program\.json names"):
        read_program(workshop.out)
