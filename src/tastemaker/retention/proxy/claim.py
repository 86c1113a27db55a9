"""What can be claimed of a proxy: its probabilities come true, its thresholds hold, it has not drifted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa
from scipy.special import ndtri

from tastemaker.errors import many
from tastemaker.retention.calibrate import Calibration
from tastemaker.retention.proxy.judge import WATCHED, Change, changes, judge
from tastemaker.retention.proxy.model import SIDES, Proxy
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Lines, Table, Verdict
from tastemaker.retention.threshold import UNITS_MIN, Drift, Threshold, drift, precision_bound
from tastemaker.stats.intervals import Interval

NEAR = (0.97, 1.03)
FAR = (0.9, 1.1)
NAMES = {"pos": "positive (4 or 5)", "neg": "negative (1 or 2)"}
PARTS = {
    "fit": "the slopes were fitted on",
    "calibrate": "the calibrators were fitted on",
    "test": "it is judged by",
}
PROMISED = "Precision against what is promised"


def calibration_claim(
    tables: Mapping[str, Sequence[Calibration]],
    proxy: Proxy,
    before: Mapping[str, Sequence[Calibration]] | None = None,
) -> ClaimReport:
    """'The probabilities come true in every cohort'. tables: side -> cohorts; before: without a calibrator.

    Supported: every expected/observed interval, widened for their number, inside .9 to 1.1. Not supported:
    one lies wholly outside .97 to 1.03. Cannot tell: some interval is too wide, or rests on fewer than
    `UNITS_MIN` people.
    """
    each = [(f"{NAMES[side]}, {part.cohort}", part) for side in SIDES for part in tables[side]]
    ratios = {name: part.expected_observed for name, part in each}
    verdict, because = _verdict(ratios)
    if leak := _leak_text(proxy):
        verdict, because = "cannot tell", f"{leak} {because}"
    lines = tuple(
        (name, tuple(point[1] for point in part.curve), tuple(point[2] for point in part.curve))
        for name, part in each
        if part.cohort == "all"
    )
    truth = (("as it should be", (0.0, 1.0), (0.0, 1.0)),)
    shown = [_calibration("Calibration on users it never saw", tables)]
    shown += [_calibration("The same proxy without a calibrator", before)] if before else []
    return ClaimReport(
        claim="The proxy's probabilities come true, in every cohort.",
        verdict=verdict,
        because=because,
        tables=(*shown, learnt_table(proxy)),
        figures=(
            Intervals.of("Expected over observed (1 is right)", "expected / observed", ratios, reference=1.0),
            Lines("Reliability", "predicted", "happened", (*lines, *truth)),
        ),
        assumptions=(
            f"Users of this table ('{proxy.settings.unit}') neither fitted nor calibrated the proxy, and are"
            " independent of each other.",
            "Weights make answers stand for everyone asked.",
        ),
        limits=(
            "A calibrated proxy predicts answers; whether acting on them brings people back is for the path"
            " tests and a trial.",
        ),
        settings=asdict(proxy.settings) | {"answers": proxy.n, "about": dict(proxy.about)},
    )


def _leak_text(proxy: Proxy) -> str:
    """In words, that a feature all but tells the answer; empty where none does."""
    feature = proxy.about.get("telling")
    return (
        f"The features all but tell the answer, '{feature}' most: it is the answer, or came after it; leave"
        " it out."
        if feature
        else ""
    )


def learnt_table(proxy: Proxy) -> Table:
    """How many answers, of how many people, each part of the proxy rests on."""
    counts = {"fit": [proxy.n, None]} | dict(proxy.about.get("counts", {}))
    rows: list[dict[str, Cell]] = [
        {"answers that": PARTS[part], "answers": counts[part][0], "people": counts[part][1]}
        for part in PARTS
        if part in counts
    ]
    return Table.of("What it was learnt from", rows)


def slopes_table(slopes: Mapping[str, Interval]) -> tuple[Table, ...]:
    """The slopes of `proxy.model.slope_intervals`; nothing where there were too few people for intervals."""
    rows: list[dict[str, Cell]] = [
        {"feature": name, "log-odds of a better answer, a standard deviation": slope}
        for name, slope in slopes.items()
    ]
    note = "Of the people fitted on alone; intervals by leaving out a tenth of them at a time."
    return (Table.of("Slopes", rows, note),) if rows else ()


def threshold_claim(proxy: Proxy) -> ClaimReport:
    """'Acting above the thresholds is right as often as promised': needs both sides, else cannot tell."""
    chosen, leak = proxy.thresholds, _leak_text(proxy)
    sure = 100 * (1 - max(threshold.alpha for threshold in chosen.values()))
    words = [
        f"{NAMES[side]}: no threshold, {item.reason}"
        if item.tau is None
        else (
            f"{NAMES[side]} above {item.tau:.2f}, at least {item.bound:.3f}"
            f" ({many(item.units, 'person', 'people')})"
        )
        for side, item in chosen.items()
    ]
    rows: list[dict[str, Cell]] = [
        {
            "side": NAMES[side],
            "target": item.target,
            "threshold": item.tau,
            "precision": item.precision,
            "lower bound": item.bound,
            "n": item.n,
            "people": item.units,
            "worth independent rows": round(item.effective_n),
            "prevalence": item.prevalence,
            "why none": item.reason,
        }
        for side, item in chosen.items()
    ]
    return ClaimReport(
        claim=f"Acting above the thresholds is right as often as promised, with {sure:g} % confidence a"
        " side.",
        verdict="cannot tell" if leak or any(item.tau is None for item in chosen.values()) else "supported",
        because=f"{leak} {'; '.join(words)}.".strip(),
        tables=(Table.of("Fixed sequence of lower bounds", rows),),
        figures=(_promises(chosen),),
        assumptions=(
            "Fresh impressions come from the same mix as these answers; the drift alarm watches it.",
            f"People ('{proxy.settings.unit}') are independent of each other; answers of one person need not"
            " be.",
        ),
        limits=("Thresholds move with prevalence: choose them again on schedule, and keep the old ones.",),
        settings=asdict(proxy.settings),
    )


def drift_claim(proxy: Proxy, rows: pa.Table, name: str = "rows", alpha: float = 0.05) -> ClaimReport:
    """'Fresh answers come as the proxy says', from rows answered after it was judged: its levels and its
    slope against what they were then, whatever rule ranks by it, and the promise of each threshold.

    Not supported: a change is shown (Holm over the watched, `alpha` in all), or the one-sided upper bound of
    the fresh precision at a threshold lies below its target. Cannot tell: fewer than `UNITS_MIN` people.
    Raises InputError as `judge`.
    """
    judged = judge(proxy, rows, name)
    watched = changes(proxy, judged, alpha)
    chosen = {side: item for side, item in proxy.thresholds.items() if item.tau is not None}
    drifts = {
        side: drift(item, judged.predicted[side], judged.truth[side], judged.weight, unit=judged.unit)
        for side, item in chosen.items()
    }
    alarms = [
        f"{WATCHED[item.what]}: {item.now.value:+.3f} [{item.now.low:+.3f}, {item.now.high:+.3f}], was"
        f" {item.then:+.3f} (p = {item.p:.2g})"
        for item in watched
        if item.alarm
    ]
    alarms += [f"{NAMES[side]}: {item.reason}" for side, item in drifts.items() if item.alarm]
    people = judged.people
    verdict: Verdict = "not supported" if alarms else "supported"
    because = "; ".join(alarms)
    if people < UNITS_MIN:
        verdict, because = (
            "cannot tell",
            f"Too few units: {many(people, 'person', 'people')} answered, {UNITS_MIN} are needed",
        )
    elif not alarms:
        because = (
            f"No change is shown by {many(len(judged.unit), 'fresh answer')} of"
            f" {many(people, 'person', 'people')}"
        )
    tables = [_watched(watched)] + ([_bounds(proxy, drifts)] if drifts else [])
    moved = tuple(
        (WATCHED[c.what], c.now.value - c.then, c.now.low - c.then, c.now.high - c.then) for c in watched
    )
    figures = [Intervals("Fresh answers against the predictions", "now minus then", moved, 0.0)]
    return ClaimReport(
        claim="Fresh answers come as the deployed proxy says.",
        verdict=verdict,
        because=because + ("; fit the proxy again." if alarms else "."),
        tables=tuple(tables),
        figures=(*figures, *([_drift_figure(proxy, drifts)] if drifts else [])),
        assumptions=(
            "The answers were given after the proxy was judged, and asking did not change.",
            f"People ('{proxy.settings.unit}') are independent of each other.",
            *(() if "watch" in proxy.about else ("An older proxy: it is compared with a perfect one.",)),
        ),
        limits=("No alarm is no proof: the table says which change would be seen in 4 of 5 cases.",),
        settings={"answers": len(judged.unit), "people": people},
    )


def _watched(watched: Sequence[Change]) -> Table:
    rows: list[dict[str, Cell]] = [
        {
            "watched": WATCHED[item.what],
            "then": item.then,
            "now": item.now,
            "p of no change, Holm": item.p,
            "alarm": item.alarm,
            "change seen 4 of 5 times": item.visible,
        }
        for item in watched
    ]
    return Table.of("Against what it was when it was judged", rows, "Intervals and tests by person.")


def _promises(thresholds: Mapping[str, Threshold]) -> Intervals:
    """What each threshold holds here against its promise; without one, the share of hits of all rows."""
    rows: list[tuple[str, float, float, float]] = []
    for side, item in thresholds.items():
        if item.tau is None:
            share = item.prevalence - item.target
            rows.append((f"{NAMES[side]}: no threshold, everybody", share, share, share))
        else:
            rows.append((NAMES[side], *_against(item)))
    caption = "Bars: one-sided bounds both ways; neutral answers are misses."
    return Intervals(PROMISED, "precision minus target", tuple(rows), 0.0, (), caption)


def _against(item: Threshold) -> tuple[float, float, float]:
    """Precision and its one-sided bounds both ways, minus the target."""
    high = float(precision_bound(item.precision, item.effective_n, item.units or item.n, item.alpha, "upper"))
    return item.precision - item.target, item.bound - item.target, high - item.target


def _verdict(ratios: Mapping[str, Interval]) -> tuple[Verdict, str]:
    known = {name: ratio for name, ratio in ratios.items() if np.isfinite(ratio.value) and ratio.value > 0}
    if not known:
        return "cannot tell", "No cohort has outcomes of both kinds."
    worst = max(known, key=lambda name: abs(known[name].value - 1))
    ratio = known[worst]
    words = f"The furthest from 1 is {worst}: {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]."
    few = {name: item.n for name, item in ratios.items() if item.n < UNITS_MIN}
    if few:
        name = min(few, key=lambda key: few[key])
        units = f"{many(few[name], 'person', 'people')} in {name}, {UNITS_MIN} are needed"
        return "cannot tell", f"{words} Too few units: {units}."
    ends = _widened(list(known.values()))
    if any(low > NEAR[1] or high < NEAR[0] for low, high in ends):
        return "not supported", words
    if len(known) == len(ratios) and all(low >= FAR[0] and high <= FAR[1] for low, high in ends):
        return "supported", words
    return "cannot tell", words + " Some intervals are too wide."


def _widened(ratios: Sequence[Interval]) -> list[tuple[float, float]]:
    """Ends of each interval, widened on the log scale so that all of them together err with 5 %."""
    wider = float(ndtri(1 - 0.025 / len(ratios)) / ndtri(0.975))
    return [
        (ratio.value * (ratio.low / ratio.value) ** wider, ratio.value * (ratio.high / ratio.value) ** wider)
        for ratio in ratios
    ]


def far_off(tables: Mapping[str, Sequence[Calibration]]) -> bool:
    """Whether some cohort's expected over observed is shown to lie outside .9 to 1.1: too wrong to rank."""
    ratios = [part.expected_observed for parts in tables.values() for part in parts]
    known = [ratio for ratio in ratios if np.isfinite(ratio.value) and ratio.value > 0]
    return bool(known) and any(low > FAR[1] or high < FAR[0] for low, high in _widened(known))


