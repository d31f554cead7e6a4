"""`mill` as a user meets it: output in three forms, one sentence for each mistake, an exit code for each kind."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import click
import pytest
import yaml
from proofmill.task.v1.state_pb2 import VERDICT_INVALID

from chain.messages import MESSAGE_TYPES
from client.cli.main import _COMMANDS
from client.keys.files import write_secret
from client.keys.keystore import KeyStore
from client.keys.private_key import PrivateKey
from client.program.description import BuiltImage, BuiltProgram, read_program
from client.program.manifest import Resources
from tests.support.http_node import HttpNode
from tests.support.image_archives import descriptor, oci_layout
from tests.support.life import deploy
from tests.support.memory_node import MemoryNode, hash_hex
from tests.support.mill_cli import USERS, Result, make_home, network_at_work, one_sentence
from tests.support.network import ALICE, BOB, CHAIN_ID, RICH, Network, make_genesis
from tests.support.small_life import step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A node and a home for commands that change neither."""
    with HttpNode(MemoryNode(Network.start(make_genesis(provers=1)))) as server:
        yield server.url, make_home(tmp_path_factory.mktemp("mill"))


@pytest.mark.parametrize("path", [(), ("keys",), ("task",)], ids=str)
def test_a_group_alone_shows_its_help_in_full(mill: Callable[..., Result], path: tuple[str, ...]) -> None:
    shown = mill(*path)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err == mill(*path, "--help").out


@pytest.mark.parametrize(
    ("line", "home", "output_format"),
    [
        ("--home a -o json plug show", "a", "json"),
        ("--home a -o json plug show --home b", "b", "json"),
        ("plug show --home b", "b", "table"),
    ],
)
def test_options_before_a_plugins_command_are_its_own(
    mill: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, line: str, home: str, output_format: str
) -> None:
    monkeypatch.setenv("MILL_FORMAT", "yaml")  # not given before the command: it reads the environment itself
    plug_in(monkeypatch)
    assert mill(*line.split()).out == f"{home} {output_format}\n"


