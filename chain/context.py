"""What a handler may see: the block it runs in and the state it may change. Nothing else exists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain import schema
from chain.events import Event, event_of
from chain.state.overlay import Overlay

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from proofmill.params.v1.state_pb2 import Params
    from proofmill.task.v1.state_pb2 import Task


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

    __slots__ = ("_versions", "block", "events", "kv", "params")

    def __init__(
        self,
        kv: Overlay,
        block: BlockEnv,
        params: Params,
        events: list[Event],
        versions: dict[int, Params] | None = None,
    ) -> None:
        self.kv = kv
        self.block = block
        self.params = params
        self.events = events
        # Decoded once a block; versions never change.
        self._versions = {} if versions is None else versions

    def terms(self, task: Task) -> Params:
        """The parameters that were in force when the task was escrowed."""
        version = task.params_version
        if version == self.params.version:
            return self.params
        if version not in self._versions:
            self._versions[version] = schema.PARAMS_VERSIONS.require(self.kv, version)
        return self._versions[version]

    def emit(self, event: Message) -> None:
        """Add a message of some event.proto to the events of this block or transaction."""
        self.events.append(event_of(event))

    def nested(self) -> Context:
        """A layer of its own over this one: `merge` keeps what it did, dropping it leaves no trace."""
        return Context(Overlay(self.kv), self.block, self.params, [], self._versions)

    def merge(self, parent: Context) -> None:
        """Hand writes and events to the context that this one was nested in."""
        self.kv.merge_into_parent()
        parent.events.extend(self.events)
