from __future__ import annotations

from collections.abc import Callable

import pytest
from cosmos.ics23.v1.proofs_pb2 import InnerOp, LeafOp

from chain.state.collections import (
    BytesValue,
    Collection,
    Index,
    IndexedMap,
    Item,
    KeySet,
    Map,
    Proto,
    Sequence,
    StringValue,
    U64Value,
    check_unique_prefixes,
)
from chain.state.errors import StateError
from chain.state.keys import ADDRESS, BYTES, STRING, U64, Pair, Triple
from chain.state.kv import MemoryKV, prefix_end
from chain.state.overlay import Overlay

ITEM = Item(b"\x01", "item", U64Value)
PLAIN = Map(b"\x02", "plain", U64, StringValue)
PAIRS = Map(b"\x03", "pairs", Pair(STRING, U64), BytesValue)
KEYS = KeySet(b"\x04", "keys", BYTES)
NUMBERS = Sequence(b"\x05", "numbers")
TRIPLES = Map(b"\x06", "triples", Triple(U64, U64, U64), U64Value)


@pytest.fixture
def kv() -> MemoryKV:
    return MemoryKV()


def test_item(kv: MemoryKV) -> None:
    assert ITEM.get(kv) is None
    with pytest.raises(StateError, match="item is not set"):
        ITEM.require(kv)
    ITEM.set(kv, 7)
    assert ITEM.get(kv) == ITEM.require(kv) == 7
    ITEM.delete(kv)
    assert ITEM.get(kv) is None


def test_sequence_hands_out_each_number_once(kv: MemoryKV) -> None:
    assert NUMBERS.peek(kv) == 1
    assert [NUMBERS.next(kv) for _ in range(3)] == [1, 2, 3]
    assert NUMBERS.peek(kv) == 4
    assert Sequence(b"\x07", "from zero", start=0).next(kv) == 0


def test_map(kv: MemoryKV) -> None:
    assert PLAIN.get(kv, 1) is None
    with pytest.raises(StateError, match="plain has no 1"):
        PLAIN.require(kv, 1)
    PLAIN.set(kv, 1, "one")
    assert PLAIN.has(kv, 1)
    assert PLAIN.require(kv, 1) == "one"
    PLAIN.delete(kv, 1)
    assert not PLAIN.has(kv, 1)
    PLAIN.delete(kv, 1)


def test_missing_bytes_keys_are_named_in_hexadecimal(kv: MemoryKV) -> None:
    with pytest.raises(StateError, match=f"by address has no {'ab' * 20}"):
        Map(b"\x02", "by address", ADDRESS, U64Value).require(kv, b"\xab" * 20)


def test_maps_iterate_in_key_order_within_bounds(kv: MemoryKV) -> None:
    for number in (300, 2, 1, 5):
        PLAIN.set(kv, number, str(number))
    PAIRS.set(kv, ("elsewhere", 1), b"x")
    assert list(PLAIN.keys(kv)) == [1, 2, 5, 300]
    assert list(PLAIN.iterate(kv, start=2, end=300)) == [(2, "2"), (5, "5")]
    assert list(PLAIN.keys(kv, end=5, reverse=True)) == [2, 1]
    assert list(PLAIN.keys(kv, start=6, end=2)) == []


def test_pairs_iterate_by_prefix(kv: MemoryKV) -> None:
    for name, number in (("b", 1), ("a", 2), ("ab", 1), ("a", 1), ("a\x00", 9), ("", 3)):
        PAIRS.set(kv, (name, number), b"x")
    assert list(PAIRS.keys(kv)) == [("", 3), ("a", 1), ("a", 2), ("a\x00", 9), ("ab", 1), ("b", 1)]
    assert list(PAIRS.keys(kv, prefix_of=("a",))) == [("a", 1), ("a", 2)]
    assert list(PAIRS.keys(kv, prefix_of=("a",), start=("a", 2))) == [("a", 2)]
    assert list(PAIRS.keys(kv, prefix_of=("a",), end=("a", 2))) == [("a", 1)]
    assert list(PAIRS.keys(kv, prefix_of=("a",), reverse=True)) == [("a", 2), ("a", 1)]


def test_triples_iterate_by_one_part_two_parts_or_all(kv: MemoryKV) -> None:
    top = 2**64 - 1
    rows = [(1, 1, 1), (1, 1, 2), (1, 2, 1), (top, top, top)]
    for number, key in enumerate(rows):
        TRIPLES.set(kv, key, number)
    assert list(TRIPLES.keys(kv, prefix_of=(1,))) == rows[:3]
    assert list(TRIPLES.keys(kv, prefix_of=(1, 1))) == rows[:2]
    assert list(TRIPLES.keys(kv, prefix_of=(1, 1, 2))) == [(1, 1, 2)]
    assert list(TRIPLES.keys(kv, prefix_of=(top, top))) == rows[3:]
    with pytest.raises(StateError, match="no prefix of 4"):
        list(TRIPLES.keys(kv, prefix_of=(1, 1, 2, 3)))


