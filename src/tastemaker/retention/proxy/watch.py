"""Whether a proxy's thresholds still keep their promise on answers given since: the drift alarm, as a
claim.
"""

from __future__ import annotations

import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.retention.proxy.claim import NAMES, outcomes
from tastemaker.retention.proxy.model import SIDES, Proxy, predict
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Table, Verdict
from tastemaker.retention.threshold import Drift, drift, wilson


def drift_claim(proxy: Proxy, rows: pa.Table, name: str = "rows") -> ClaimReport:
    """'No threshold is shown to miss its promise on fresh answers', from rows answered after the thresholds
    were chosen.

    Not supported: on a side the one-sided upper bound of the fresh precision lies below the target. Cannot
    tell: no fresh answer above a threshold. Raises InputError when the proxy has no threshold, or as
    `outcomes` and `predict`.
    """
    chosen = {side: one for side, one in proxy.thresholds.items() if one.tau is not None}
    if not chosen:
        raise InputError("the proxy has no threshold to watch; run `tastemaker proxy thresholds` first")
    truth, kept, weight = outcomes(rows, proxy, name)
    predicted = dict(zip(SIDES, predict(proxy, kept, name=name), strict=True))
    found = {side: drift(one, predicted[side], truth[side], weight) for side, one in chosen.items()}
    alarms = [f"{NAMES[side]}: {one.reason}" for side, one in found.items() if one.alarm]
    empty = [f"{NAMES[side]}: {one.reason}" for side, one in found.items() if not one.n]
    verdict: Verdict = "not supported" if alarms else "cannot tell" if empty else "supported"
    fine = f"No upper bound of {len(found)} lies below its target on {kept.num_rows:,} fresh answers"
    return ClaimReport(
        claim="No threshold is shown to miss its promise on fresh answers.",
        verdict=verdict,
        because="; ".join(alarms or empty or [fine]) + ".",
        paper=(_points(proxy, found),),
        corrected=(_bounds(proxy, found),),
        differ=(
            (
                "A point precision below its target is chance half of the time; an upper bound below it is"
                " chance in 5 %."
            ),
        ),
        figures=(_figure(proxy, found),),
        assumptions=("The answers were given after the thresholds were chosen, and asking did not change.",),
        limits=(
            "No alarm is no proof: few fresh answers show little. Choose the thresholds again on schedule.",
        ),
    )


def _points(proxy: Proxy, found: dict[str, Drift]) -> Table:
    """As published thresholds would be watched: the point."""
    rows: list[dict[str, Cell]] = [
        {
            "side": NAMES[side],
            "target": proxy.thresholds[side].target,
            "precision now": one.precision,
            "rows": one.n,
        }
        for side, one in found.items()
    ]
    return Table.of("Point precision", rows, "No rule for watching them is published.")


def _bounds(proxy: Proxy, found: dict[str, Drift]) -> Table:
    rows: list[dict[str, Cell]] = []
    for side, one in found.items():
        then = proxy.thresholds[side]
        row: dict[str, Cell] = {
            "side": NAMES[side],
            "threshold": then.tau,
            "target": then.target,
            "precision then": then.precision,
        }
        row |= {"precision now": one.precision, "upper bound now": one.upper, "alarm": one.alarm}
        rows.append(row | {"prevalence then": then.prevalence, "prevalence now": one.prevalence})
    return Table.of("Upper bound of the fresh precision", rows)


def _figure(proxy: Proxy, found: dict[str, Drift]) -> Intervals:
    """Precision of each side minus its target, then and now, with one-sided bounds."""
    rows: list[tuple[str, float, float, float]] = []
    for side, one in found.items():
        then = proxy.thresholds[side]
        high = float(wilson(then.precision * then.effective_n, then.effective_n, then.alpha, "upper"))
        goal = then.target
        rows.append((f"{NAMES[side]}, then", then.precision - goal, then.bound - goal, high - goal))
        if one.n:
            low = float(wilson(one.precision * one.n, one.n, then.alpha))
            rows.append((f"{NAMES[side]}, now", one.precision - goal, low - goal, one.upper - goal))
    marked = tuple(name for name, *_ in rows if name.endswith("now"))
    return Intervals("Precision against what is promised", "precision minus target", tuple(rows), 0.0, marked)
