"""Wrong flags, values, files, keys, addresses and amounts on every `mill` command: one sentence and an exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from chain.address import encode_address
from client.cli.main import cli, run
from client.cli.options import Parsed
from tests.support.localnet import GROTH16, PATIENCE_S, Localnet

STRANGER = encode_address(bytes(20))
NOBODY = "http://127.0.0.1:9"
USAGE = 2

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, by the words that lead to it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(leaves(cli))


def bad_values(option: click.Option) -> str | None:
    """A value that an option can't take, if there is one."""
    if isinstance(option.type, click.Choice | Parsed):
        return "frobnicate"
    if isinstance(option.type, click.IntRange):
        return str(option.type.min - 1) if option.type.min is not None else "frobnicate"
    if isinstance(option.type, click.Path) and not (option.type.file_okay and option.type.dir_okay):
        return "/etc/hostname" if option.type.dir_okay else "/etc"
    return None


WRONG_VALUES = [
    (path, max(option.opts, key=len), value)
    for path, command in COMMANDS.items()
    for option in command.params
    if isinstance(option, click.Option) and not option.is_flag and (value := bad_values(option)) is not None
]


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run `mill` in this process: its exit code and its one sentence; an unexplained error fails the test by itself."""
    capsys.readouterr()
    code = run(arguments)
    out, err = capsys.readouterr()
    assert code != 0, f"mill {' '.join(arguments)} succeeded: {out}"
    assert out == ""
    assert re.fullmatch(r"mill: [^\n]+\n", err), err
    assert "Traceback" not in err
    assert len(err) < 500, err
    return code, err


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_an_unknown_flag(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, said = refusal([*path, "--frobnicate"], capsys)
    assert code == USAGE
    assert "No such option" in said
    assert f"mill {' '.join(path)} --help" in said


@pytest.mark.parametrize(("path", "option", "value"), WRONG_VALUES, ids=str)
def test_a_value_that_an_option_cannot_take(
    path: tuple[str, ...], option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refusal([*path, option, value], capsys)
    assert code == USAGE
    assert option in said


@pytest.mark.parametrize(
    "path",
    [path for path, command in COMMANDS.items() if any(p.required for p in command.params)],
    ids=" ".join,
)
def test_something_left_out(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, said = refusal([*path], capsys)
    assert code == USAGE
    assert "Missing" in said


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*path, "--help"]) == 0
    assert f"Usage: mill {' '.join(path)}" in capsys.readouterr().out


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Files that are not what a command wants."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    (tmp_path / "text").write_text("not what you think\n")
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    (tmp_path / "unknown.yaml").write_text("frobnicate: 1\n")
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "program.json").write_text('{"format": "something/9"}')
    (tmp_path / "manifest").mkdir()
    (tmp_path / "manifest" / "program.yaml").write_text("name: [")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("program build {files}/none", "does not exist"),
        ("program build {files}/empty", "program.yaml"),
        ("program build {files}/manifest", "program.yaml"),
        (f"program build {GROTH16} --out {{files}}/out --set rounds=0", "rounds"),
        (f"program build {GROTH16} --out {{files}}/out --set rounds=many", "rounds"),
        (f"program build {GROTH16} --out {{files}}/out --set colour=red", "colour"),
        (f"program build {GROTH16} --out {{files}}/out --set rounds", "NAME=VALUE"),
        ("program deploy {files}/empty --blob-server http://127.0.0.1:9", "run `mill program build` first"),
        ("program deploy {files}/program --blob-server http://127.0.0.1:9", "build the program again"),
        ("local-run {files}/none", "does not exist"),
        ("local-run {files}/empty", "run `mill program build` first"),
        ("local-run {files}/program", "build the program again"),
        ("local-run {files}/empty --output {files}/full", "is not an empty folder"),
        ("local-run {files}/empty --verify-only", "--proof"),
        ("local-run {files}/empty --proof {files}/full", "--verify-only"),
        ("run -f {files}/text", "must be a mapping"),
        ("run -f {files}/list.yaml", "must be a mapping"),
        ("run -f {files}/unknown.yaml", "frobnicate"),
        ("run --program p --output {files}/full", "is not an empty folder"),
        ("keys import a --unencrypted --file {files}/text", "chmod 600"),
        ("keys export a --file {files}/text", "there is no key 'a'"),
        ("keys add .. --unencrypted", "can't name a key"),
        ("node start --home {files}/none", "mill node init"),
        ("node status --home {files}/none", "mill node init"),
        ("node export --home {files}/none", "mill node init"),
        ("node init --home {files}/new --genesis {files}/text", "isn't a genesis file"),
        ("prover init --home {files}/new --chain-id c-1 --operator me", "me"),
        ("prover init --home {files}/new --chain-id c-1 --operator {stranger} --endpoint ftp://x", "ftp://x"),
        ("prover init --home {files}/new --chain-id c-1 --operator {stranger} --listen nowhere", "nowhere"),
        ("prover init --home {files}/new --chain-id c-1 --operator {stranger} --node nowhere", "nowhere"),
        ("prover start --home {files}/none", "mill prover init"),
        ("prover status --home {files}/none", "mill prover init"),
        ("prover duties --home {files}/none", "mill prover init"),
        ("prover register --home {files}/none --bond 1000mill", "mill prover init"),
        ("localnet status --home {files}/none", "mill localnet start"),
        ("localnet logs --home {files}/none", "mill localnet start"),
        ("localnet start --home {files}/full --port-offset 29000", "isn't empty"),
        ("send {stranger} 1mill", "mill keys add"),
        ("account", "mill keys add"),
    ],
)
def test_wrong_files_and_folders(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    monkeypatch.setenv("MILL_HOME", str(files / "home"))
    monkeypatch.setenv("MILL_NODE", NOBODY)
    arguments = [word.format(files=files, stranger=STRANGER) for word in line.split()]
    before = below(files)
    _, sentence = refusal(arguments, capsys)
    assert said.format(files=files) in sentence
    assert below(files) == before, "a refused command left something behind"


def below(folder: Path) -> list[Path]:
    """All that is in a folder but locks, which can't be removed safely."""
    return sorted(path for path in folder.rglob("*") if path.suffix != ".lock")


