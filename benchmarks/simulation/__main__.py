"""`python -m benchmarks.simulation [--quick]`: all runs, then the tables and plots of docs/simulation.md.

`--quick` takes less than a minute, prints its tables and writes nothing.
"""

from __future__ import annotations

import os
import sys
import time

from benchmarks.report import say
from benchmarks.simulation.document import write
from benchmarks.simulation.plan import full_plan, quick_plan, run_plan
from benchmarks.simulation.plots import make_plots
from benchmarks.simulation.tables import make_tables


def main() -> int:
    unknown = [argument for argument in sys.argv[1:] if argument != "--quick"]
    if unknown:
        sys.stderr.write(f"unknown argument {unknown[0]!r}: there is only --quick\n")
        return 2
    quick = "--quick" in sys.argv
    start = time.monotonic()
    results = run_plan(quick_plan() if quick else full_plan(), os.cpu_count() or 1)
    tables, plots = make_tables(results), make_plots(results)
    for name, text in tables.items():
        sys.stdout.write(f"\n{name}\n\n{text}\n")
    if not quick:
        write(tables, plots)
    say(f"{time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