def test_a_key_of_one_part_has_no_prefix(kv: MemoryKV) -> None:
    with pytest.raises(StateError, match="one part"):
        list(PLAIN.iterate(kv, prefix_of=(1,)))


def test_key_set(kv: MemoryKV) -> None:
    KEYS.add(kv, b"b")
    KEYS.add(kv, b"a")
    KEYS.add(kv, b"a")
    assert KEYS.has(kv, b"a")
    assert list(KEYS.keys(kv)) == [b"a", b"b"]
    KEYS.delete(kv, b"a")
    assert list(KEYS.keys(kv)) == [b"b"]


def people() -> tuple[IndexedMap[int, InnerOp], Index[bytes, int, InnerOp], Index[tuple[bytes, int], int, InnerOp]]:
    """Rows with one index of their prefix field, and one with an entry for each byte of the suffix field."""
    by_prefix: Index[bytes, int, InnerOp] = Index(b"\x0b", "by prefix", BYTES, lambda _, op: [op.prefix])
    by_byte: Index[tuple[bytes, int], int, InnerOp] = Index(
        b"\x0c", "by byte", Pair(BYTES, U64), lambda _, op: [(op.prefix, byte) for byte in op.suffix]
    )
    return IndexedMap(b"\x0a", "rows", U64, Proto(InnerOp), [by_prefix, by_byte]), by_prefix, by_byte


def test_indexes_follow_sets_and_deletes(kv: MemoryKV) -> None:
    rows, by_prefix, by_byte = people()
    rows.set(kv, 1, InnerOp(prefix=b"x", suffix=b"\x05\x06"))
    rows.set(kv, 2, InnerOp(prefix=b"x", suffix=b"\x06"))
    rows.set(kv, 3, InnerOp(prefix=b"y"))
    assert list(by_prefix.primary_keys(kv, b"x")) == [1, 2]
    assert list(by_byte.iterate(kv)) == [((b"x", 5), 1), ((b"x", 6), 1), ((b"x", 6), 2)]
    rows.set(kv, 1, InnerOp(prefix=b"y", suffix=b"\x06"))
    assert list(by_prefix.primary_keys(kv, b"x")) == [2]
    assert list(by_prefix.primary_keys(kv, b"y")) == [1, 3]
    assert list(by_byte.iterate(kv, prefix_of=(b"y",))) == [((b"y", 6), 1)]
    rows.delete(kv, 1)
    rows.delete(kv, 1)
    assert list(by_prefix.primary_keys(kv, b"y")) == [3]
    rows.delete(kv, 2)
    rows.delete(kv, 3)
    assert list(kv.iterate(b"\x00", b"\xff")) == []


def test_an_unchanged_index_row_is_not_written_again(kv: MemoryKV) -> None:
    rows, _, _ = people()
    rows.set(kv, 1, InnerOp(prefix=b"x", suffix=b"\x05"))
    layer = Overlay(kv)
    rows.set(layer, 1, InnerOp(prefix=b"x", suffix=b"\x05\x07"))
    assert [key[:1] for key in layer.writes] == [b"\x0c", b"\x0a"]


def test_primary_keys_within_bounds(kv: MemoryKV) -> None:
    rows, by_prefix, _ = people()
    for number in range(1, 6):
        rows.set(kv, number, InnerOp(prefix=b"x"))
    assert list(by_prefix.primary_keys(kv, b"x", start=2, end=4)) == [2, 3]
    assert list(by_prefix.primary_keys(kv, b"x", start=4, reverse=True)) == [5, 4]
    assert list(by_prefix.primary_keys(kv, b"x\x00")) == []


def test_index_keys_within_bounds(kv: MemoryKV) -> None:
    queue: Index[int, int, int] = Index(b"\x0b", "due", U64, lambda _, due: [due])
    tasks = IndexedMap(b"\x0a", "tasks", U64, U64Value, [queue])
    for task, due in ((1, 30), (2, 10), (3, 20), (4, 10)):
        tasks.set(kv, task, due)
    assert list(queue.iterate(kv, end=21)) == [(10, 2), (10, 4), (20, 3)]
    assert list(queue.iterate(kv, start=20, end=31, reverse=True)) == [(30, 1), (20, 3)]
    with pytest.raises(StateError, match="one part"):
        list(queue.iterate(kv, prefix_of=(1,)))
    for _, task in queue.iterate(kv, end=21):
        tasks.delete(kv, task)
    assert list(queue.iterate(kv)) == [(30, 1)]


