"""`mill` in this process, as a user meets it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from proofmill.task.v1.state_pb2 import VERDICT_VALID, Verdict

from client.keys.keystore import KeyStore
from client.keys.private_key import PrivateKey
from tests.support.bundles import BUNDLED, make_bundle
from tests.support.network import ALICE, AUTHORITY, BOB, DEPLOYER
from tests.support.small_life import is_final, step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.http_node import HttpNode

USERS = (ALICE, AUTHORITY, BOB, DEPLOYER)


class Result(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def make_home(folder: Path) -> Path:
    """A user's home with plain keys of everybody."""
    store = KeyStore(folder / "keys", log_n=4)
    for user in USERS:
        key = PrivateKey(hashlib.sha256(user.name.encode()).digest())
        assert key.address == user.address
        store.add(user.name, key, None)
    return folder


def one_sentence(result: Result, code: int, *parts: str) -> None:
    assert result.code == code, result
    assert result.out == ""
    assert result.err.startswith("mill: ")
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    for part in parts:
        assert part in result.err


@contextmanager
def network_at_work(server: HttpNode, task_id: int, *, verdict: Verdict = VERDICT_VALID) -> Iterator[None]:
    """Blocks at a pace of their own, in which provers and committee do what they owe until the task has ended."""
    server.files["proof.tar"] = make_bundle(BUNDLED)

    def work() -> None:
        while not is_final(server.node, task_id):
            step(
                server.node,
                task_id,
                verdict=verdict,
                bundle=make_bundle(BUNDLED),
                url=f"{server.url}/proof.tar",
            )
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()
