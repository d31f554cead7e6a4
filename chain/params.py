"""The parameters of protocol §9, their defaults and what makes a set of them usable."""

from __future__ import annotations

from proofmill.params.v1.state_pb2 import NodePrice, Params
from proofmill.types.v1.types_pb2 import Resources

from chain.amount import MAX_AMOUNT

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
GIB = 1 << 30
MIB = 1 << 20
BASIS_POINTS = 10_000
_MICRO = 1_000_000
_YEARS_MS = 10 * 366 * DAY_MS
_UINT32_MAX = (1 << 32) - 1


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
        subsidy_bp=200,
        gas_price_umill=25,
        tx_bytes_max=1 << 20,
        deploy_fee_per_kib=_MICRO,
        time_limit_max_s=24 * 3600,
        queue_timeout_max_s=24 * 3600,
        verifier_time_limit_max_s=600,
        blob_max_bytes=64 * GIB,
        inflation_per_block=0,
        capacity_time_limit_s=20,
        capacity_grace_ms=5 * SECOND_MS,
        test_retry_ms=10 * MINUTE_MS,
    )


def validate_params(params: Params) -> None:
    """ParamsError, naming the parameter, unless the chain can run with these."""
    for name, least, most in _RANGES:
        value = getattr(params, name)
        if not least <= value <= most:
            raise ParamsError(f"the parameter {name} is {value or '0 or missing'}; it must be {least} to {most}")
    for name in _SHARES:
        if getattr(params, name) > BASIS_POINTS:
            raise ParamsError(f"the parameter {name} is {getattr(params, name)} basis points, more than the whole")
    split = params.prover_share_bp + params.verifier_share_bp + params.network_share_bp
    if split != BASIS_POINTS:
        raise ParamsError(
            f"prover_share_bp, verifier_share_bp and network_share_bp sum to {split} instead of {BASIS_POINTS}"
        )
    paid_bp = (params.prover_share_bp + params.verifier_share_bp) * (BASIS_POINTS + params.subsidy_bp)
    if paid_bp > BASIS_POINTS * BASIS_POINTS:
        raise ParamsError(
            f"subsidy_bp is {params.subsidy_bp}: with it a task would pay out more than its fee, "
            "so that buying proofs from oneself empties the network pool"
        )
    if params.capacity_program and len(params.capacity_program) != 32:
        raise ParamsError(f"capacity_program has {len(params.capacity_program)} bytes instead of a program id's 32")
    cpu, gpu = params.cpu_node, params.gpu_node
    for name, node in (("cpu_node", cpu), ("gpu_node", gpu)):
        if not (node.resources.cpu_millis and node.resources.memory_bytes):
            raise ParamsError(f"{name} must state cpu_millis and memory_bytes above 0")
        if not 1 <= node.ucredit_per_hour <= MAX_AMOUNT:
            raise ParamsError(f"{name} must state ucredit_per_hour from 1 to {MAX_AMOUNT}")
    if cpu.resources.gpus or not gpu.resources.gpus:
        raise ParamsError("cpu_node must have no GPU and gpu_node at least one")


# (name, least, most): within these no sum or product that a block computes outgrows its 64-bit field, and no block has
# to do more than it can.
_RANGES = (
    ("accept_window_blocks", 1, 1_000_000),
    ("decline_limit", 0, 1_000),
    ("decline_window_ms", 1, _YEARS_MS),
    ("misses_to_jail", 1, 1_000),
    ("miss_window_ms", 1, _YEARS_MS),
    ("transfer_allowance_ms", 0, _YEARS_MS),
    ("transfer_bytes_per_second", MIB, MAX_AMOUNT),
    ("prover_bond_min", 1, MAX_AMOUNT),
    ("exit_cooldown_ms", 0, _YEARS_MS),
    ("retest_idle_after_ms", 1, _YEARS_MS),
    ("retest_random_blocks", 1, _UINT32_MAX),
    ("prover_share_bp", 1, BASIS_POINTS),
    ("commit_window_ms", 1, _YEARS_MS),
    ("reveal_window_ms", 1, _YEARS_MS),
    ("committee_min", 1, 1_000),
    # More than half, or two verdicts could both win.
    ("verdict_quorum_bp", BASIS_POINTS // 2 + 1, BASIS_POINTS),
    ("verification_rounds_max", 1, 8),
    ("program_strikes_max", 1, 1_000),
    ("program_strike_window_ms", 1, _YEARS_MS),
    ("inputs_max", 1, 1_024),
    ("inline_max_bytes", 0, 16 * MIB),
    ("assignments_per_block_max", 1, 100_000),
    ("draw_looks_max", 1, 100_000),
    ("credit_price_umill", 1, MAX_AMOUNT),
    ("gas_price_umill", 0, MAX_AMOUNT),
    ("tx_bytes_max", 1, 64 * MIB),
    ("deploy_fee_per_kib", 0, MAX_AMOUNT),
    ("time_limit_max_s", 1, _YEARS_MS // SECOND_MS),
    ("queue_timeout_max_s", 1, _YEARS_MS // SECOND_MS),
    ("verifier_time_limit_max_s", 1, _YEARS_MS // SECOND_MS),
    ("blob_max_bytes", 1, 1 << 50),
    ("inflation_per_block", 0, MAX_AMOUNT),
    # Half of a slash of at least the fee makes good for what the refund took: no more than that can be refunded.
    ("refund_on_fallback_bp", 0, BASIS_POINTS // 2),
    ("capacity_time_limit_s", 1, 3_600),
    ("capacity_grace_ms", 0, 600 * SECOND_MS),
    ("test_retry_ms", 0, _YEARS_MS),
    ("version", 0, _UINT32_MAX - 1),
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