def _calibration(title: str, tables: Mapping[str, Sequence[Calibration]]) -> Table:
    rows: list[dict[str, Cell]] = [
        {
            "side": side,
            "cohort": table.cohort,
            "n": table.n,
            "people": table.expected_observed.n,
            "prevalence": table.prevalence,
            "E/O": table.expected_observed,
            "NE": table.ne,
            "Brier": table.brier,
            "reliability": table.reliability,
            "resolution": table.resolution,
            "ECE debiased": table.ece_debiased,
            "smooth ECE": table.ece_smooth,
        }
        for side in SIDES
        for table in tables[side]
    ]
    return Table.of(title, rows)


def _bounds(proxy: Proxy, drifts: Mapping[str, Drift]) -> Table:
    rows: list[dict[str, Cell]] = []
    for side, item in drifts.items():
        then = proxy.thresholds[side]
        row: dict[str, Cell] = {"side": NAMES[side], "threshold": then.tau, "target": then.target}
        row |= {"precision then": then.precision, "precision now": item.precision}
        row |= {"upper bound now": item.upper, "people": item.units, "alarm": item.alarm}
        rows.append(row | {"prevalence then": then.prevalence, "prevalence now": item.prevalence})
    return Table.of("Upper bound of the fresh precision", rows)


def _drift_figure(proxy: Proxy, drifts: Mapping[str, Drift]) -> Intervals:
    """Precision of each side minus its target, then (one-sided bounds both ways) and now (upper bound)."""
    rows: list[tuple[str, float, float, float]] = []
    for side, item in drifts.items():
        then = proxy.thresholds[side]
        rows.append((f"{NAMES[side]}, then", *_against(then)))
        if item.n:
            now = item.precision - then.target
            rows.append((f"{NAMES[side]}, now", now, now, item.upper - then.target))
    marked = tuple(name for name, *_ in rows if name.endswith("now"))
    return Intervals(PROMISED, "precision minus target", tuple(rows), 0.0, marked)
