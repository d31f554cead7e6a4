"""The parameters of protocol §9, their defaults and what makes a set of them usable."""

from __future__ import annotations

from proofmill.params.v1.state_pb2 import NodePrice, Params
from proofmill.types.v1.types_pb2 import Resources

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
GIB = 1 << 30
MIB = 1 << 20
BASIS_POINTS = 10_000
_MICRO = 1_000_000


class ParamsError(ValueError):
    """The parameters contradict each other or would stop the chain."""


def default_params() -> Params:
    """Protocol §9 and the prices of §8."""
    return Params(
        accept_window_blocks=3,
        decline_limit=1,
        decline_window_ms=7 * DAY_MS,
        misses_to_jail=3,
        miss_window_ms=DAY_MS,
        transfer_allowance_ms=30 * SECOND_MS,
        transfer_bytes_per_second=64 * MIB,
        prover_bond_min=1_000 * _MICRO,
        exit_cooldown_ms=DAY_MS,
        retest_idle_after_ms=3 * HOUR_MS,
        retest_random_blocks=10_000,
        prover_share_bp=9_000,
        verifier_share_bp=800,
        network_share_bp=200,
        commit_window_ms=15 * SECOND_MS,
        reveal_window_ms=5 * SECOND_MS,
        committee_min=10,
        committee_share_bp=100,
        verdict_quorum_bp=7_000,
        verification_rounds_max=3,
        refund_on_fallback_bp=5_000,
        slash_fault_bp=500,
        slash_minority_bp=50,
        slash_no_show_bp=10,
        program_strikes_max=3,
        program_strike_window_ms=DAY_MS,
        inputs_max=64,
        inline_max_bytes=16 * 1024,
        assignments_per_block_max=2_000,
        draw_looks_max=512,
        cpu_node=NodePrice(resources=Resources(cpu_millis=96_000, memory_bytes=768 * GIB), ucredit_per_hour=610_000),
        gpu_node=NodePrice(
            resources=Resources(cpu_millis=64_000, memory_bytes=380 * GIB, gpus=2), ucredit_per_hour=840_000
        ),
        credit_price_umill=_MICRO,
        subsidy_bp=1_000,
        gas_price_umill=25,
        tx_bytes_max=1 << 20,
        deploy_fee_per_kib=_MICRO,
        time_limit_max_s=24 * 3600,
        queue_timeout_max_s=24 * 3600,
        verifier_time_limit_max_s=600,
        blob_max_bytes=64 * GIB,
        inflation_per_block=0,
    )


def validate_params(params: Params) -> None:
    """ParamsError, naming the parameter, unless the chain can run with these."""
    for name in _POSITIVE:
        if getattr(params, name) == 0:
            raise ParamsError(f"the parameter {name} is 0 or missing; it must be at least 1")
    for name in _SHARES:
        if getattr(params, name) > BASIS_POINTS:
            raise ParamsError(f"the parameter {name} is {getattr(params, name)} basis points, more than the whole")
    split = params.prover_share_bp + params.verifier_share_bp + params.network_share_bp
    if split != BASIS_POINTS:
        raise ParamsError(
            f"prover_share_bp, verifier_share_bp and network_share_bp sum to {split} instead of {BASIS_POINTS}"
        )
    if params.verdict_quorum_bp * 2 <= BASIS_POINTS:
        raise ParamsError("verdict_quorum_bp must be more than half, or two verdicts could both win")
    cpu, gpu = params.cpu_node, params.gpu_node
    for name, node in (("cpu_node", cpu), ("gpu_node", gpu)):
        if not (node.resources.cpu_millis and node.resources.memory_bytes and node.ucredit_per_hour):
            raise ParamsError(f"{name} must state cpu_millis, memory_bytes and ucredit_per_hour above 0")
    if cpu.resources.gpus or not gpu.resources.gpus:
        raise ParamsError("cpu_node must have no GPU and gpu_node at least one")


_POSITIVE = (
    "accept_window_blocks",
    "decline_window_ms",
    "misses_to_jail",
    "miss_window_ms",
    "transfer_bytes_per_second",
    "prover_bond_min",
    "prover_share_bp",
    "commit_window_ms",
    "reveal_window_ms",
    "committee_min",
    "verdict_quorum_bp",
    "verification_rounds_max",
    "program_strikes_max",
    "program_strike_window_ms",
    "retest_idle_after_ms",
    "retest_random_blocks",
    "inputs_max",
    "assignments_per_block_max",
    "draw_looks_max",
    "credit_price_umill",
    "tx_bytes_max",
    "time_limit_max_s",
    "queue_timeout_max_s",
    "verifier_time_limit_max_s",
    "blob_max_bytes",
)
_SHARES = (
    "prover_share_bp",
    "verifier_share_bp",
    "network_share_bp",
    "committee_share_bp",
    "verdict_quorum_bp",
    "refund_on_fallback_bp",
    "slash_fault_bp",
    "slash_minority_bp",
    "slash_no_show_bp",
    "subsidy_bp",
)
