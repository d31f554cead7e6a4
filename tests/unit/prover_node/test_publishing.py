"""Proofs get to where the operator wants them, whatever is wrong for a while, and submissions don't wait for it."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from client.errors import ClientError
from prover_node.publishing import Publishing
from prover_node.push_target import PushTarget, read_options, secrets_in
from prover_node.settings import PublishSettings, SettingsError
from prover_node.storage import BlobStore

PROOF = b"a proof bundle" * 1000
DIGEST = hashlib.sha256(PROOF).hexdigest()
LONG_MS = 3_600_000
PATIENCE_S = 30.0


class Files:
    """A server of a folder to which proofs can be copied, behind which it may be that nobody gets them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.writable = True
        self.readable = True
        self.put_with: list[str | None] = []

    async def put(self, request: web.Request) -> web.Response:
        self.put_with.append(request.headers.get("Authorization"))
        if not self.writable:
            return web.Response(status=403, text="not you")
        (self.folder / request.match_info["name"]).write_bytes(await request.read())
        return web.Response(status=201)

    async def get(self, request: web.Request) -> web.StreamResponse:
        path = self.folder / request.match_info["name"]
        if not path.is_file() or ("Range" in request.headers and not self.readable):
            return web.Response(status=404)
        return web.FileResponse(path)


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    served = Files(tmp_path / "served")
    served.folder.mkdir()
    app = web.Application(client_max_size=1 << 20)
    app.router.add_put("/{name}", served.put)
    app.router.add_get("/{name}", served.get)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


@pytest.fixture
async def store(tmp_path: Path) -> BlobStore:
    made = BlobStore(tmp_path / "blobs", 1 << 20)
    async with made.receive(DIGEST, len(PROOF)) as sink:
        sink.write(PROOF)
    return made


@asynccontextmanager
async def publishing(settings: PublishSettings, home: Path, store: BlobStore) -> AsyncIterator[Publishing]:
    made = Publishing(settings, home, store)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - there is nothing to wait for
            await asyncio.sleep(0.01)


def by_file(files: Files, wait_ms: int = 10_000) -> PublishSettings:
    return PublishSettings(push_url=f"file://{files.folder}", public_url=f"{files.url}/", wait_ms=wait_ms)


async def test_a_proof_is_copied_to_a_folder_and_its_url_is_named(
    files: Files, tmp_path: Path, store: BlobStore
) -> None:
    async with publishing(by_file(files), tmp_path, store) as made:
        assert made.urls(DIGEST) == ()
        made.add(DIGEST)
        made.add(DIGEST)
        assert made.waiting == 1
        await made.wait(DIGEST, LONG_MS)
        assert made.urls(DIGEST) == (f"{files.url}/{DIGEST}",)
        assert made.waiting == 0
    assert [path.name for path in files.folder.iterdir()] == [DIGEST]
    assert (files.folder / DIGEST).read_bytes() == PROOF


async def test_a_proof_is_put_to_a_web_server_with_the_operators_authorization(
    files: Files, tmp_path: Path, store: BlobStore
) -> None:
    options = tmp_path / "push.toml"
    options.write_text('[headers]\nAuthorization = "Bearer of-secrets"\n')
    options.chmod(0o600)
    settings = PublishSettings(push_url=files.url, public_url=files.url, options_file="push.toml", wait_ms=10_000)
    async with publishing(settings, tmp_path, store) as made:
        made.add(DIGEST)
        await made.wait(DIGEST, LONG_MS)
        assert made.urls(DIGEST) == (f"{files.url}/{DIGEST}",)
    assert (files.folder / DIGEST).read_bytes() == PROOF
    assert files.put_with == ["Bearer of-secrets"]


async def test_what_is_there_already_is_not_sent_again(files: Files, tmp_path: Path, store: BlobStore) -> None:
    (files.folder / DIGEST).write_bytes(PROOF)
    settings = PublishSettings(push_url=files.url, public_url=files.url, wait_ms=10_000)
    async with publishing(settings, tmp_path, store) as made:
        made.add(DIGEST)
        await made.wait(DIGEST, LONG_MS)
        assert made.urls(DIGEST)
    assert files.put_with == []