def test_every_row_decodes_for_export(kv: MemoryKV) -> None:
    rows, by_prefix, by_byte = people()
    ITEM.set(kv, 7)
    PLAIN.set(kv, 1, "one")
    KEYS.add(kv, b"k")
    NUMBERS.next(kv)
    rows.set(kv, 9, InnerOp(prefix=b"x", suffix=b"\x05"))
    collections: list[Collection] = [ITEM, PLAIN, KEYS, NUMBERS, rows, by_prefix, by_byte]
    owners = {collection.prefix: collection for collection in collections}
    decoded = []
    for key, value in kv.iterate(b"", b"\xff"):
        owner = owners[key[:1]]
        decoded.append((owner.name, owner.decode(key, value)))
    assert decoded == [
        ("item", (None, 7)),
        ("plain", (1, "one")),
        ("keys", (b"k", None)),
        ("numbers", (None, 2)),
        ("rows", (9, InnerOp(prefix=b"x", suffix=b"\x05"))),
        ("by prefix", ((b"x", 9), None)),
        ("by byte", (((b"x", 5), 9), None)),
    ]


def test_rows_of_others_do_not_decode() -> None:
    for collection in (ITEM, NUMBERS, PLAIN):
        with pytest.raises(StateError, match="is not"):
            collection.decode(b"\x77key", b"\x01")
    with pytest.raises(StateError, match="is not the one of item"):
        ITEM.decode(b"\x01more", bytes(8))
    with pytest.raises(StateError, match="is not the one of numbers"):
        NUMBERS.decode(b"\x05more", bytes(8))


@pytest.mark.parametrize("prefix", [b"", b"ab", b"\xff"])
def test_a_prefix_is_one_byte_that_another_can_follow(prefix: bytes) -> None:
    with pytest.raises(StateError, match="instead of one byte from 00 to fe"):
        Item(prefix, "bad", U64Value)


def test_prefixes_and_names_must_be_unique() -> None:
    check_unique_prefixes([ITEM, PLAIN, people()[0]])
    with pytest.raises(StateError, match="item and second share the prefix 01"):
        check_unique_prefixes([ITEM, Item(b"\x01", "second", U64Value)])
    with pytest.raises(StateError, match="two collections are named item"):
        check_unique_prefixes([ITEM, Item(b"\x02", "item", U64Value)])
    with pytest.raises(StateError, match="by prefix and plain share the prefix 0b"):
        check_unique_prefixes([people()[0], Map(b"\x0b", "plain", U64, U64Value)])


def test_an_index_belongs_to_one_map() -> None:
    index: Index[int, int, int] = Index(b"\x0b", "due", U64, lambda _, due: [due])
    with pytest.raises(StateError, match="belongs to no map"):
        list(index.primary_keys(MemoryKV(), 1))
    IndexedMap(b"\x0a", "tasks", U64, U64Value, [index])
    with pytest.raises(StateError, match="already belongs to a map"):
        IndexedMap(b"\x0c", "others", U64, U64Value, [index])


def test_an_empty_message_is_stored_as_bytes_that_any_decoder_reads(kv: MemoryKV) -> None:
    item = Item(b"\x01", "message", Proto(InnerOp))
    item.set(kv, InnerOp())
    assert item.get(kv) == InnerOp()
    raw = kv.get(b"\x01")
    assert raw
    read = InnerOp.FromString(raw)
    assert (read.hash, read.prefix, read.suffix) == (0, b"", b"")


def test_each_read_makes_a_new_message(kv: MemoryKV) -> None:
    item = Item(b"\x01", "message", Proto(InnerOp))
    item.set(kv, InnerOp(prefix=b"p"))
    item.require(kv).prefix = b"changed"
    assert item.require(kv).prefix == b"p"


def refused(kv: MemoryKV) -> list[tuple[Callable[[], object], str]]:
    message = Item(b"\x01", "message", Proto(InnerOp))
    return [
        (lambda: message.set(kv, LeafOp()), "a LeafOp can't be stored where a InnerOp belongs"),  # type: ignore[arg-type]
        (lambda: message.decode(b"\x01", b"\xff"), "stored bytes are not a InnerOp: ff"),
        (lambda: ITEM.set(kv, -1), "-1 is not an unsigned integer of 8 bytes"),
        (lambda: ITEM.decode(b"\x01", b"abc"), "a stored integer has 3 bytes instead of 8"),
        (lambda: PLAIN.set(kv, 1, ""), "an empty text can't be stored"),
        (lambda: PLAIN.decode(b"\x02" + bytes(8), b"\xff"), "a stored text is not UTF-8: ff"),
        (lambda: PAIRS.set(kv, ("a", 1), b""), "empty bytes can't be stored"),
        (lambda: KEYS.decode(b"\x04k", b"x"), "a stored mark is 78 instead of 01"),
        (lambda: kv.set(b"k", b""), "the value of key 6b is empty; delete the key instead"),
        (lambda: Overlay(kv).set(b"k", b""), "the value of key 6b is empty; delete the key instead"),
        (lambda: Overlay(kv).merge_into_parent(), "into another overlay only, not into a MemoryKV"),
        (lambda: prefix_end(b"\xff\xff"), "no key follows those with prefix ffff"),
    ]


@pytest.mark.parametrize("number", range(12))
def test_misuse_is_refused(kv: MemoryKV, number: int) -> None:
    call, reason = refused(kv)[number]
    with pytest.raises(StateError, match=reason):
        call()
