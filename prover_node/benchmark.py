"""What this machine may claim: the capacity program's prover, run here as a test on the network would run it.

A test's work grows with the claim, so that on cores of the usual speed any claim takes about the same time as long as
the machine has what is claimed, and more in proportion where it hasn't.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prover_node.duties import Resources

TRIES_MAX = 5
# A claim that is beyond the machine is let run longer, to learn by how much.
PATIENCE = 4
# Claiming less gained less than this share of the cut: then it isn't the claim that takes the time.
_GAIN_SHARE = 4
# A little less than in proportion, since a part of the time is always the same.
_CAUTION_PERCENT = 95
_STEP_MILLIS = 100
_STEP_BYTES = 64 << 20
_LEAST = Resources(_STEP_MILLIS, 128 << 20, 0)
_FILL_SAID = re.compile(r"capacity: done in (\d+) ms of which fill (\d+) ms\s*\Z")


@dataclass(frozen=True)
class Trial:
    """One run for a claim: how long it took, and why it brought no proof (empty if it did)."""

    claim: Resources
    wall_ms: int
    fill_ms: int = 0
    """Of that, filling the memory."""
    problem: str = ""


@dataclass(frozen=True)
class Findings:
    """``trials`` in the order in which they were made, the wanted claim's first; ``largest`` is what may be claimed."""

    limit_ms: int
    target_ms: int
    trials: tuple[Trial, ...]
    largest: Resources | None
    advice: str

    def fits(self, trial: Trial) -> bool:
        """Whether a test of this claim would be passed with the margin."""
        return not trial.problem and trial.wall_ms <= self.target_ms


def fill_ms(stderr: str) -> int:
    """What the program says of how long filling the memory took; 0 if it says nothing."""
    said = _FILL_SAID.search(stderr)
    return int(said[2]) if said else 0


async def find_claim(
    wanted: Resources,
    ceiling: Resources,
    limit_ms: int,
    margin_percent: int,
    attempt: Callable[[Resources], Awaitable[Trial]],
) -> Findings:
    """Try ``wanted``, and as long as that is too much, less, or else once ``ceiling``; ``attempt`` makes one run."""
    target_ms = limit_ms * (100 - margin_percent) // 100
    trials: list[Trial] = []
    claim: Resources | None = wanted
    while claim is not None and len(trials) < TRIES_MAX:
        trial = await attempt(claim)
        trials.append(trial)
        if not trial.problem and trial.wall_ms <= target_ms:
            if claim != wanted:
                return Findings(limit_ms, target_ms, tuple(trials), claim, "the largest claim found that fits")
            if ceiling == wanted:
                return Findings(limit_ms, target_ms, tuple(trials), claim, "the claim fits")
            trials.append(await attempt(ceiling))
            more = not trials[-1].problem and trials[-1].wall_ms <= target_ms
            advice = "all that this machine has fits" if more else "the claim fits, all that this machine has doesn't"
            return Findings(limit_ms, target_ms, tuple(trials), ceiling if more else wanted, advice)
        if _gained_nothing(trials):
            return Findings(limit_ms, target_ms, tuple(trials), None, _too_slow(trial, target_ms))
        claim = _less(trial, target_ms)
    last = trials[-1]
    advice = f"no claim was found that fits: {last.problem}" if last.problem else _too_slow(last, target_ms)
    return Findings(limit_ms, target_ms, tuple(trials), None, advice)


def _less(trial: Trial, target_ms: int) -> Resources | None:
    """A smaller claim, of that which took the time; ``None`` if there is none."""
    claim = trial.claim
    if trial.problem:
        # Out of memory, or ended by a limit that is far beyond any test's.
        share, all_of_it = 50, True
    else:
        share, all_of_it = max(_CAUTION_PERCENT * target_ms // trial.wall_ms, 10), 2 * trial.fill_ms > trial.wall_ms
    memory = claim.memory_bytes * share // 100 // _STEP_BYTES * _STEP_BYTES if all_of_it else claim.memory_bytes
    smaller = Resources(
        max(claim.cpu_millis * share // 100 // _STEP_MILLIS * _STEP_MILLIS, _LEAST.cpu_millis),
        min(max(memory, _LEAST.memory_bytes), claim.memory_bytes),
        claim.gpus,
    )
    return None if smaller == claim else smaller


def _gained_nothing(trials: list[Trial]) -> bool:
    if len(trials) < 2 or trials[-1].problem or trials[-2].problem:
        return False
    before, after = trials[-2:]
    cut = 100 - min(
        100 * after.claim.cpu_millis // before.claim.cpu_millis,
        100 * after.claim.memory_bytes // before.claim.memory_bytes,
    )
    gained = 100 - 100 * after.wall_ms // max(before.wall_ms, 1)
    return _GAIN_SHARE * gained < cut


def _too_slow(trial: Trial, target_ms: int) -> str:
    what = "its GPUs are" if trial.claim.gpus else "its cores are, or something else uses them"
    return (
        f"{trial.wall_ms / 1000:.1f} s are too long for the {target_ms / 1000:.1f} s that a test may take with the "
        f"margin, and claiming less doesn't help: this machine is too slow ({what})"
    )