async def test_it_is_tried_until_the_place_takes_it_and_secrets_are_not_told(
    files: Files, tmp_path: Path, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prover_node.publishing._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("prover_node.push_target.PushTarget.ensure", telling(PushTarget.ensure))
    options = tmp_path / "push.toml"
    options.write_text('[headers]\nAuthorization = "Bearer of-secrets"\n')
    options.chmod(0o600)
    settings = PublishSettings(push_url=files.url, public_url=files.url, options_file="push.toml")
    files.writable = False
    with capture_logs() as told:
        async with publishing(settings, tmp_path, store) as made:
            made.add(DIGEST)
            await until(lambda: len(files.put_with) >= 3)
            assert made.urls(DIGEST) == ()
            files.writable = True
            await until(lambda: made.urls(DIGEST))
    reasons = [line["reason"] for line in told if line["event"] == "a proof can't be copied yet"]
    assert len(reasons) >= 3
    assert all("403" in reason and "with …" in reason for reason in reasons), reasons
    assert "of-secrets" not in str(told)


def telling(ensure: Callable[[PushTarget, Path, str, int], None]) -> Callable[[PushTarget, Path, str, int], None]:
    """A file system that tells more than it should when it fails."""

    def tell(target: PushTarget, path: Path, name: str, size: int) -> None:
        try:
            ensure(target, path, name, size)
        except Exception as error:
            raise OSError(f"{error} with Bearer of-secrets") from error

    return tell


async def test_a_copy_that_nobody_can_fetch_is_not_named(
    files: Files, tmp_path: Path, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prover_node.publishing._FIRST_PAUSE_S", 0.01)
    files.readable = False
    with capture_logs() as told:
        async with publishing(by_file(files), tmp_path, store) as made:
            made.add(DIGEST)
            await until(lambda: any("is publish.public_url right" in str(line.get("reason")) for line in told))
            assert made.urls(DIGEST) == ()
            files.readable = True
            await until(lambda: made.urls(DIGEST))


@pytest.mark.parametrize(("wait_ms", "spare_ms"), [(1, LONG_MS), (10_000, 8), (10_000, 0), (0, LONG_MS)])
async def test_a_submission_waits_no_longer_than_it_may(
    files: Files, tmp_path: Path, store: BlobStore, wait_ms: int, spare_ms: int
) -> None:
    made = Publishing(by_file(files, wait_ms), tmp_path, store)
    made.add(DIGEST)
    async with asyncio.timeout(PATIENCE_S):
        await made.wait(DIGEST, spare_ms)
    assert made.urls(DIGEST) == ()


async def test_nothing_is_copied_and_nothing_waits_where_no_place_is_configured(
    tmp_path: Path, store: BlobStore
) -> None:
    async with publishing(PublishSettings(), tmp_path, store) as made:
        made.add(DIGEST)
        await made.wait(DIGEST, LONG_MS)
        assert (made.urls(DIGEST), made.waiting) == ((), 0)


async def test_a_proof_that_is_gone_is_given_up(
    files: Files, tmp_path: Path, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prover_node.publishing._FIRST_PAUSE_S", 0.01)
    settings = PublishSettings(push_url=files.url, public_url=files.url)
    files.writable = False
    async with publishing(settings, tmp_path, store) as made:
        made.add(DIGEST)
        await until(lambda: files.put_with)
        store.path(DIGEST).unlink()
        await until(lambda: made.waiting == 0)


def test_a_place_that_cannot_be_written_to_is_refused_at_the_start() -> None:
    for url, why in (
        ("memory://proofs", "what is in this process's memory is gone with it"),
        ("nonsense://proofs", "can't be used"),
        ("gs://bucket", r"needs a package that isn't installed .*gcsfs"),
    ):
        with pytest.raises(ClientError, match=why):
            PushTarget(url, {})


def test_options_that_others_can_read_or_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "push.toml"
    with pytest.raises(ClientError, match="there is no file"):
        read_options(path)
    path.write_text('key = "a"')
    path.chmod(0o640)
    with pytest.raises(ClientError, match=r"can be read by others .* chmod 600"):
        read_options(path)
    path.chmod(0o600)
    assert read_options(path) == {"key": "a"}
    path.write_text("key = a")
    with pytest.raises(ClientError, match="can't be read as TOML"):
        read_options(path)


def test_secrets_are_told_from_addresses_and_short_words() -> None:
    options = {"key": "AKIAKEYKEYKEY", "client_kwargs": {"endpoint_url": "https://s3.example", "region_name": "eu"}}
    assert list(secrets_in(options)) == ["AKIAKEYKEYKEY"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"push_url": "s3://bucket"}, "go together"),
        ({"public_url": "https://x"}, "go together"),
        ({"push_url": "/srv/proofs", "public_url": "https://x"}, "must be a URL such as s3://bucket/proofs"),
        ({"push_url": "s3://key:secret@bucket", "public_url": "https://x"}, "holds credentials"),
        ({"push_url": "https://x/?token=1", "public_url": "https://x"}, "holds credentials"),
        ({"push_url": "s3://bucket", "public_url": "s3://bucket"}, "is not a URL"),
        ({"push_url": "s3://bucket", "public_url": "https://x/ä"}, "printable ASCII"),
        ({"push_url": "s3://bucket", "public_url": "https://x/" + "a" * 1900}, "at most 1900"),
        ({"wait_ms": 10_001}, "must be 0 to 10000"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, object], why: str) -> None:
    with pytest.raises(ClientError, match=re.escape(why)) as caught:
        PublishSettings(**values)  # type: ignore[arg-type]
    assert isinstance(caught.value, SettingsError) or "is not a URL" in why