@pytest.fixture
def bob(small_localnet: Localnet, monkeypatch: pytest.MonkeyPatch) -> str:
    """`mill` talks to a real network, for bob unless a command says otherwise; his address."""
    for name, value in {"NODE": small_localnet.node, "HOME": str(small_localnet.layout.user), "FROM": "bob"}.items():
        monkeypatch.setenv(f"MILL_{name}", value)
    return small_localnet.key("bob").address


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("send alice 2000000mill", 4, "but the account holds"),
        ("send alice 999999.9999mill", 4, "but the account holds"),
        ("send alice 1mill --memo {long}", 4, "memo"),
        ("send mill1nobody 1mill", 1, "mill1nobody"),
        ("send cosmos1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqnrql8a 1mill", 1, "cosmos1"),
        ("send alice 1mill --from mallory", 1, "there is no key 'mallory'"),
        ("credits grant alice 1credit", 4, "authority"),
        ("program deprecate deadbeef", 1, "there is no program"),
        ("program show nothing@1", 1, "there is no program"),
        ("program list --deployer mill1x", 1, "mill1x"),
        ("estimate --program nothing", 1, "there is no program 'nothing'"),
        ("run --program nothing", 1, "there is no program 'nothing'"),
        ("task show 999999", 1, "there is no task 999999"),
        ("task watch 999999", 1, "there is no task 999999"),
        ("task logs 999999", 1, "there is no task 999999"),
        ("task proof 999999 --output {folder}/proof", 1, "there is no task 999999"),
        ("task list --user nobody", 1, "there is no key 'nobody'"),
        ("tx show 1234", 1, "is not a transaction hash"),
        ("tx show {hash}", 1, "is in no block"),
        ("account mill1nobody", 1, "mill1nobody"),
    ],
)
def test_what_the_chain_refuses(
    bob: str,
    small_localnet: Localnet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    line: str,
    code: int,
    said: str,
) -> None:
    before = small_localnet.ask("account", bob)
    arguments = [word.format(long="x" * 300, hash="ab" * 32, folder=tmp_path) for word in line.split()]
    got, sentence = refusal(arguments, capsys)
    assert got == code
    assert said in sentence
    assert small_localnet.ask("account", bob) == before, "a refused command cost something"


def test_a_node_that_is_not_there(bob: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = refusal(["account", bob, "--node", NOBODY], capsys)
    assert code == 3
    assert "can't be reached" in said


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("register --bond 1mill --from bob", 1, "names the operator"),
        ("register --bond 1000mill", 4, "already registered a prover"),
    ],
)
def test_a_prover_that_may_not_be_registered(
    bob: str, small_localnet: Localnet, capsys: pytest.CaptureFixture[str], line: str, code: int, said: str
) -> None:
    home = str(small_localnet.layout.prover(0))
    # Without MILL_FROM the operator whom the configuration names signs.
    extra = [] if "--from" in line else ["--from", small_localnet.key("prover0").address]
    got, sentence = refusal(["prover", *line.split(), *extra, "--home", home], capsys)
    assert (got, said in sentence) == (code, True), sentence


def test_a_program_that_is_there_already(
    bob: str, small_localnet: Localnet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built = tmp_path / "built"
    assert run(["program", "build", str(GROTH16), "--out", str(built)]) == 0
    deploy = ["program", "deploy", str(built), "--blob-server", small_localnet.plan.blob_url]
    capsys.readouterr()
    assert run([*deploy, "-o", "json"]) == 0
    program = json.loads(capsys.readouterr().out)["program_id"]
    code, said = run([*deploy, "-o", "json"]), capsys.readouterr().err.splitlines()[-1]
    assert code == 4
    assert program in said

    ask = ["run", "--program", program]
    assert "max_fee" in refusal([*ask, "--max-fee", "1ucredit"], capsys)[1]
    assert "max_resources" in refusal([*ask, "--cpu", "1000"], capsys)[1]
    assert "time_limit_s" in refusal([*ask, "--time-limit", "1000h"], capsys)[1]
    assert "No such file" in refusal([*ask, "--input", f"x={tmp_path}/none"], capsys)[1]
    assert "there is no program" in refusal(["run", "--program", "0" * 64], capsys)[1]
    # Only who deployed it may.
    assert "deployer" in refusal(["program", "deprecate", program, "--from", "alice"], capsys)[1]
