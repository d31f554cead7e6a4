"""MsgDeployProgram and MsgDeprecateProgram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.program.v1.event_pb2 import EventProgramDeployed, EventProgramDeprecated
from proofmill.program.v1.state_pb2 import (
    PROGRAM_STATUS_ACTIVE,
    PROGRAM_STATUS_BLOCKED,
    PROGRAM_STATUS_DEPRECATED,
    Image,
    Program,
    ProgramSpec,
)
from proofmill.program.v1.tx_pb2 import (
    MsgDeployProgram,
    MsgDeployProgramResponse,
    MsgDeprecateProgram,
    MsgDeprecateProgramResponse,
)
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, AUDIENCE_PROVER, AUDIENCE_VERIFIER

from chain import schema
from chain.address import decode_address
from chain.bank.ledger import add_fees, take_umill
from chain.errors import NOT_DEPLOYER, PROGRAM_EXISTS, PROGRAM_INVALID, PROGRAM_NOT_ACTIVE, PROGRAM_NOT_FOUND
from chain.fields import check_address, check_name, check_resources, check_sha256, check_urls, fits
from chain.program.ids import program_id
from chain.program.image_reference import SCHEME, parse_image_reference

if TYPE_CHECKING:
    from chain.context import Context

ASSETS_MAX = 64
COMMAND_MAX = 64
ARGUMENT_BYTES_MAX = 4_096
AUDIENCES = (AUDIENCE_PROVER, AUDIENCE_VERIFIER, AUDIENCE_BOTH)


def validate_deploy_program(message: MsgDeployProgram) -> None:
    check_address(message.deployer, "deployer")
    if not message.HasField("spec"):
        raise PROGRAM_INVALID.error("spec is missing: state the program's name, version, images and resources")
    spec = message.spec
    check_name(spec.name, "spec.name", PROGRAM_INVALID)
    check_name(spec.version, "spec.version", PROGRAM_INVALID)
    _check_image(spec.prover, "spec.prover")
    _check_image(spec.verifier, "spec.verifier")
    for field in ("default_resources", "max_resources", "verifier_resources"):
        check_resources(getattr(spec, field), f"spec.{field}", PROGRAM_INVALID)
    if not fits(spec.default_resources, spec.max_resources):
        raise PROGRAM_INVALID.error("spec.default_resources are more than spec.max_resources")
    if not spec.verifier_time_limit_s:
        raise PROGRAM_INVALID.error("spec.verifier_time_limit_s is 0: state how long a verification may take")
    _check_assets(spec)


def execute_deploy_program(context: Context, message: MsgDeployProgram) -> MsgDeployProgramResponse:
    kv, params, spec = context.kv, context.params, message.spec
    identifier = program_id(spec)
    if schema.PROGRAMS.has(kv, identifier):
        raise PROGRAM_EXISTS.error(f"this very program is already deployed: use {identifier.hex()}")
    if spec.verifier_time_limit_s > params.verifier_time_limit_max_s:
        raise PROGRAM_INVALID.error(
            f"spec.verifier_time_limit_s is {spec.verifier_time_limit_s}, more than {params.verifier_time_limit_max_s}"
        )
    sizes = [spec.prover.bytes, spec.verifier.bytes, *(asset.bytes for asset in spec.assets)]
    if max(sizes) > params.blob_max_bytes:
        raise PROGRAM_INVALID.error(f"an image or asset has {max(sizes)} bytes, more than {params.blob_max_bytes}")
    deployer = decode_address(message.deployer)
    fee = -(-message.ByteSize() // 1_024) * params.deploy_fee_per_kib
    take_umill(kv, deployer, fee, "deploying the program")
    add_fees(kv, fee)
    program = Program(
        id=identifier,
        deployer=message.deployer,
        spec=spec,
        status=PROGRAM_STATUS_ACTIVE,
        deployed_height=context.block.height,
    )
    schema.PROGRAMS.set(kv, identifier, program)
    context.emit(
        EventProgramDeployed(program_id=identifier, deployer=message.deployer, name=spec.name, version=spec.version)
    )
    return MsgDeployProgramResponse(program_id=identifier)


def validate_deprecate_program(message: MsgDeprecateProgram) -> None:
    check_address(message.deployer, "deployer")
    check_sha256(message.program_id, "program_id", PROGRAM_INVALID)


def execute_deprecate_program(context: Context, message: MsgDeprecateProgram) -> MsgDeprecateProgramResponse:
    program = schema.PROGRAMS.get(context.kv, message.program_id)
    if program is None:
        raise PROGRAM_NOT_FOUND.error(f"there is no program {message.program_id.hex()}")
    if program.deployer != message.deployer:
        raise NOT_DEPLOYER.error(f"only its deployer {program.deployer} may deprecate this program")
    if program.status == PROGRAM_STATUS_BLOCKED:
        raise PROGRAM_NOT_ACTIVE.error("the program is blocked, so there is nothing to deprecate")
    if program.status == PROGRAM_STATUS_ACTIVE:
        program.status = PROGRAM_STATUS_DEPRECATED
        schema.PROGRAMS.set(context.kv, message.program_id, program)
        context.emit(EventProgramDeprecated(program_id=message.program_id))
    return MsgDeprecateProgramResponse()


def _check_image(image: Image, field: str) -> None:
    check_urls(image.urls, f"{field}.urls", PROGRAM_INVALID, required=True)
    check_sha256(image.sha256, f"{field}.sha256", PROGRAM_INVALID)
    if any(url.startswith(SCHEME) for url in image.urls):
        _check_references(image, field)
    if not image.bytes:
        raise PROGRAM_INVALID.error(f"{field}.bytes is 0: state the image's size")
    if len(image.command) > COMMAND_MAX:
        raise PROGRAM_INVALID.error(f"{field}.command has {len(image.command)} words, more than {COMMAND_MAX}")
    for word in image.command:
        size = len(word.encode())
        if size > ARGUMENT_BYTES_MAX:
            raise PROGRAM_INVALID.error(f"a word of {field}.command has {size} bytes, more than {ARGUMENT_BYTES_MAX}")
        if "\0" in word:
            raise PROGRAM_INVALID.error(f"a word of {field}.command has a NUL character")


def _check_references(image: Image, field: str) -> None:
    """An archive's hash and a manifest's are different things, so an image is the one or the other."""
    for url in image.urls:
        if not url.startswith(SCHEME):
            raise PROGRAM_INVALID.error(f"{field}.urls mix archives and {SCHEME} references: deploy one or the other")
        try:
            reference = parse_image_reference(url)
        except ValueError as error:
            raise PROGRAM_INVALID.error(f"{field}.urls: {error}") from None
        if reference.sha256 != image.sha256.hex():
            raise PROGRAM_INVALID.error(
                f"{field}.urls: {url[:80]!r} names another manifest than {field}.sha256, {image.sha256.hex()}"
            )


def _check_assets(spec: ProgramSpec) -> None:
    if len(spec.assets) > ASSETS_MAX:
        raise PROGRAM_INVALID.error(f"spec.assets has {len(spec.assets)} files, more than {ASSETS_MAX}")
    names: dict[str, None] = {}
    for asset in spec.assets:
        check_name(asset.name, "the name of an asset", PROGRAM_INVALID)
        if asset.name in names:
            raise PROGRAM_INVALID.error(f"two assets are named {asset.name}")
        names[asset.name] = None
        check_urls(asset.urls, f"the URLs of asset {asset.name}", PROGRAM_INVALID, required=True)
        check_sha256(asset.sha256, f"the sha256 of asset {asset.name}", PROGRAM_INVALID)
        if not asset.bytes:
            raise PROGRAM_INVALID.error(f"the size of asset {asset.name} is 0: state it")
        if asset.audience not in AUDIENCES:
            raise PROGRAM_INVALID.error(f"asset {asset.name}: say whether the prover, the verifier or both get it")