def test_an_option_before_a_plugins_command_that_it_lacks(
    mill: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(monkeypatch)
    one_sentence(mill("--node", NOBODY, "plug", "show", "--home", "a"), 2, "No such option '--node'")
    assert mill("--node", NOBODY, "plug", "--help").out.startswith("Usage: mill plug")


def plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command `mill plug show`, from another package."""

    @click.group()
    def plug() -> None: ...

    @plug.command()
    @click.option("--home", required=True)
    @click.option("-o", "--format", "output_format", default="table")
    def show(home: str, output_format: str) -> None:
        click.echo(f"{home} {output_format}")

    def entries(**_: str) -> list[EntryPoint]:
        return [EntryPoint("plug", "ignored:plug", "mill.commands")]

    monkeypatch.setattr("client.cli.main.entry_points", entries)
    monkeypatch.setattr("client.cli.main._load", lambda _: plug)


# Keys


def test_a_new_key_is_shown_with_its_mnemonic_once(mill: Callable[..., Result], tmp_path: Path) -> None:
    made = mill("keys", "add", "alice", "--unencrypted", "--home", tmp_path, "-o", "json").json()
    assert len(made["mnemonic"].split()) == 24
    shown = mill("keys", "show", "alice", "--home", tmp_path, "-o", "json").json()
    assert shown == {name: value for name, value in made.items() if name != "mnemonic"}
    assert mill("keys", "list", "--home", tmp_path, "-o", "yaml").out.count(made["address"]) == 1
    write_secret(tmp_path / "words", made["mnemonic"].encode())
    again = mill(
        "keys", "import", "again", "--mnemonic-file", tmp_path / "words", "--unencrypted", "--home", tmp_path / "b",
        "-o", "json",
    ).json()  # fmt: skip
    assert again["address"] == made["address"]


def test_an_encrypted_key_needs_its_passphrase(mill: Callable[..., Result], tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    write_secret(right, b"correct horse\n")
    write_secret(wrong, b"battery staple")
    assert mill("keys", "add", "alice", "--passphrase-file", right, "--home", tmp_path).code == 0
    one_sentence(
        mill("keys", "export", "alice", "--file", tmp_path / "key", "--passphrase-file", wrong, "--home", tmp_path),
        1,
        "the passphrase is wrong",
    )
    assert mill(
        "keys", "export", "alice", "--file", tmp_path / "key", "--passphrase-file", right, "--home", tmp_path
    ).code == 0  # fmt: skip
    imported = mill("keys", "import", "b", "--file", tmp_path / "key", "--unencrypted", "--home", tmp_path / "b")
    assert imported.code == 0


def test_keys_in_tables_say_how_they_are_kept(mill: Callable[..., Result], home: Path) -> None:
    table = mill("keys", "list", "--home", home).out.splitlines()
    assert table[0].split() == ["name", "address", "kept"]
    assert [line.split() for line in table[1:]] == [[user.name, user.address, "PLAIN"] for user in USERS]


def test_delete_asks(mill: Callable[..., Result], home: Path) -> None:
    one_sentence(mill("keys", "delete", "bob", "--home", home), 1, "confirm with --yes")
    assert mill("keys", "delete", "bob", "--yes", "--home", home).code == 0
    assert "bob" not in mill("keys", "list", "--home", home).out


def test_a_mnemonic_is_kept_nowhere(mill: Callable[..., Result], tmp_path: Path) -> None:
    words = mill("keys", "mnemonic", "--words", "12", "--home", tmp_path / "none", "-o", "json").json()["mnemonic"]
    assert len(words.split()) == 12
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["keys", "add", "alice", "--unencrypted"], 1, "a key named 'alice' already"),
        (["keys", "add", "../x", "--unencrypted"], 1, "can't name a key"),
        (["keys", "add", "x"], 1, "a passphrase is needed and there is no terminal"),
        (["keys", "add", "x", "--passphrase", "secret"], 2, "No such option"),
        (["keys", "add", "x", "--words", "13", "--unencrypted"], 2, "'13' is not one of"),
        (["keys", "show", "carol"], 1, "there is no key 'carol'"),
        (["keys", "delete", "carol", "--yes"], 1, "there is no key 'carol'"),
        (["keys", "export", "alice"], 2, "Missing option '--file'"),
        (["keys", "export", "alice", "--file", "{home}/keys/bob.json"], 1, "is never overwritten"),
        (["keys", "import", "x", "--unencrypted"], 1, "no terminal to ask for the mnemonic"),
        (["keys", "import", "x", "--file", "{home}/none", "--unencrypted"], 1, "there is no file"),
        (["keys", "import", "x", "--file", "{home}", "--unencrypted"], 1, "can't be read"),
        (["keys", "import", "x", "--file", "{home}/none", "--index", "1"], 2, "can't be combined"),
        (["keys", "import", "x", "--index", "1", "--path", "m/0"], 2, "can't be combined"),
        (["keys", "import", "x", "--index", "-1"], 2, "Invalid value for '--index'"),
    ],
)
def test_mistakes_with_keys(mill: Callable[..., Result], home: Path, args: list[str], code: int, message: str) -> None:
    filled = [arg.format(home=home) for arg in args]
    one_sentence(mill(*filled, "--home", home), code, message)


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"correct horse", 0o644, "chmod 600"),
        (b"short", 0o600, "at least 8 characters"),
        (b"\n", 0o600, "begins with an empty line"),
        (b"\xff\xfe", 0o600, "not UTF-8"),
    ],
)
def test_passphrase_files(mill: Callable[..., Result], tmp_path: Path, content: bytes, mode: int, message: str) -> None:
    path = tmp_path / "passphrase"
    write_secret(path, content)
    path.chmod(mode)
    one_sentence(mill("keys", "add", "a", "--passphrase-file", path, "--home", tmp_path / "h"), 1, message)
    assert not (tmp_path / "h").exists()


def test_a_mnemonic_with_a_wrong_word(mill: Callable[..., Result], tmp_path: Path) -> None:
    write_secret(tmp_path / "words", b"abandon " * 12)
    result = mill("keys", "import", "a", "--mnemonic-file", tmp_path / "words", "--unencrypted", "--home", tmp_path)
    one_sentence(result, 1, "checksum is wrong")


# Money


def test_account_and_send(user: Callable[..., Result]) -> None:
    sent = user("send", "bob", "12.5mill", "--from", "alice", "--memo", "rent", "-o", "json").json()
    assert (sent["recipient"], sent["amount_umill"]) == (BOB.address, 12_500_000)
    account = user("account", "bob", "-o", "json").json()
    assert account["balances"]["umill"] == RICH + 12_500_000
    shown = user("tx", "show", sent["hash"], "-o", "json").json()
    assert (shown["height"], shown["code"], shown["memo"]) == (sent["height"], 0, "rent")
    assert shown["messages"][0]["to_address"] == BOB.address
    table = user("account", ALICE.address).out
    assert "sequence  1" in table
    assert "MILL" in table
    assert BOB.address in user("tx", "show", sent["hash"]).out


def test_dry_runs_send_nothing_and_need_no_passphrase(
    mill: Callable[..., Result], server: HttpNode, tmp_path: Path
) -> None:
    key = PrivateKey(hashlib.sha256(b"alice").digest())
    KeyStore(tmp_path / "keys", log_n=4).add("alice", key, "correct horse")
    args = ("--node", server.url, "--home", tmp_path, "send", BOB.address, "1mill", "--dry-run")
    plan = mill(*args, "-o", "json").json()
    assert plan["dry_run"] is True
    assert (plan["chain_id"], plan["sequence"], plan["fee_umill"] > 0) == (CHAIN_ID, 0, True)
    assert plan["messages"][0]["type"] == "/cosmos.bank.v1beta1.MsgSend"
    assert mill(*args).out.startswith("Nothing was sent.")
    assert server.node.calls["broadcast_tx_sync"] == 0
    one_sentence(mill(*args[:-1]), 1, "a passphrase is needed")


def test_credits_are_granted_by_the_authority_only(user: Callable[..., Result]) -> None:
    granted = user("credits", "grant", "alice", "25credits", "--from", "authority", "-o", "json").json()
    assert granted["amount_ucredit"] == 25_000_000
    one_sentence(user("credits", "grant", "bob", "1credit", "--from", "alice"), 4, "only the authority", "(sdk 4)")


def test_an_account_that_does_not_exist_yet(user: Callable[..., Result]) -> None:
    address = PrivateKey.generate().address
    data = user("account", address, "-o", "json").json()
    assert (data["sequence"], data["balances"]) == (None, {"umill": 0, "ucredit": 0})
    assert "not on chain yet" in user("account", address).out


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["send", "bob"], 2, "Missing argument 'AMOUNT'"),
        (["send", "bob", "12.5"], 2, "is not an amount"),
        (["send", "bob", "-5mill"], 2, "No such option"),
        (["send", "bob", "0mill"], 2, "more than zero"),
        (["send", "bob", "0.0000001mill"], 2, "is not an amount"),
        (["send", "bob", "5credits"], 2, "is in ucredit, but this takes umill or mill"),
        (["credits", "grant", "bob", "5mill"], 2, "is in umill, but this takes ucredit or credit"),
        (["send", "carol", "5mill"], 1, "there is no key 'carol'"),
        (["send", "mill1qqqq", "5mill"], 1, "is not a bech32 address"),
        (["send", BOB.address[:-1] + "q", "5mill"], 1, "is not a bech32 address"),
        (["send", "bob", "5mill"], 1, "choose one with --from"),
        (["send", "bob", "5mill", "--from", "carol"], 1, "there is no key 'carol'"),
        (["send", "bob", "2000000mill", "--from", "alice"], 4, "(sdk 5)"),
        (["send", "bob", "1mill", "--from", "alice", "--memo", "x" * 257], 4, "(sdk 12)"),
        (["account", "cosmos1x"], 1, "there is no key"),
        (["tx", "show", "12"], 1, "is not a transaction hash"),
        (["tx", "show", "ab" * 32], 1, "is in no block"),
        (["task", "show", "1"], 1, "there is no task 1"),
        (["task", "show", "0"], 2, "Invalid value for 'ID'"),
        (["task", "list", "--status", "lost"], 2, "'lost' is not one of"),
        (["task", "list", "--limit", "0"], 2, "Invalid value for '--limit'"),
        (["task", "proof", "1"], 2, "Missing option '--output'"),
        (["task", "logs", "1"], 1, "there is no task 1"),
        (["program", "show", "deadbeef"], 1, "there is no program"),
        (["program", "show", "groth17"], 1, "there is no program 'groth17'"),
        (["program", "deprecate", "groth17", "--from", "alice"], 1, "there is no program 'groth17'"),
        (["estimate"], 2, "give --program or -f task.yaml"),
        (["estimate", "--program", "groth17"], 1, "there is no program"),
        (["estimate", "--program", "p", "--cpu", "many"], 2, "is not a number of cores"),
        (["estimate", "--program", "p", "--memory", "1GB"], 2, "is not an amount of memory"),
        (["estimate", "--program", "p", "--time-limit", "soon"], 2, "is not a duration"),
        (["run", "--from", "alice"], 2, "give --program or -f task.yaml"),
        (["run", "--program", "p", "--input", "a", "--from", "alice"], 1, "must be name=FILE or name=URL"),
        (["run", "--program", "p", "--input", "a=x", "--input", "a=y", "--from", "alice"], 1, "the same name"),
        (["run", "--program", "p", "--max-fee", "5mill", "--from", "alice"], 2, "takes ucredit or credit"),
        (["run", "--program", "p", "--output", "/dev/null", "--from", "alice"], 1, "is not an empty folder"),
        (["run", "-f", "/nowhere/task.yaml", "--from", "alice"], 1, "there is no file"),
        (["params", "-o", "xml"], 2, "'xml' is not one of"),
        (["params", "--node", "localhost"], 1, "is not a URL such as"),
        (["params", "--home", "/etc/hostname"], 2, "is a file"),
        (["frobnicate"], 2, "No such command 'frobnicate'"),
        (["completion", "csh"], 2, "'csh' is not one of"),
    ],
)
def test_mistakes(
    mill: Callable[..., Result], untouched: tuple[str, Path], args: list[str], code: int, message: str
) -> None:
    url, folder = untouched
    one_sentence(mill("--node", url, "--home", folder, *args), code, message)


@pytest.mark.parametrize(
    "args",
    [
        ["account", "alice"], ["params"], ["tx", "show", "ab" * 32], ["send", "bob", "1mill", "--from", "alice"],
        ["program", "list"], ["program", "show", "p"], ["task", "list"], ["task", "show", "1"], ["task", "logs", "1"],
        ["estimate", "--program", "p"], ["run", "--program", "p", "--from", "alice"],
        ["credits", "grant", "bob", "1credit", "--from", "alice", "--dry-run"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_unreachable_node(mill: Callable[..., Result], untouched: tuple[str, Path], args: list[str]) -> None:
    one_sentence(mill("--home", untouched[1], *args, "--node", NOBODY), 3, f"the node at {NOBODY} can't be reached")


def test_a_home_without_keys(mill: Callable[..., Result], server: HttpNode, tmp_path: Path) -> None:
    result = mill("send", BOB.address, "1mill", "--node", server.url, "--home", tmp_path / "none")
    one_sentence(result, 1, "make one with mill keys add")


def test_a_dry_run_notices_an_empty_account(mill: Callable[..., Result], server: HttpNode, tmp_path: Path) -> None:
    mill("keys", "add", "new", "--unencrypted", "--home", tmp_path)
    base = ("--node", server.url, "--home", tmp_path, "send", BOB.address, "1umill", "--dry-run")
    one_sentence(mill(*base), 1, "doesn't exist on this chain yet")


def test_options_before_and_after_the_command(
    mill: Callable[..., Result], server: HttpNode, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILL_NODE", NOBODY)
    monkeypatch.setenv("MILL_HOME", str(home))
    assert mill("params").code == 3
    assert mill("--node", server.url, "params").code == 0
    assert mill("--node", NOBODY, "params", "--node", server.url).code == 0
    monkeypatch.setenv("MILL_NODE", server.url)
    monkeypatch.setenv("MILL_FROM", "alice")
    monkeypatch.setenv("MILL_FORMAT", "json")
    assert mill("send", "bob", "1mill").json()["height"] == 1
    assert "MILL" in mill("account", "bob", "-o", "table").out


def test_json_and_yaml_say_the_same(user: Callable[..., Result]) -> None:
    as_json = user("params", "-o", "json").json()
    assert yaml.safe_load(user("params", "-o", "yaml").out) == as_json
    assert as_json["committee_min"] == 10
    assert "cpu_node.resources.cpu_millis" in user("params").out


def test_garbage_in_a_block_is_shown_as_it_failed(user: Callable[..., Result], server: HttpNode) -> None:
    server.node.mempool.append(b"\xff garbage")
    server.node.make_block()
    shown = user("tx", "show", hash_hex(b"\xff garbage"), "-o", "json").json()
    assert (shown["codespace"], shown["code"], shown["messages"]) == ("sdk", 2, [])
    assert "failed: " in user("tx", "show", hash_hex(b"\xff garbage")).out


# Programs and tasks


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    folder.mkdir()

    def image(name: str) -> BuiltImage:
        (folder / name).write_bytes(name.encode())
        return BuiltImage(name, hashlib.sha256(name.encode()).hexdigest(), len(name), "00", ("/run",))

    BuiltProgram(
        name="demo", version="1.0", description="", architecture="amd64", parameters={},
        prover=image("prover.tar"), verifier=image("verifier.tar"),
        default_resources=Resources(1000, 1 << 30, 0), max_resources=Resources(4000, 4 << 30, 0),
        verifier_resources=Resources(500, 1 << 28, 0), verifier_time_limit_s=10, assets=(),
    ).write(folder)  # fmt: skip
    return folder


def test_deploy_uploads_once_and_names_the_program(user: Callable[..., Result], server: HttpNode, built: Path) -> None:
    args = ("program", "deploy", built, "--blob-server", server.url, "--from", "deployer")
    assert user(*args, "--dry-run").code == 0
    assert not server.blobs
    deployed = user(*args, "-o", "json").json()
    assert sorted(server.blobs.values()) == [b"prover.tar", b"verifier.tar"]
    server.blobs.clear()
    one_sentence(user(*args), 4, f"already deployed: use {deployed['program_id']}")
    assert not server.blobs
    listed = user("program", "list", "-o", "json").json()
    assert [(one["id"], one["status"], one["spec"]["name"]) for one in listed] == [
        (deployed["program_id"], "ACTIVE", "demo")
    ]
    assert deployed["program_id"][:16] in user("program", "list", "--deployer", "deployer").out
    assert f"{server.url}/blobs/" in user("program", "show", "demo@1.0").out
    assert user("program", "deprecate", "demo", "--from", "deployer").code == 0
    assert "DEPRECATED" in user("program", "list").out


@pytest.mark.parametrize("program_json", ["", "program.json"])
def test_deploy_from_a_web_server(user: Callable[..., Result], built: Path, program_json: str) -> None:
    base = ("--image-url-base", "https://example.com/p")
    plan = user(
        "program", "deploy", built / program_json, *base, "--from", "deployer", "--dry-run", "-o", "json"
    ).json()
    assert plan["messages"][0]["spec"]["prover"]["urls"] == ["https://example.com/p/prover.tar"]


def test_deploy_from_registries(user: Callable[..., Result], built: Path, server: HttpNode) -> None:
    program = read_program(built)
    config, layer = b"{}", b"layer"
    prover = replace(program.prover, sha256=oci_layout(built / "prover.tar", [layer, layer], config))
    replace(program, prover=replace(prover, bytes=(built / "prover.tar").stat().st_size)).write(built)
    args = ("program", "deploy", built, "--from", "deployer", "--prover-ref", "oci://ghcr.io/me/prover", "-o", "json")
    one_sentence(user(*args), 2, "--prover-ref and --verifier-ref")
    deployed = user(*args, "--blob-server", server.url).json()
    assert list(server.blobs.values()) == [b"verifier.tar"]
    image = user("program", "show", deployed["program_id"], "-o", "json").json()["spec"]["prover"]
    manifest = {"schemaVersion": 2, "config": descriptor(config), "layers": [descriptor(layer)] * 2}
    raw = json.dumps(manifest).encode()
    assert image["urls"] == [f"oci://ghcr.io/me/prover@sha256:{hashlib.sha256(raw).hexdigest()}"]
    assert int(image["bytes"]) == len(raw) + len(config) + len(layer)
    one_sentence(user(*args[:-3], "ghcr.io/me/prover"), 1, "is not oci://HOST")
    one_sentence(user(*args[:-3], f"oci://ghcr.io/me/prover@sha256:{'0' * 64}"), 1, "is not the image that was built")
    one_sentence(user(*args, "--verifier-ref", "oci://ghcr.io/me/verifier"), 1, "is not an OCI image layout")


def test_deploys_that_cannot_be(user: Callable[..., Result], built: Path, tmp_path: Path) -> None:
    one_sentence(user("program", "deploy", built, "--from", "deployer"), 2, "--image-url-base or --blob-server")
    one_sentence(user("program", "deploy", tmp_path / "none", "--from", "deployer"), 2, "does not exist")
    base = ("--image-url-base", "https://example.com/p", "--from", "deployer")
    unreachable = user("program", "deploy", built, "--blob-server", NOBODY, "--from", "deployer")
    assert unreachable.code == 1
    assert unreachable.err.endswith("can't be reached: All connection attempts failed\n")
    one_sentence(
        user("program", "deploy", built, "--image-url-base", "example.com", "--from", "bob"), 1, "is not a URL"
    )
    (built / "prover.tar").write_bytes(b"changed")
    one_sentence(user("program", "deploy", built, *base), 1, "build the program again")
    (built / "program.json").write_text("{}")
    one_sentence(user("program", "deploy", built, *base), 1, "is not a proofmill.program")
    one_sentence(user("program", "build", tmp_path / "none"), 2, "does not exist")
    one_sentence(user("program", "build", tmp_path, "--set", "x"), 1, "must be NAME=VALUE")
    one_sentence(user("program", "build", tmp_path), 1, "program.yaml does not exist")


def test_estimate(user: Callable[..., Result], server: HttpNode) -> None:
    deploy(server.node.network)
    args = ("estimate", "--program", "groth16", "--cpu", "1", "--memory", "2GiB", "--time-limit", "10s")
    assert user(*args, "-o", "json").json()["fee"] == 18
    assert "0.000018 credits (18 ucredit)" in user(*args).out
    one_sentence(user("estimate", "--program", "groth16", "--cpu", "64"), 1, "(task 10)")


def test_a_run_states_what_was_asked_for(user: Callable[..., Result], server: HttpNode, tmp_path: Path) -> None:
    deploy(server.node.network)
    for name, data in (("p.json", b"{}"), ("w.json", b"w"), ("big", b"x" * 20_000)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "task.yaml").write_text(
        "program: groth16\ninputs:\n  - {name: p, file: p.json}\n  - {name: w, file: gone, audience: prover}\n"
        "time_limit: 10s\nmax_fee: 1credit\n"
    )
    args = (
        "run", "-f", tmp_path / "task.yaml", "--input", f"w={tmp_path}/w.json:prover", "--input", f"big={tmp_path}/big",
        "--blob-server", server.url, "--cpu", "2", "--time-limit", "20s", "--from", "alice",
    )  # fmt: skip
    message = user(*args, "--dry-run", "-o", "json").json()["messages"][0]
    assert not server.blobs
    assert [(one["name"], one["audience"], one["inline"] != "") for one in message["inputs"]] == [
        ("p", "BOTH", True), ("w", "PROVER", True), ("big", "BOTH", False)
    ]  # fmt: skip
    # What an option leaves open is the program's default.
    assert message["resources"] == {"cpu_millis": 2000, "memory_bytes": 2 << 30, "gpus": 0}
    assert (message["time_limit_s"], message["max_fee"], message["queue_timeout_s"]) == (20, 1_000_000, 600)
    started = user(*args, "-o", "json").json()
    assert started["task_id"] == 1
    assert list(server.blobs.values()) == [b"x" * 20_000]
    shown = user("task", "show", 1, "-o", "json").json()
    assert shown["task"]["progress"]["status"] == "PENDING"
    assert [one["name"] for one in shown["steps"]] == ["created"]


def test_runs_that_cannot_be(user: Callable[..., Result], server: HttpNode, tmp_path: Path) -> None:
    program_id = deploy(server.node.network).hex()
    (tmp_path / "big").write_bytes(bytes(20_000))
    args = ("run", "--program", program_id, "--from", "alice")
    one_sentence(user(*args, "--input", f"a={tmp_path}/big"), 1, "20000 bytes", "16384", "--blob-server")
    one_sentence(user(*args, "--input", f"a={tmp_path}/none"), 1, "can't be read: No such file")
    one_sentence(user(*args, "--input", f"a={NOBODY}/x"), 1, "can't be read")
    one_sentence(user(*args, "--input", "../a=/dev/null"), 4, "(task 3)")
    one_sentence(user(*args, "--max-fee", "1ucredit"), 4, "(task 4)")
    one_sentence(user(*args, "--cpu", "64", "--max-fee", "1credit"), 4, "(task 10)")
    one_sentence(user(*args, "--time-limit", "9999d", "--max-fee", "1credit"), 4, "(task 3)")
    assert server.node.calls["broadcast_tx_sync"] == 0


def test_a_run_is_followed_to_its_proof(user: Callable[..., Result], server: HttpNode, tmp_path: Path) -> None:
    deploy(server.node.network)
    with network_at_work(server, 1):
        result = user(
            "run", "--program", "groth16", "--from", "alice", "--output", tmp_path / "proof", "-o", "json"
        )  # fmt: skip
    assert result.code == 0
    assert (tmp_path / "proof" / "proof.bin").read_bytes() == b"hello"
    ended = result.json()
    assert (ended["task"]["progress"]["status"], ended["files"]) == ("DONE", ["proof.bin"])
    told = [line.split()[4] for line in result.err.splitlines() if "height" in line]
    assert told == [one["name"] for one in ended["steps"]]
    assert (told[0], told[-1]) == ("created", "ended")
    assert all(one["time"] for one in ended["steps"])
    table = user("task", "show", 1).out
    for part in ("committee of round 1", "for a valid proof", "verdict VALID: 2 valid of 2", "proof.tar", "DONE"):
        assert part in table
    assert user("task", "list", "--user", "alice", "--status", "done", "-o", "json").json()[0]["task"]["id"] == 1
    assert user("task", "list", "--status", "failed").out.splitlines()[1:] == []
    assert user("task", "watch", 1).code == 0
    assert user("task", "proof", 1, "--output", tmp_path / "again").out == "proof.bin\n"
    one_sentence(user("task", "proof", 1, "--output", tmp_path / "again"), 1, "is not an empty folder")


def test_a_task_without_a_valid_proof_has_its_own_exit_code(user: Callable[..., Result], server: HttpNode) -> None:
    deploy(server.node.network)
    with network_at_work(server, 1, verdict=VERDICT_INVALID):
        result = user("run", "--program", "groth16", "--from", "alice", "--wait")
    assert result.code == 5
    assert result.err.splitlines()[-1].startswith("mill: task 1 ended FAILED: ")
    assert "verdict INVALID" in result.out
    assert "FAILED: the fallback failed too" in result.out
    assert user("task", "watch", 1).code == 5


def test_logs_come_from_the_prover(user: Callable[..., Result], server: HttpNode) -> None:
    deploy(server.node.network)
    assert user("run", "--program", "groth16", "--from", "alice").code == 0
    one_sentence(user("task", "logs", 1), 1, "no logs yet: no prover has it")
    step(server.node, 1)
    one_sentence(user("task", "logs", 1), 1, "the logs of task 1 aren't available")


def test_every_message_has_a_command() -> None:
    by_hand = {
        "MsgSend", "MsgGrantCredits", "MsgDeployProgram", "MsgDeprecateProgram", "MsgRunTask", "MsgCancelTask",
        "MsgUpdateParams",
    }  # fmt: skip
    by_daemon = {
        "MsgAcceptTasks", "MsgDeclineTasks", "MsgCommitProofs", "MsgSubmitProofs", "MsgReportFailure", "MsgVotes",
    }  # fmt: skip
    by_operator = {"MsgRegisterProver", "MsgUpdateProver", "MsgTopUpBond", "MsgExitProver", "MsgRequestTest"}
    assert {kind.DESCRIPTOR.name for kind in MESSAGE_TYPES.values()} == by_hand | by_daemon | by_operator


def test_help_and_version(mill: Callable[..., Result]) -> None:
    assert mill("--version").out.startswith("mill ")
    text = mill("--help").out
    for name, (_, line) in _COMMANDS.items():
        assert f"  {name} " in text
        assert line in text
        assert mill(name, "--help").code == 0
    assert "Exit codes" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(mill: Callable[..., Result], shell: str) -> None:
    assert "_MILL_COMPLETE" in mill("completion", shell).out
