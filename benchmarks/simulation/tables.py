"""The report's tables, in Markdown, from the results of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.simulation.agents import Node
from benchmarks.simulation.attacks import ATTACKS
from benchmarks.simulation.measure import average
from benchmarks.simulation.proposer import WITHHOLD
from benchmarks.simulation.stats import Mean, mean_of, percentile
from benchmarks.simulation.sweep import INVALID_BP, combine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.simulation.attacks import Damage
    from benchmarks.simulation.plan import Results
    from benchmarks.simulation.stats import ChiSquare
    from benchmarks.simulation.sweep import Cell, Outcome, Result

_DAY_S = 86_400


def make_tables(results: Results) -> dict[str, str]:
    """Every table by its name in the document."""
    makers: dict[str, Callable[[Results], str]] = {
        "calibration": _calibration,
        "fairness": _fairness,
        "kinds": _kinds,
        "sizes": _sizes,
        "waiting": _waiting,
        "block": _block,
        "state": _state,
        "honest": _honest,
        "strategies": _strategies,
        "components": _components,
        "harm": _harm,
        "lazy": _lazy,
        "attacks": _attacks,
        "proposer": _proposer,
        "capture": _capture,
        "upkeep": _upkeep,
        "split": _split,
    }
    return {name: make(results) for name, make in makers.items()}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; all columns but the first flush right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def mill(umill: float, *, sign: bool = False) -> str:
    """umill as MILL, to about three digits."""
    value = umill / 1e6
    size = abs(value)
    digits = 0 if size >= 1_000 else 1 if size >= 100 else 2 if size >= 1 else 3 if size >= 0.1 else 4
    text = f"{value:+,.{digits}f}" if sign else f"{value:,.{digits}f}"
    return "0" if not float(text.replace(",", "")) else text.replace("-", "−")


def mean(one: Mean) -> str:
    """In MILL, with the half width of its interval; bold if it is surely above zero."""
    text = f"{mill(one.value, sign=True)} ± {mill(one.half)}"
    return f"**{text}**" if one.sign > 0 else text


def _calibration(results: Results) -> str:
    one = results.calibration
    if one is None:
        return ""
    same = "equal, every row" if one.same else "DIFFERENT"
    return table(
        ("blocks", "transactions", "tasks", "rows of state", "states", "tree bytes for a byte of state"),
        [
            (
                f"{one.blocks:,}",
                f"{one.txs:,}",
                f"{one.tasks:,}",
                f"{one.rows:,}",
                same,
                f"{one.tree_bytes / one.row_bytes:.2f}",
            )
        ],
    )


def _chi(one: ChiSquare) -> tuple[str, str, str, str]:
    return f"{one.draws:,}", f"{one.ratio:.3f}", f"{one.z:+.1f}".replace("-", "−"), f"{one.p:.3f}"


def _fairness(results: Results) -> str:
    rows = []
    for peak, found in results.peaks.items():
        if peak.signed:
            continue
        rows.append((f"{peak.name}: assignments", f"{peak.nodes:,}", *_chi(found.all_assignments)))
        rows.append((f"{peak.name}: committee seats", f"{peak.nodes:,}", *_chi(found.seats)))
        rows.append(
            (
                f"{peak.name}: drawn in two blocks running",
                "",
                f"{found.repeats:,}",
                f"{found.repeats / found.repeats_expected:.3f}",
                "",
                "",
            )
        )
    return table(("run", "provers", "draws", "variance ÷ fair", "z", "p"), rows)


def _kinds(results: Results) -> str:
    rows = []
    for peak, found in results.peaks.items():
        if peak.mixed and not peak.signed:
            rows += [(f"{peak.name}: {name} tasks", f"{one.cells:,}", *_chi(one)) for name, one in found.kinds.items()]
    return table(("run", "provers large enough", "draws", "variance ÷ fair", "z", "p"), rows)


def _sizes(results: Results) -> str:
    day = results.day
    if day is None:
        return ""
    rows = []
    for name, (count, assigned, busy, umill) in sorted(day.sizes.items(), key=lambda item: day.cores[item[0]]):
        rows.append((name, f"{count:,}", f"{assigned:.2f}", f"{busy:.1%}", mill(umill), mill(umill / day.cores[name])))
    return table(
        ("prover", "of them", "tasks a day each", "cores in use", "MILL a day each", "MILL a day and core"), rows
    )


def _waiting(results: Results) -> str:
    rows = []
    if results.day is not None:
        for name, waits in results.day.waits.items():
            many = sum(waits.values())
            rows.append(
                (
                    f"{name} tasks",
                    f"{many:,}",
                    *(str(percentile(waits, percent)) for percent in (50, 95, 99)),
                    str(max(waits, default=0)),
                    f"{sum(n for wait, n in waits.items() if wait > 1) / max(1, many):.1%}",
                )
            )
    return table(("day of 5-minute blocks", "tasks", "p50", "p95", "p99", "longest", "waited at all"), rows)


def _block(results: Results) -> str:
    rows = []
    for peak, found in results.peaks.items():
        size = 100 if peak.committee_share_bp else 10
        rows.append(
            (
                f"{peak.name}",
                f"{size}",
                f"{peak.tasks_per_s}",
                f"{found.txs:,.0f}",
                f"{found.gas_share:.0%}",
                "" if peak.signed else f"{found.begin_ms:,.0f}",
                "" if peak.signed else f"{found.txs_ms:,.0f}",
                f"{found.begin_ms + found.txs_ms:,.0f}",
            )
        )
    return table(
        (
            "run",
            "committee",
            "tasks a block",
            "transactions",
            "gas, of a block's",
            "begin_block, ms",
            "messages, ms",
            "all, ms",
        ),
        rows,
    )


def _state(results: Results) -> str:
    rows = []
    for peak, found in results.peaks.items():
        size = 100 if peak.committee_share_bp else 10
        if peak.signed:
            continue
        total = sum(found.bytes_a_task.values())
        votes = found.bytes_a_task.get("votes", 0)
        rows.append(
            (
                f"{peak.name}",
                f"{size}",
                f"{total:,.0f}",
                f"{votes:,.0f}",
                f"{total * peak.tasks_per_s * _DAY_S / 1e9:,.1f}",
            )
        )
    return table(("run", "committee", "bytes a task", "votes, of that", "GB a day at 200 tasks a second"), rows)


def _at(
    results: Results, strategy: str, percent: int, *, invalid_bp: int = INVALID_BP, committee: int = 10
) -> Result | None:
    found: list[Outcome] = [
        outcome
        for cell, outcome in results.cells.items()
        if (cell.strategy, cell.percent, cell.invalid_bp, cell.committee) == (strategy, percent, invalid_bp, committee)
    ]
    return combine(found) if found else None


def _honest(results: Results) -> str:
    found = [outcome.honest for cell, outcome in results.cells.items() if cell.strategy == Node.name]
    if not found:
        return ""
    one = average(found)
    rows = [
        ("reward for proofs", f"{one.assigned:.1f} assignments", mill(one.proving_reward)),
        ("reward for votes", f"{one.seats:.0f} seats", mill(one.verifying_reward)),
        ("subsidy", "", mill(one.subsidy + one.compensation)),
        ("proving", "60 % of the price", mill(-one.proving_cost)),
        ("verifying", "2 umill a run", mill(-one.verifying_cost)),
        ("capacity tests", f"{one.tests:.1f} tests", mill(-one.testing_cost)),
        ("slashes", "", mill(-one.slashed)),
        ("transaction fees", "duties are free", mill(-one.tx_fees)),
        ("**left**", "", f"**{mill(one.net)}**"),
    ]
    return table(("an honest node's day", "", "MILL"), rows)


def _names(results: Results) -> list[str]:
    names = dict.fromkeys(cell.strategy for cell in results.cells)
    return [name for name in names if name != Node.name]


def _shares(results: Results) -> list[int]:
    return sorted({cell.percent for cell in results.cells if cell.strategy != Node.name})


def _strategies(results: Results) -> str:
    rows = []
    shares = _shares(results)
    for name in _names(results):
        found = [_at(results, name, percent) or _at(results, name, percent, invalid_bp=500) for percent in shares]
        rows.append((name, *(mean(one.difference) if one else "" for one in found)))
    return table(("strategy", *(f"{percent} % of the nodes" for percent in shares)), rows)


def _harm(results: Results) -> str:
    rows = []
    shares = _shares(results)
    for name in _names(results):
        cells = []
        for percent in shares:
            one = _at(results, name, percent) or _at(results, name, percent, invalid_bp=500)
            if one is None:
                cells.append("")
                continue
            undecided = sum(run.undecided for run in one.outcomes) / sum(run.tasks for run in one.outcomes)
            cells.append(f"{undecided:.1%}, {mill(one.honest.slashed)}")
        if any(cell not in ("", "0.0%, 0") for cell in cells):
            rows.append((name, *cells))
    return table(("strategy", *(f"{percent} % of the nodes" for percent in shares)), rows)


def _components(results: Results) -> str:
    rows = []
    for name in _names(results):
        one = _at(results, name, 10) or _at(results, name, 10, invalid_bp=500)
        if one is None:
            continue
        cheat, honest = one.cheaters, one.honest
        rows.append(
            (
                name,
                mill(cheat.proving_reward - honest.proving_reward, sign=True),
                mill(cheat.verifying_reward - honest.verifying_reward, sign=True),
                mill(cheat.saved, sign=True),
                mill(-cheat.slashed),
                mill(honest.tx_fees - cheat.tx_fees, sign=True),
                mill(cheat.topped_up),
                f"{cheat.jails:.2f}",
                f"{cheat.jailed_share:.1%}",
            )
        )
    return table(
        (
            "strategy, 10 % of the nodes",
            "proofs",
            "votes",
            "work saved",
            "slashes",
            "fees saved",
            "topped up",
            "jails",
            "in jail",
        ),
        rows,
    )


def _lazy(results: Results) -> str:
    groups: dict[tuple[int, int, int], list[tuple[Cell, Outcome]]] = {}
    for cell, outcome in results.cells.items():
        if cell.strategy == "lazy verifier":
            groups.setdefault((cell.committee, cell.invalid_bp, cell.percent), []).append((cell, outcome))
    rows = []
    for (committee, invalid_bp, percent), found in sorted(groups.items()):
        outcomes = [outcome for _, outcome in found]
        right, wrong, none = (sum(one.invalid[index] for one in outcomes) for index in range(3))
        rounds = max(1, right + wrong + none)
        rows.append(
            (
                f"{invalid_bp / 100:g} %",
                str(committee),
                f"{percent} %",
                mean(mean_of([one.cheaters.net - one.honest.net for one in outcomes])),
                mill(average([one.cheaters for one in outcomes]).slashed),
                mill(average([one.honest for one in outcomes]).slashed),
                f"{sum(one.bad_share for one in outcomes) / len(outcomes):.2%}",
                f"{right / rounds:.0%} / {wrong / rounds:.0%} / {none / rounds:.0%}",
                str(sum(one.undecided for one in outcomes)),
            )
        )
    return table(
        (
            "invalid, aimed at",
            "seats",
            "lazy nodes",
            "difference",
            "slashed: lazy",
            "slashed: honest",
            "invalid, seen",
            "rounds on invalid proofs: right / wrong / no quorum",
            "tasks undecided",
        ),
        rows,
    )


def _attacks(results: Results) -> str:
    rows = []
    groups: dict[tuple[str, int], list[Damage]] = {}
    for damage in results.damages:
        groups.setdefault((damage.attack.name, damage.attack.percent), []).append(damage)
    for name, *_ in ATTACKS:
        for (group, percent), found in sorted(groups.items()):
            if group != name:
                continue
            hours = [one.attack.hours for one in found]
            profit = mean_of([one.profit / one.attack.hours for one in found])
            victims = sum(one.victims_slashed for one in found) / sum(hours)
            spent = sum(max(0, one.spent) for one in found)
            rows.append(
                (
                    name,
                    f"{percent} %",
                    f"{sum(one.tasks for one in found) / sum(hours):,.0f}",
                    f"{sum(one.done for one in found) / sum(hours):,.0f}",
                    mean(profit),
                    mill(victims),
                    f"{sum(one.victims_jails for one in found) / sum(hours):,.0f}",
                    f"{sum(one.victims_slashed for one in found) / spent:,.0f}" if spent else "it earns",
                    mill(sum(one.victims_unpaid_work for one in found) / sum(hours)) if name.startswith("free") else "",
                )
            )
    return table(
        (
            "attack",
            "own nodes",
            "runs an hour",
            "done an hour",
            "profit an hour",
            "strangers slashed an hour",
            "jailed an hour",
            "destroyed for 1 spent",
            "unpaid work an hour",
        ),
        rows,
    )


def _proposer(results: Results) -> str:
    rows = []
    for percent, hashes in dict.fromkeys((gain.bias.nodes_percent, gain.bias.hashes) for gain in results.gains):
        found = [gain for gain in results.gains if (gain.bias.nodes_percent, gain.bias.hashes) == (percent, hashes)]
        honest, chosen = (
            mean_of([100 * fees / gain.all_fees for gain, fees in pairs])
            for pairs in (
                [(gain, gain.honest_fees) for gain in found],
                [(gain, gain.chosen_fees) for gain in found],
            )
        )
        more = mean_of([100 * (gain.chosen_fees - gain.honest_fees) / gain.all_fees for gain in found])
        blocks = sum(gain.own_blocks for gain in found)
        rows.append(
            (
                "withholds, unseen" if hashes == WITHHOLD else f"best of {hashes} hashes",
                f"{percent} %",
                f"{blocks:,}",
                f"{sum(gain.changed for gain in found) / blocks:.0%}",
                f"{honest.value:.1f} %",
                f"{chosen.value:.1f} %",
                f"{more.value:+.1f} ± {more.half:.1f}",
            )
        )
    return table(
        (
            "proposer",
            "own nodes",
            "own blocks",
            "of them changed",
            "fees to own nodes, honest",
            "as it chose",
            "points",
        ),
        rows,
    )


def _capture(results: Results) -> str:
    rows = [
        (
            f"{one.size} of {one.nodes:,}",
            f"{one.nodes_percent} %",
            f"{one.hashes:,}",
            f"{one.trials:,}",
            f"{one.captured:,}",
            f"{one.captured / one.trials:.2%}",
        )
        for one in results.captures
    ]
    return table(("committee", "own nodes", "hashes to choose from", "tries", "with the quorum", "share"), rows)


def _upkeep(results: Results) -> str:
    rows = [
        (
            f"{one.nodes:,}",
            f"{one.seconds / 3_600:.2f}",
            f"{one.random_tests:.1f}",
            f"{one.idle_tests:.1f}",
            f"{one.group.seats:,.0f}",
            mill(one.group.testing_cost),
            mill(one.group.verifying_cost),
            mill(one.group.tx_fees),
        )
        for one in results.upkeeps
    ]
    return table(
        (
            "provers",
            "hours run",
            "random tests",
            "idle tests",
            "unpaid votes",
            "testing, MILL",
            "verifying, MILL",
            "fees, MILL",
        ),
        rows,
    )


def _split(results: Results) -> str:
    rows = []
    for parts in dict.fromkeys(one.split.parts for one in results.parted):
        found = [one for one in results.parted if one.split.parts == parts]
        own, factor = average([one.own for one in found]), mean_of([one.factor for one in found])
        net = mean_of([one.own.net * parts - one.others.net for one in found])
        rows.append(
            (
                str(parts),
                f"{own.assigned * parts:.1f}",
                f"{own.seats * parts:,.0f}",
                mill(own.earned * parts),
                f"{factor.value:.1f} ± {factor.half:.1f}",
                mean(net),
                f"{2_000 * parts:,}",
            )
        )
    return table(
        (
            "a machine of 64 cores as",
            "tasks a day",
            "seats a day",
            "MILL earned a day",
            "times an undivided one",
            "more left a day",
            "bonds, MILL",
        ),
        rows,
    )
