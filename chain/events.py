"""Events of a block: wake-ups and explanations for clients. State is the truth; nothing on chain reads an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Event:
    """An ABCI event: all its attributes are indexed by CometBFT."""

    type: str
    attributes: tuple[tuple[str, str], ...]


def event_of(message: Message) -> Event:
    """A message of some event.proto, flat: type = its full name, every field an attribute, in field order.

    Integers are decimal, bytes hexadecimal, repeated fields joined by commas.
    """
    descriptor = message.DESCRIPTOR
    return Event(
        descriptor.full_name,
        tuple((field.name, _text(getattr(message, field.name))) for field in descriptor.fields),
    )


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (str, int)):
        return str(value)
    return ",".join(str(item) for item in value)  # type: ignore[attr-defined]  # a repeated field of texts
