"""The golden vectors hold: what others were told is what this code does."""

from __future__ import annotations

import json

import pytest
from coincurve import PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact
from cosmos.tx.v1beta1.tx_pb2 import TxRaw

from chain.address import address_of
from chain.messages import MESSAGES
from chain.tx import decode_tx
from tests.support.vectors import FOLDER, VECTORS


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_are_those_of_this_code(name: str) -> None:
    assert json.loads((FOLDER / f"{name}.json").read_text()) == VECTORS[name]()


def test_every_message_has_a_vector_that_decodes_and_whose_signature_is_good() -> None:
    vectors = json.loads((FOLDER / "messages.json").read_text())
    assert {vector["type_url"] for vector in vectors} == set(MESSAGES)
    for vector in vectors:
        ((spec, message),) = decode_tx(bytes.fromhex(vector["tx"])).messages
        assert spec.type_url == vector["type_url"]
        assert message.SerializeToString(deterministic=True).hex() == vector["value"]
        (signature,) = TxRaw.FromString(bytes.fromhex(vector["tx"])).signatures
        key = PublicKey(bytes.fromhex(vector["pub_key"]))
        assert address_of(key.format()) == vector["signer"]
        assert key.verify(cdata_to_der(deserialize_compact(signature)), bytes.fromhex(vector["sign_bytes"]))
