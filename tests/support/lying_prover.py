"""A real prover daemon whose owner cheats: `python -m tests.support.lying_prover HOME proof|verdict`.

It does all that an honest one does, with real containers, and then changes one thing: a byte of every proof that it
made, or every verdict that it reached. What it is caught by is the network's own doing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

from prover_node import start
from prover_node.home import Home
from prover_node.runner.base import Job, Outcome, Reason, Runner
from prover_node.runner.image_store import IMAGE_BYTES


class LyingRunner:
    """A runner that tells something else than what happened."""

    def __init__(self, honest: Runner, lie: str) -> None:
        self._honest = honest
        self._lie = lie

    def __getattr__(self, name: str) -> object:
        return getattr(self._honest, name)

    async def run(self, job: Job, *, on_start: Callable[[], None] | None = None) -> Outcome:
        outcome = await self._honest.run(job, on_start=on_start)
        if outcome.reason != Reason.EXITED:
            return outcome
        if self._lie == "verdict" and job.output_dir is None:
            return replace(outcome, exit_code=0 if outcome.exit_code else 1)
        if self._lie == "proof" and job.output_dir is not None:
            for path in job.output_dir.iterdir():
                content = bytearray(path.read_bytes())
                content[len(content) // 2] ^= 1
                path.write_bytes(content)
        return outcome


def main() -> None:
    home, lie = Home(Path(sys.argv[1])), sys.argv[2]

    honest = start.open_runner

    async def open_lying_runner(
        kind: str, node_id: str, state: Path, *, image_bytes: int = IMAGE_BYTES
    ) -> start.OpenRunner:
        opened = await honest(kind, node_id, state, image_bytes=image_bytes)
        return opened._replace(runner=cast("Runner", LyingRunner(opened.runner, lie)))

    # The one thing that is not the real daemon's.
    start.open_runner = open_lying_runner
    start.run_node(home, home.settings(), None)


if __name__ == "__main__":
    main()
