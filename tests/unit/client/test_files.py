"""Files on their way to and from the network: inputs, uploads, bundles that can't be trusted, task files, deploys."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from client.blobs import BlobError, Digest, download, fetch_text, file_digest, upload, url_digest
from client.deploy import blob_urls, program_spec, upload_files, urls_below
from client.errors import ClientError, InvalidInput
from client.inputs import InputSpec, parse_input, resolve_inputs
from client.program.description import BuiltAsset, BuiltImage, BuiltProgram
from client.program.manifest import Resources
from client.proofs import ProofError, check_target, unpack_proof
from client.task_file import load_task_file
from tests.support.bundles import make_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[3]
SERVER = "http://blobs"


def serving(files: dict[str, bytes]) -> httpx.AsyncClient:
    """A web server with these files by path; PUT adds one."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            files[request.url.path] = request.content
            return httpx.Response(201)
        data = files.get(request.url.path)
        return httpx.Response(404) if data is None else httpx.Response(200, stream=httpx.ByteStream(data))

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def digest(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).digest(), len(data))


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("a=w.json", InputSpec("a", "both", file=Path("w.json"))),
        ("a=w.json:prover", InputSpec("a", "prover", file=Path("w.json"))),
        ("a=dir:x/w.json", InputSpec("a", "both", file=Path("dir:x/w.json"))),
        ("a=https://h:1/w:verifier", InputSpec("a", "verifier", url="https://h:1/w")),
        ("a=https://h/w=1", InputSpec("a", "both", url="https://h/w=1")),
    ],
)
def test_inputs_are_parsed(text: str, spec: InputSpec) -> None:
    assert parse_input(text) == spec


@pytest.mark.parametrize("text", ["", "a", "a=", "=x"])
def test_inputs_without_name_or_source(text: str) -> None:
    with pytest.raises(InvalidInput, match="must be name=FILE or name=URL"):
        parse_input(text)


