"""How often this process looks for garbage that reference counts don't free."""

from __future__ import annotations

import gc

# Objects made since the last look. A full block makes some hundred thousand that all live until it is committed; at
# the default of 700 the collector walks through them again and again and finds nothing: the chain makes no cycles.
_YOUNG = 50_000
_MIDDLE = 20
_OLD = 50


def tune_collector() -> None:
    """Leave what was loaded until now out of every collection, and collect the rest more rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
