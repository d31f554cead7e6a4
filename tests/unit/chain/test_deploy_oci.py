"""proofmill.program.v1.MsgDeployProgram with images that registries have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from proofmill.program.v1.tx_pb2 import MsgDeployProgram

from chain import schema
from chain.errors import PROGRAM_INVALID
from chain.program.ids import program_id
from chain.program.image_reference import ImageReference, parse_image_reference
from tests.support.life import deploy, make_spec
from tests.support.network import DEPLOYER, Network, make_tx
from tests.support.refusals import refuse_raw

if TYPE_CHECKING:
    from proofmill.program.v1.state_pb2 import ProgramSpec

DIGEST = "0123456789abcdef" * 4
ARCHIVE = "https://example.com/prover.tar"


def reference(place: str, digest: str = DIGEST) -> str:
    return f"oci://{place}@sha256:{digest}"


def spec_of(*urls: str) -> ProgramSpec:
    spec = make_spec()
    del spec.prover.urls[:]
    spec.prover.urls.extend(urls)
    spec.prover.sha256 = bytes.fromhex(DIGEST)
    return spec


GOOD = {
    "ghcr.io/org/prover": ImageReference("ghcr.io", 0, "org/prover", DIGEST),
    "localhost:5000/a": ImageReference("localhost", 5000, "a", DIGEST),
    "10.0.0.1:65535/a/b/c": ImageReference("10.0.0.1", 65_535, "a/b/c", DIGEST),
    "[2001:db8::1]:443/a.b/c__d/e--f": ImageReference("[2001:db8::1]", 443, "a.b/c__d/e--f", DIGEST),
}


@pytest.mark.parametrize("place", GOOD)
def test_basic_reference(network: Network, place: str) -> None:
    assert parse_image_reference(reference(place)) == GOOD[place]
    spec = spec_of(reference(place), reference("mirror.example.com/prover"))
    deploy(network, spec)
    assert schema.PROGRAMS.require(network.values, program_id(spec)).spec == spec


BAD = {
    "an archive besides": (ARCHIVE, reference("ghcr.io/org/prover")),
    "an archive at the end": (reference("ghcr.io/org/prover"), ARCHIVE),
    "another manifest": (reference("ghcr.io/org/prover", "f" * 64),),
    "two manifests": (reference("ghcr.io/org/prover"), reference("ghcr.io/org/prover", "f" * 64)),
    "a tag": ("oci://ghcr.io/org/prover:latest",),
    "a tag and a digest": (f"oci://ghcr.io/org/prover:latest@sha256:{DIGEST}",),
    "no digest": ("oci://ghcr.io/org/prover",),
    "a short digest": (reference("ghcr.io/org/prover", DIGEST[:-1]),),
    "a long digest": (reference("ghcr.io/org/prover", DIGEST + "0"),),
    "upper case in the digest": (reference("ghcr.io/org/prover", DIGEST.upper()),),
    "upper case in the repository": (reference("ghcr.io/Org/prover"),),
    "upper case in the host": (reference("GHCR.io/org/prover"),),
    "no repository": (reference("ghcr.io"),),
    "an empty repository": (reference("ghcr.io/"),),
    "no host": (reference("/org/prover"),),
    "a user": (reference("user:password@ghcr.io/org/prover"),),
    "a path that climbs": (reference("ghcr.io/../prover"),),
    "a query": (reference("ghcr.io/org/prover?x=y"),),
    "something after it": (reference("ghcr.io/org/prover") + "/",),
    "port 0": (reference("ghcr.io:0/org/prover"),),
    "a port beyond all": (reference("ghcr.io:65536/org/prover"),),
    "upper case in the scheme": (reference("ghcr.io/org/prover").replace("oci", "OCI"),),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_reference(network: Network, name: str) -> None:
    message = MsgDeployProgram(deployer=DEPLOYER.address, spec=spec_of(*BAD[name]))
    refuse_raw(network, PROGRAM_INVALID, make_tx(DEPLOYER, [message], account_number=3, sequence=0))


def test_invalid_reference_of_the_verifier(network: Network) -> None:
    spec = make_spec()
    spec.verifier.urls.append(reference("ghcr.io/org/verifier", spec.verifier.sha256.hex()))
    message = MsgDeployProgram(deployer=DEPLOYER.address, spec=spec)
    result = refuse_raw(network, PROGRAM_INVALID, make_tx(DEPLOYER, [message], account_number=3, sequence=0))
    assert "spec.verifier.urls mix" in result.log


def test_invalid_reference_is_matched_in_linear_time(network: Network) -> None:
    for part in ("a", "a-", "-", "a.", "_", "a_"):
        with pytest.raises(ValueError, match="is not oci://"):
            parse_image_reference("oci://" + part * (2_000 // len(part)) + "/" + part * (2_000 // len(part)))
