"""What a handler may see: the block it runs in and the state it may change. Nothing else exists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain.events import Event, event_of
from chain.state.overlay import Overlay

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from proofmill.params.v1.state_pb2 import Params


@dataclass(frozen=True, slots=True)
class BlockEnv:
    """The block: the only clock and the only randomness there are."""

    chain_id: str
    height: int
    # Unix milliseconds of the block's header.
    time_ms: int
    # 32 bytes; see chain.beacon.
    beacon: bytes


class Context:
    """A write layer, the block around it, the parameters in force and the events emitted so far."""

    __slots__ = ("block", "events", "kv", "params")

    def __init__(self, kv: Overlay, block: BlockEnv, params: Params, events: list[Event]) -> None:
        self.kv = kv
        self.block = block
        self.params = params
        self.events = events

    def emit(self, event: Message) -> None:
        """Add a message of some event.proto to the events of this block or transaction."""
        self.events.append(event_of(event))

    def nested(self) -> Context:
        """A layer of its own over this one: `merge` keeps what it did, dropping it leaves no trace."""
        return Context(Overlay(self.kv), self.block, self.params, [])

    def merge(self, parent: Context) -> None:
        """Hand writes and events to the context that this one was nested in."""
        self.kv.merge_into_parent()
        parent.events.extend(self.events)
