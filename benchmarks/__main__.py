"""`python -m benchmarks` runs all of them; `python -m benchmarks NAME …` some."""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.report import print_machine, say

NAMES = ("draw", "apply_block", "bookkeeping", "latency", "throughput", "memory", "capacity_gpu")


def main() -> int:
    wanted = sys.argv[1:] or NAMES
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        sys.stderr.write(f"there is no benchmark {unknown[0]!r}: choose from {', '.join(NAMES)}\n")
        return 2
    print_machine()
    for name in wanted:
        say(f"benchmark {name}")
        import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
