"""What this machine has, as far as it can be asked; `mill prover benchmark` measures what that is worth."""

from __future__ import annotations

import os

from prover_node.duties import Resources
from prover_node.runner.gpus import discover


def detected_cpu_millis() -> int:
    """All cores that this process may use."""
    return 1000 * len(os.sched_getaffinity(0))


def detected_memory_bytes() -> int:
    """Three quarters of this machine's memory, in whole MiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total // 4 * 3 >> 20 << 20


def detected_resources() -> Resources:
    """What could be claimed at most."""
    return Resources(detected_cpu_millis(), detected_memory_bytes(), len(discover()))
