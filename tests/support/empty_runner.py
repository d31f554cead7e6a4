"""What the doubles of runners have in common: no images, nothing left by an earlier process, nothing seen at work."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from prover_node.runner.base import Use


class EmptyRunner:
    """The part of a runner that is about what it holds, when it holds nothing."""

    async def cleanup_orphans(self) -> list[str]:
        return []

    def keep_images(self, sha256s: Collection[str]) -> None:
        """There are none."""

    def uses(self) -> Mapping[str, Use]:
        return {}

    def survivors(self) -> Mapping[str, str]:
        return {}

    async def discard_survivors(self, works: Collection[str]) -> None:
        """There are none."""

    def leave_running(self) -> None:
        """Not possible."""
