"""Nested overlays against plain dicts."""

from __future__ import annotations

from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chain.state.kv import MemoryKV
from chain.state.overlay import Overlay

KEYS = st.binary(min_size=1, max_size=2)
VALUES = st.binary(min_size=1, max_size=2)
BOUNDS = st.binary(max_size=2)


class NestedOverlays(RuleBasedStateMachine):
    """A stack of layers; the model of each is the whole map that it should show."""

    @initialize(rows=st.dictionaries(KEYS, VALUES))
    def begin(self, rows: dict[bytes, bytes]) -> None:
        bottom = MemoryKV()
        for key, value in rows.items():
            bottom.set(key, value)
        self.layers: list[Overlay] = [Overlay(bottom)]
        self.models: list[dict[bytes, bytes]] = [dict(rows)]

    @rule(key=KEYS, value=VALUES)
    def set(self, key: bytes, value: bytes) -> None:
        self.layers[-1].set(key, value)
        self.models[-1][key] = value

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.layers[-1].delete(key)
        self.models[-1].pop(key, None)

    @rule()
    def nest(self) -> None:
        self.layers.append(Overlay(self.layers[-1]))
        self.models.append(dict(self.models[-1]))

    @precondition(lambda self: len(self.layers) > 1)
    @rule()
    def merge(self) -> None:
        self.layers.pop().merge_into_parent()
        merged = self.models.pop()
        self.models[-1] = merged

    @precondition(lambda self: len(self.layers) > 1)
    @rule()
    def discard(self) -> None:
        layer = self.layers[-1]
        layer.discard()
        self.models[-1] = dict(self.models[-2])

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        assert self.layers[-1].get(key) == self.models[-1].get(key)

    @rule(start=BOUNDS, end=BOUNDS, reverse=st.booleans())
    def iterate(self, start: bytes, end: bytes, reverse: bool) -> None:
        rows = sorted(((k, v) for k, v in self.models[-1].items() if start <= k < end), reverse=reverse)
        assert list(self.layers[-1].iterate(start, end, reverse=reverse)) == rows

    @rule(start=BOUNDS, end=BOUNDS, reverse=st.booleans(), value=VALUES)
    def change_while_iterating(self, start: bytes, end: bytes, reverse: bool, value: bytes) -> None:
        top, model = self.layers[-1], self.models[-1]
        seen = []
        for number, (key, _) in enumerate(top.iterate(start, end, reverse=reverse)):
            seen.append(key)
            if number % 2:
                top.set(key, value)
                model[key] = value
            else:
                top.delete(key)
                del model[key]
        assert seen == sorted(seen, reverse=reverse)
        assert len(seen) == len(set(seen))

    @invariant()
    def writes_lead_from_parent_to_layer(self) -> None:
        if len(getattr(self, "layers", [])) > 1:
            shown = {**self.models[-2], **self.layers[-1].writes}
            assert {key: value for key, value in shown.items() if value is not None} == self.models[-1]


TestNestedOverlays = NestedOverlays.TestCase


@given(st.lists(st.tuples(KEYS, VALUES | st.none())), st.lists(st.tuples(BOUNDS, BOUNDS)))
def test_memory_kv_is_an_ordered_map(
    writes: list[tuple[bytes, bytes | None]], ranges: list[tuple[bytes, bytes]]
) -> None:
    kv = MemoryKV()
    model: dict[bytes, bytes] = {}
    for number, (key, value) in enumerate(writes):
        if value is None:
            kv.delete(key)
            model.pop(key, None)
        else:
            kv.set(key, value)
            model[key] = value
        for start, end in ranges[number : number + 1]:
            assert list(kv.iterate(start, end)) == sorted((k, v) for k, v in model.items() if start <= k < end)
    assert list(kv.iterate(b"", b"\xff\xff\xff")) == sorted(model.items())
    assert list(kv.iterate(b"", b"\xff\xff\xff", reverse=True)) == sorted(model.items(), reverse=True)
