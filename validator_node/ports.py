"""What a node listens on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ports:
    """What one node listens on."""

    rpc: int
    p2p: int
    grpc: int
    rest: int
    metrics: int

    @classmethod
    def of(cls, index: int, offset: int = 0) -> Ports:
        """Those of the index-th node (from 0) on a machine; the first one's, without offset, are the usual ones."""
        shift = 10 * index + offset
        return cls(26657 + shift, 26656 + shift, 9090 + shift, 1317 + shift, 26660 + shift)
