"""Prover daemons that copy their proofs to a real S3 server: what the chain and the committee see of it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE
from proofmill.verification.v1.state_pb2 import Vote

from prover_node.settings import PublishSettings, Settings
from tests.support.behave_program import build_behave
from tests.support.image_archives import file, image_config, oci_layout, tar
from tests.support.prover_bench import Bench
from tests.support.prover_nodes import ProverNodes, processes_of
from tests.support.s3_server import NoS3ServerError, S3Server, s3_server

BUCKET = "proofs"
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Place:
    """An S3 server, and the site at which everybody can read its bucket."""

    s3: S3Server
    site: str


class Quiet(SimpleHTTPRequestHandler):
    """A bucket's public face."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Not to the terminal."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    try:
        with s3_server(tmp_path_factory.mktemp("s3"), BUCKET) as s3:
            handler = functools.partial(Quiet, directory=str(s3.bucket))
            with ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
                thread = threading.Thread(target=site.serve_forever)
                thread.start()
                yield Place(s3, f"http://127.0.0.1:{site.server_port}")
                site.shutdown()
                thread.join()
    except NoS3ServerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def behave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layer = tar([file("behave", build_behave(tmp_path_factory.mktemp("behave")), 0o755)])
    path = tmp_path_factory.mktemp("image") / "image.tar"
    oci_layout(path, [layer], image_config([layer], {"Entrypoint": ["/behave"]}))
    return path


def copying(place: Place, folder: str, options: Path, *, alone: bool, wait_ms: int) -> Callable[[Settings], Settings]:
    """Settings of a node that copies its proofs to ``folder``; nobody can reach its server if they stand ``alone``."""

    def change(settings: Settings) -> Settings:
        publish = PublishSettings(
            push_url=f"s3://{BUCKET}/{folder}",
            public_url=f"{place.site}/{folder}",
            options_file=str(options),
            wait_ms=wait_ms,
        )
        http = replace(settings.http, listen="127.0.0.1:0", endpoints=[NOWHERE]) if alone else settings.http
        return replace(settings, publish=publish, http=http)

    return change


def urls(answer: QueryTaskResponse) -> list[str]:
    return list(answer.assignments[0].proof.urls)


def test_the_committee_has_the_proof_from_the_bucket_when_the_prover_cannot_be_reached(
    bwrap: Path, behave: Path, place: Place, tmp_path: Path
) -> None:
    options = tmp_path / "s3.toml"
    options.write_text(place.s3.options())
    options.chmod(0o600)
    settings = copying(place, "made", options, alone=True, wait_ms=10_000)
    with ProverNodes(tmp_path, configure=settings) as nodes:
        bench = Bench(nodes, behave)
        answer = nodes.ended(bench.run(bench.behaving("ok")))
        assert answer.task.progress.status == TASK_STATUS_DONE, nodes.tails()
        digest = answer.assignments[0].proof.sha256.hex()
        assert urls(answer) == [f"{NOWHERE}/blobs/{digest}", f"{place.site}/made/{digest}"]
        assert votes(answer)
        assert (place.s3.bucket / "made" / digest).stat().st_size == answer.assignments[0].proof.size
        prover = nodes.first_to_log(r'"a proof was copied"', dict.fromkeys(range(nodes.count), 0))

        # What was copied is known at the next start without being sent again.
        nodes.stop(prover)
        (place.s3.bucket / "made" / digest).touch()
        touched = (place.s3.bucket / "made" / digest).stat().st_mtime_ns
        since = len(nodes.log(prover))
        nodes.start(prover)
        nodes.wait(lambda: nodes.seen(prover, '"a proof was copied"', since=since), "the copy is known")
        assert (place.s3.bucket / "made" / digest).stat().st_mtime_ns == touched


def votes(answer: QueryTaskResponse) -> list[Vote]:
    found = [vote for one in answer.rounds for vote in one.votes]
    assert all(vote.revealed_height for vote in found)
    return found


def test_a_proof_does_not_wait_for_a_bucket_that_refuses_it_and_nobody_is_told_the_secret(
    bwrap: Path, behave: Path, place: Place, tmp_path: Path
) -> None:
    options = tmp_path / "s3.toml"
    secret = "0123456789abcdef0123456789abcdef"
    options.write_text(place.s3.options(secret=secret))
    options.chmod(0o600)
    with ProverNodes(tmp_path, configure=copying(place, "refused", options, alone=False, wait_ms=200)) as nodes:
        bench = Bench(nodes, behave)
        answer = nodes.ended(bench.run(bench.behaving("ok")))
        assert answer.task.progress.status == TASK_STATUS_DONE, nodes.tails()
        (url,) = urls(answer)
        assert not url.startswith(place.site)
        prover = next(index for index in range(nodes.count) if f":{nodes.ports[index]}/" in url)
        nodes.wait(lambda: nodes.seen(prover, 'signature.*"a proof can\'t be copied yet"'), "the refusal is told")
        assert nodes.seen(prover, '"a proof is submitted before its copy is there"')

        (process,) = processes_of(str(nodes.home(prover).root).encode())
        seen_by_others = Path(f"/proc/{process}/cmdline").read_bytes() + nodes.home(prover).config.read_bytes()
        logs = b"".join(path.read_bytes() for path in tmp_path.glob("prover*.*"))
        for hidden in (secret, place.s3.key):
            assert hidden.encode() not in seen_by_others + logs

        # Its operator repairs it.
        options.write_text(place.s3.options())
        assert nodes.stop(prover) == 0
        nodes.start(prover)
        digest = answer.assignments[0].proof.sha256.hex()
        nodes.wait((place.s3.bucket / "refused" / digest).is_file, "the copy is there in the end")


def test_a_daemon_whose_options_others_can_read_does_not_start(bwrap: Path, place: Place, tmp_path: Path) -> None:
    options = tmp_path / "s3.toml"
    options.write_text(place.s3.options())
    options.chmod(0o644)
    settings = copying(place, "refused", options, alone=False, wait_ms=200)
    with ProverNodes(tmp_path, 1, configure=settings) as nodes:
        nodes.wait(lambda: bool((tmp_path / "prover0.stderr").read_text()), "the daemon says why")
        said = (tmp_path / "prover0.stderr").read_text()
    assert said.startswith(f"mill: {options} can be read by others (mode 0644): run chmod 600")
    assert place.s3.secret not in said
