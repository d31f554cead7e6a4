"""State proofs under the published ProofSpec, checked by the public ICS-23 library: its Go module, pinned by go.sum."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256

import pytest
from cosmos.ics23.v1 import proofs_pb2 as ics23
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from chain.state.errors import StateError
from chain.state.merkle import Tree
from chain.state.proofs import proof_spec
from tests.support.ics23 import SPEC_FILE, Claim, Verify, build_verifier


@pytest.fixture(scope="session")
def verify(tmp_path_factory: pytest.TempPathFactory) -> Verify:
    return build_verifier(tmp_path_factory.mktemp("ics23"))


class State:
    """A state, its tree, and claims about it."""

    def __init__(self, values: dict[bytes, bytes]) -> None:
        update = Tree({}).apply(values)
        self.values = values
        self.root = update.root
        self.tree = Tree({path: row for path, row in update.nodes.items() if row is not None})

    def prove(self, key: bytes) -> ics23.CommitmentProof:
        return self.tree.prove(key, self.values)

    def claim(self, key: bytes) -> Claim:
        return Claim(self.root, key, self.values.get(key), self.prove(key).SerializeToString())


def state_of(size: int) -> State:
    draw = random.Random(size)
    return State({b"key %d" % number: draw.randbytes(draw.randrange(1, 40)) for number in range(size)})


def place(key: bytes) -> bytes:
    return sha256(key).digest()


def absent_keys(count: int) -> list[bytes]:
    return [b"absent %d" % number for number in range(count)]


def absent_where(condition: Callable[[bytes], bool]) -> bytes:
    return next(key for key in absent_keys(1_000_000) if condition(place(key)))


def test_the_published_spec_is_the_codes_spec() -> None:
    published = json_format.Parse(SPEC_FILE.read_text(), ics23.ProofSpec())
    assert published == proof_spec()


@pytest.mark.parametrize("size", [1, 2, 3, 17, 300, 3000])
def test_every_key_is_proved_present_or_absent(verify: Verify, size: int) -> None:
    state = state_of(size)
    keys = [*random.Random(0).sample(sorted(state.values), min(size, 300)), *absent_keys(300)]
    assert verify([state.claim(key) for key in keys]) == ["ok"] * len(keys)


@pytest.mark.parametrize("size", [2, 17, 300])
def test_absence_at_both_edges_has_one_neighbour(verify: Verify, size: int) -> None:
    state = state_of(size)
    places = sorted(map(place, state.values))
    before = absent_where(lambda where: where < places[0])
    after = absent_where(lambda where: where > places[-1])
    assert not state.prove(before).nonexist.HasField("left")
    assert not state.prove(after).nonexist.HasField("right")
    assert verify([state.claim(before), state.claim(after)]) == ["ok", "ok"]


def test_absence_in_a_tree_of_one_leaf(verify: Verify) -> None:
    state = State({b"only": b"one"})
    before = absent_where(lambda where: where < place(b"only"))
    after = absent_where(lambda where: where > place(b"only"))
    beside = absent_where(lambda where: where[0] >> 4 == place(b"only")[0] >> 4)
    assert verify([state.claim(key) for key in (before, after, beside)]) == ["ok"] * 3


def test_absence_between_leaves_that_are_nibbles_apart(verify: Verify) -> None:
    low = absent_where(lambda where: where[0] >> 4 == 2)
    high = absent_where(lambda where: where[0] >> 4 == 13)
    middle = absent_where(lambda where: where[0] >> 4 == 7)
    state = State({low: b"low", high: b"high"})
    assert verify([state.claim(middle)]) == ["ok"]


def test_absence_where_the_path_ends_in_another_leaf_or_a_gap_deep_down(verify: Verify) -> None:
    pair = (b"2958437", b"2304059")  # their hashes share ten digits
    state = State({pair[0]: b"a", **state_of(17).values})
    assert verify([state.claim(pair[1])]) == ["ok"]
    both = State({pair[0]: b"a", pair[1]: b"b", **state_of(17).values})
    prefix = place(pair[0])[:2]
    near = absent_where(lambda where: where[:2] == prefix)
    assert verify([both.claim(key) for key in (*pair, near)]) == ["ok"] * 3


def test_a_proof_is_good_for_its_own_claim_only(verify: Verify) -> None:
    state = state_of(300)
    there, also_there, absent = b"key 7", b"key 8", b"absent 1"
    present = state.claim(there)
    missing = state.claim(absent)
    false_claims = [
        Claim(state.root, there, b"another value", present.proof),
        Claim(state.root, also_there, state.values[also_there], present.proof),
        Claim(state_of(17).root, there, present.value, present.proof),
        Claim(state.root, there, None, present.proof),
        Claim(state.root, there, None, missing.proof),
        Claim(state.root, absent, b"made up", missing.proof),
        Claim(state_of(17).root, absent, None, missing.proof),
        Claim(state.root, absent, None, b""),
        Claim(state.root, absent, None, state.prove(absent_keys(200)[-1]).SerializeToString()),
    ]
    assert verify([present, missing]) == ["ok", "ok"]
    assert verify(false_claims) == ["failed"] * len(false_claims)


def test_leaves_with_others_between_them_are_not_neighbours(verify: Verify) -> None:
    state = state_of(300)
    ordered = sorted(state.values, key=place)
    claims = []
    for number in range(1, len(ordered) - 1):
        key = ordered[number]
        nonexist = ics23.NonExistenceProof(
            key=key,
            left=state.prove(ordered[number - 1]).exist,
            right=state.prove(ordered[number + 1]).exist,
        )
        claims.append(Claim(state.root, key, None, ics23.CommitmentProof(nonexist=nonexist).SerializeToString()))
    for key, edge in ((ordered[0], "right"), (ordered[-1], "left")):
        second = ordered[1] if edge == "right" else ordered[-2]
        nonexist = ics23.NonExistenceProof(key=key)
        getattr(nonexist, edge).CopyFrom(state.prove(second).exist)
        claims.append(Claim(state.root, key, None, ics23.CommitmentProof(nonexist=nonexist).SerializeToString()))
    assert verify(claims) == ["failed"] * len(claims)


def test_no_changed_bit_of_a_proof_goes_unnoticed(verify: Verify) -> None:
    state = state_of(17)
    present = state.claim(b"key 7")
    claims = []
    for at in range(len(present.proof)):
        for bit in range(8):
            changed = bytearray(present.proof)
            changed[at] ^= 1 << bit
            claims.append(Claim(state.root, present.key, present.value, bytes(changed)))
    assert verify(claims) == ["failed"] * len(claims)


def test_no_changed_bit_of_a_neighbour_goes_unnoticed(verify: Verify) -> None:
    state = state_of(17)
    key = b"absent 3"
    nonexist = state.prove(key).nonexist
    assert nonexist.HasField("left")
    assert nonexist.HasField("right")
    claims = []
    for side in ("left", "right"):
        proof = getattr(nonexist, side).SerializeToString()
        for at in range(len(proof)):
            changed = bytearray(proof)
            changed[at] ^= 1 << (at % 8)
            forged = ics23.NonExistenceProof(key=key, left=nonexist.left, right=nonexist.right)
            try:
                getattr(forged, side).ParseFromString(bytes(changed))
            except DecodeError:  # what doesn't parse can't be presented
                continue
            claims.append(Claim(state.root, key, None, ics23.CommitmentProof(nonexist=forged).SerializeToString()))
    assert len(claims) > 500
    assert verify(claims) == ["failed"] * len(claims)


def test_nothing_is_proved_about_an_empty_state() -> None:
    with pytest.raises(StateError, match="empty state"):
        Tree({}).prove(b"key", {})
