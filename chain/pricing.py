"""What a task costs: protocol §8 "Price"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proofmill.params.v1.state_pb2 import Params
    from proofmill.types.v1.types_pb2 import Resources

_SECONDS_PER_HOUR = 3_600


def price(params: Params, resources: Resources, time_limit_s: int, redundancy: int) -> int:
    """ucredit: dominant share × node price × time limit × redundancy, rounded up. A task with a GPU pays GPU nodes."""
    node = params.gpu_node if resources.gpus else params.cpu_node
    whole = node.resources
    shares = [
        (resources.cpu_millis, whole.cpu_millis),
        (resources.memory_bytes, whole.memory_bytes),
    ]
    if resources.gpus:
        shares.append((resources.gpus, whole.gpus))
    factor = node.ucredit_per_hour * time_limit_s * redundancy
    return max(-(-used * factor // (total * _SECONDS_PER_HOUR)) for used, total in shares)