async def test_small_files_go_inline_and_large_ones_to_the_server(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    small, large = write(tmp_path / "small", b"1234"), write(tmp_path / "large", b"12345")
    specs = [InputSpec("s", "prover", file=small), InputSpec("l", file=large)]
    async with serving(files) as http:
        found = await resolve_inputs(specs, http=http, inline_max=4, blob_server=SERVER + "/", publish=True)
    sha256 = hashlib.sha256(b"12345").hexdigest()
    assert (found[0].inline, list(found[0].urls), found[0].size) == (b"1234", [], 4)
    assert (found[1].inline, list(found[1].urls), found[1].size) == (b"", [f"{SERVER}/blobs/{sha256}"], 5)
    assert files == {f"/blobs/{sha256}": b"12345"}


async def test_nothing_is_uploaded_unless_published(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    spec = InputSpec("l", file=write(tmp_path / "large", b"12345"))
    async with serving(files) as http:
        found = await resolve_inputs([spec], http=http, inline_max=4, blob_server=SERVER, publish=False)
    assert list(found[0].urls) == [f"{SERVER}/blobs/{found[0].sha256.hex()}"]
    assert not files


async def test_large_files_need_a_server(tmp_path: Path) -> None:
    spec = InputSpec("l", file=write(tmp_path / "large", b"12345"))
    async with serving({}) as http:
        with pytest.raises(InvalidInput, match=r"the input l has 5 bytes, and only 4 fit .* --blob-server"):
            await resolve_inputs([spec], http=http, inline_max=4, blob_server=None, publish=True)


async def test_urls_are_read_once_to_learn_their_hash() -> None:
    async with serving({"/w": b"data"}) as http:
        specs = [InputSpec("w", url="http://h/w"), InputSpec("k", url="http://h/gone", sha256=bytes(32), size=9)]
        found = await resolve_inputs(specs, http=http, inline_max=4, blob_server=None, publish=True)
    assert (found[0].sha256, found[0].size) == (digest(b"data").sha256, 4)
    assert (found[1].sha256, found[1].size) == (bytes(32), 9)


async def test_a_stated_hash_is_checked_when_the_size_has_to_be_learned() -> None:
    async with serving({"/w": b"data"}) as http:
        with pytest.raises(InvalidInput, match="has another sha256 than the one given"):
            await resolve_inputs(
                [InputSpec("w", url="http://h/w", sha256=bytes(32))],
                http=http, inline_max=4, blob_server=None, publish=True,
            )  # fmt: skip


async def test_unreadable_inputs(tmp_path: Path) -> None:
    async with serving({}) as http:
        with pytest.raises(BlobError, match="http://h/w can't be read: HTTP status 404"):
            await url_digest(http, "http://h/w")
        for path in (tmp_path / "nothing", tmp_path):
            with pytest.raises(InvalidInput, match="can't be read"):
                file_digest(path)


async def test_uploads_that_fail_name_the_server(tmp_path: Path) -> None:
    path = write(tmp_path / "f", b"x")

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(507, text="disk full")

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as http:
        with pytest.raises(BlobError, match="refused f: HTTP status 507, disk full"):
            await upload(http, SERVER, path)
    async with httpx.AsyncClient() as http:
        with pytest.raises(BlobError, match="can't be reached"):
            await upload(http, "http://127.0.0.1:9", path)
        with pytest.raises(InvalidInput, match="is not a URL"):
            await upload(http, "blobs", path)


async def test_downloads_go_on_to_the_next_place(tmp_path: Path) -> None:
    async with serving({"/bad": b"oops", "/long": b"datas", "/good": b"data"}) as http:
        urls = ["http://h/gone", "http://h/bad", "http://h/long", "http://h/good"]
        assert await download(http, urls, digest(b"data"), tmp_path / "out") == "http://h/good"
        with pytest.raises(BlobError) as caught:
            await download(http, urls[:-1], digest(b"data"), tmp_path / "other")
    assert (tmp_path / "out").read_bytes() == b"data"
    for reason in ("404", "larger than", "sha256"):
        assert reason in str(caught.value)


async def test_nowhere_to_download_from(tmp_path: Path) -> None:
    async with serving({}) as http:
        with pytest.raises(BlobError, match="no URL"):
            await download(http, [], digest(b""), tmp_path / "out")
        with pytest.raises(BlobError, match="nobody publishes it"):
            await fetch_text(http, [], 10)


async def test_urls_that_are_none(tmp_path: Path) -> None:
    async with httpx.AsyncClient() as http:
        for url in ("nonsense", "ftp://h/x", "http://", "http://[", "file:///etc/passwd"):
            with pytest.raises(BlobError):
                await download(http, [url], digest(b""), tmp_path / "out")
            with pytest.raises(BlobError):
                await url_digest(http, url)
            with pytest.raises(BlobError):
                await fetch_text(http, [url], 1)


async def test_texts_are_cut_off_and_may_be_any_bytes() -> None:
    async with serving({"/log": b"\xff" + b"x" * 100}) as http:
        assert await fetch_text(http, ["http://h/gone", "http://h/log"], 5) == "\ufffdxxxx"


def bundle(path: Path, *members: tarfile.TarInfo, content: bytes = b"hello") -> Path:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for member in members:
            if member.isreg():
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info


def test_bundles_are_unpacked(tmp_path: Path) -> None:
    path = write(tmp_path / "b.tar", make_bundle({"a/proof.bin": b"hello", "z": b"hello"}))
    assert unpack_proof(path, tmp_path / "new" / "out") == ("a/proof.bin", "z")
    assert (tmp_path / "new/out/a/proof.bin").read_bytes() == b"hello"


@pytest.mark.parametrize(
    "hostile",
    [
        member("../evil"),
        member("/evil"),
        member("a/../../evil"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.LNKTYPE, "proof"),
        member("device", tarfile.CHRTYPE),
        member("fifo", tarfile.FIFOTYPE),
        member("sparse", tarfile.GNUTYPE_SPARSE),
    ],
    ids=lambda info: info.name,
)
def test_hostile_bundles_leave_nothing(tmp_path: Path, hostile: tarfile.TarInfo) -> None:
    (tmp_path / "w").mkdir()
    path = bundle(tmp_path / "b.tar", member("proof"), hostile)
    with pytest.raises(ProofError):
        unpack_proof(path, tmp_path / "w" / "out")
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["b.tar", "w"]


@pytest.mark.parametrize("data", [b"", b"not a tar", b"\x1f\x8b" + bytes(600)])
def test_what_is_no_bundle(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ProofError, match="not a proof as provers pack it"):
        unpack_proof(write(tmp_path / "b.tar", data), tmp_path / "out")


def test_targets_that_hold_something(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty")
    check_target(tmp_path / "new")
    write(tmp_path / "full" / "file", b"")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for target in (tmp_path / "full", tmp_path / "full" / "file", tmp_path / "link"):
        with pytest.raises(InvalidInput, match="is not an empty folder"):
            check_target(target)


def test_task_files(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(
        "program: groth16@1.0.0\n"
        "inputs:\n"
        "  - {name: public.json, file: p.json}\n"
        f"  - {{name: w, url: 'https://h/w', sha256: {'ab' * 32}, size: 7, audience: prover}}\n"
        "resources: {cpu: 500m, memory: 1GiB}\n"
        "time_limit: 5m\nqueue_timeout: 1h\nmax_fee: 0.5credits\n"
    )
    request = load_task_file(path)
    assert request.program == "groth16@1.0.0"
    assert request.inputs == (
        InputSpec("public.json", file=tmp_path / "p.json"),
        InputSpec("w", "prover", url="https://h/w", sha256=bytes.fromhex("ab" * 32), size=7),
    )
    assert request.resources is not None
    assert (request.resources.cpu_millis, request.resources.memory_bytes, request.resources.gpus) == (500, 1 << 30, 0)
    assert (request.time_limit_s, request.queue_timeout_s, request.max_fee) == (300, 3600, 500_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("[", "not YAML"),
        ("inputs: []", "needs the key program"),
        ("program: p\ntimelimit: 5", ":2: timelimit: is not a known key: did you mean time_limit"),
        ("program: p\ntime_limit: soon", ":2: time_limit: 'soon' is not a duration"),
        ("program: p\nmax_fee: 5mill", "fees are paid in credits"),
        ("program: p\nmax_fee: 5", "is not an amount"),
        ("program: p\nresources: {cpu: 0, memory: 1GiB}", "must be more than zero"),
        ("program: p\ninputs: [{name: a}]", "must have either file or url"),
        ("program: p\ninputs: [{name: a, file: f, url: u}]", "must have either file or url"),
        ("program: p\ninputs: [{name: a, file: f, sha256: x}]", "only for a url"),
        ("program: p\ninputs: [{name: a, url: u, sha256: x}]", "64 lower-case hexadecimal digits"),
        ("program: p\ninputs: [{name: a, file: f, audience: all}]", "must be one of prover, verifier, both"),
    ],
)
def test_wrong_task_files_say_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(text)
    with pytest.raises(ClientError) as caught:
        load_task_file(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_example_of_a_task_file_can_be_run() -> None:
    folder = ROOT / "programs" / "groth16"
    request = load_task_file(folder / "example" / "task.yaml")
    assert f"name: {request.program}\n" in (folder / "program.yaml").read_text()
    assert [(one.name, one.audience) for one in request.inputs] == [("public.json", "both"), ("witness.json", "prover")]
    assert all(one.file is not None and one.file.is_file() for one in request.inputs)


def test_a_task_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no file"):
        load_task_file(tmp_path / "task.yaml")


def built(data: Callable[[str], bytes] = str.encode) -> BuiltProgram:
    def image(name: str) -> BuiltImage:
        content = data(name)
        return BuiltImage(name, hashlib.sha256(content).hexdigest(), len(content), "00", ("/run", "--fast"))

    made = digest(data("assets/key"))
    return BuiltProgram(
        name="p", version="1", description="", architecture="amd64", parameters={},
        prover=image("prover.tar"), verifier=image("verifier.tar"),
        default_resources=Resources(1000, 1 << 30, 0), max_resources=Resources(2000, 2 << 30, 1),
        verifier_resources=Resources(500, 1 << 28, 0), verifier_time_limit_s=10,
        assets=(
            BuiltAsset("key", "prover", made.sha256.hex(), made.size, (), "assets/key"),
            BuiltAsset("srs", "both", "cd" * 32, 5, ("https://h/srs",), ""),
        ),
    )  # fmt: skip


def test_a_spec_states_what_was_built_and_where_it_is() -> None:
    spec = program_spec(built(), urls_below(built(), "https://h/p/"))
    assert list(spec.prover.urls) == ["https://h/p/prover.tar"]
    assert spec.prover.sha256 == hashlib.sha256(b"prover.tar").digest()
    assert list(spec.prover.command) == ["/run", "--fast"]
    assert [list(asset.urls) for asset in spec.assets] == [["https://h/p/assets/key"], ["https://h/srs"]]
    assert (spec.max_resources.gpus, spec.verifier_time_limit_s) == (1, 10)


async def test_a_programs_files_are_uploaded_under_their_hashes(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for name in built().files():
        write(tmp_path / name, name.encode())
    async with serving(files) as http:
        await upload_files(http, SERVER, tmp_path, built().files())
    assert sorted(f"{SERVER}{path}" for path in files) == sorted(blob_urls(built(), SERVER).values())


async def test_a_file_that_changed_is_not_deployed(tmp_path: Path) -> None:
    for name in built().files():
        write(tmp_path / name, b"changed")
    async with serving({}) as http:
        with pytest.raises(InvalidInput, match="changed while it was uploaded"):
            await upload_files(http, SERVER, tmp_path, built().files())
