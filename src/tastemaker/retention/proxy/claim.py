"""A proxy on users it never saw: calibration by cohort, thresholds with bounds, drift; and the reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
from scipy.special import ndtri

from tastemaker.errors import InputError
from tastemaker.retention.calibrate import Calibration, Calibrator, calibration_table, fit_calibrator
from tastemaker.retention.proxy.model import SIDES, Floats, Proxy, predict
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Lines, Table, Verdict
from tastemaker.retention.threshold import Drift, Threshold, drift, threshold_at_precision, wilson
from tastemaker.schema.columns import numbers
from tastemaker.stats.intervals import Interval

NEAR = (0.97, 1.03)
FAR = (0.9, 1.1)
TARGETS = {"pos": 0.8, "neg": 0.6}
NAMES = {"pos": "positive (4 or 5)", "neg": "negative (1 or 2)"}


def outcomes(
    rows: pa.Table, proxy: Proxy, name: str = "rows"
) -> tuple[dict[str, Floats], pa.Table, Floats | None]:
    """By side, 1 where the answer is good (bad) and 0 otherwise, neutrals included; the answered rows; their
    weights.
    """
    answer = numbers(rows, proxy.settings.answer, name, nulls=True)
    selected = rows.filter(pa.array(~np.isnan(answer)))
    message = answer[~np.isnan(answer)]
    weight = (
        None if proxy.settings.weight is None else numbers(selected, proxy.settings.weight, name, nulls=True)
    )
    return (
        {"pos": (message >= 4).astype(np.float64), "neg": (message <= 2).astype(np.float64)},
        selected,
        weight,
    )


def calibrate_proxy(proxy: Proxy, rows: pa.Table, method: str = "platt", name: str = "rows") -> Proxy:
    """The proxy with a calibrator a side, fitted on `rows` of users it was not trained on. Raises as
    `fit_calibrator`.
    """
    bare = proxy.calibrated({})
    truth, selected, weight = outcomes(rows, proxy, name)
    results: dict[str, Calibrator] = {}
    for side, p in zip(SIDES, predict(bare, selected, name=name), strict=True):
        results[side] = fit_calibrator(p, truth[side], weight, method)
    return bare.calibrated(results)


def choose_thresholds(
    proxy: Proxy,
    rows: pa.Table,
    targets: Mapping[str, float] | None = None,
    alpha: float = 0.05,
    name: str = "rows",
) -> Proxy:
    """The proxy with thresholds a side whose precision is guaranteed (neutrals are misses).

    rows: users that neither fitted nor calibrated it. Raises InputError as `threshold_at_precision`.
    """
    truth, selected, weight = outcomes(rows, proxy, name)
    goals = dict(TARGETS) | dict(targets or {})
    thresholds = {
        side: threshold_at_precision(p, truth[side], weight, target=goals[side], alpha=alpha)
        for side, p in zip(SIDES, predict(proxy, selected, name=name), strict=True)
    }
    return replace(proxy, thresholds=thresholds)


def calibration(
    proxy: Proxy,
    rows: pa.Table,
    cohort: str | None = None,
    user: str = "user_id",
    key: int | str = 0,
    name: str = "rows",
) -> dict[str, list[Calibration]]:
    """Calibration tables by side, overall and by the column `cohort`."""
    truth, selected, weight = outcomes(rows, proxy, name)
    by = (
        None
        if cohort is None
        else np.array([f"{cohort} = {value}" for value in selected[cohort].to_pylist()])
    )
    users = np.array([str(value) for value in selected[user].to_pylist()])
    return {
        side: calibration_table(p, truth[side], weight, by=by, users=users, key=key)
        for side, p in zip(SIDES, predict(proxy, selected, name=name), strict=True)
    }


def calibration_claim(
    tables: Mapping[str, Sequence[Calibration]],
    proxy: Proxy,
    before: Mapping[str, Sequence[Calibration]] | None = None,
) -> ClaimReport:
    """'The probabilities come true in every cohort'. tables: side -> cohorts; before: the same without a
    calibrator.

    Supported: every expected/observed interval, widened for their number, inside .9 to 1.1. Not supported:
    one lies wholly outside .97 to 1.03.
    """
    each = [(f"{NAMES[side]}, {part.cohort}", part) for side in SIDES for part in tables[side]]
    ratios = {name: part.expected_observed for name, part in each}
    verdict, because = _verdict(ratios)
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
        tables=tuple(shown),
        figures=(
            Intervals.of("Expected over observed (1 is right)", "expected / observed", ratios, reference=1.0),
            Lines("Reliability", "predicted", "happened", (*lines, *truth)),
        ),
        assumptions=(
            "Users of this table neither fitted nor calibrated the proxy.",
            "Weights make answers stand for everyone asked.",
        ),
        limits=(
            (
                "A calibrated proxy predicts answers; whether acting on them brings people back is for the"
                " path tests and a trial."
            ),
        ),
        settings=asdict(proxy.settings) | {"answers": proxy.n, "about": dict(proxy.about)},
    )


def threshold_claim(proxy: Proxy) -> ClaimReport:
    """'Acting above the thresholds is right as often as promised': supported when both sides have one, else
    cannot tell.
    """
    sure = 100 * (1 - max(threshold.alpha for threshold in proxy.thresholds.values()))
    missing = {
        side: threshold.reason for side, threshold in proxy.thresholds.items() if threshold.tau is None
    }
    text = [
        f"{NAMES[s]} above {t.tau:.2f}, at least {t.bound:.3f}"
        for s, t in proxy.thresholds.items()
        if t.tau is not None
    ]
    because = "; ".join(
        [*text, *(f"{NAMES[side]}: no threshold, {reason}" for side, reason in missing.items())]
    )
    return ClaimReport(
        claim=(
            f"Acting above the thresholds is right as often as promised, with {sure:g} % confidence a side."
        ),
        verdict="cannot tell" if missing else "supported",
        because=because + ".",
        tables=(_thresholds("Fixed sequence of lower bounds", proxy.thresholds),),
        figures=(_promises(proxy.thresholds),),
        assumptions=(
            "Fresh impressions come from the same mix as these answers; the drift alarm watches it.",
        ),
        limits=("Thresholds move with prevalence: choose them again on schedule, and keep the old ones.",),
        settings=asdict(proxy.settings),
    )


def drift_claim(proxy: Proxy, rows: pa.Table, name: str = "rows") -> ClaimReport:
    """'No threshold is shown to miss its promise on fresh answers', from rows answered after the thresholds
    were chosen.

    Not supported: on a side the one-sided upper bound of the fresh precision lies below the target. Cannot
    tell: no fresh answer above a threshold. Raises InputError when the proxy has no threshold, or as
    `outcomes` and `predict`.
    """
    chosen = {side: threshold for side, threshold in proxy.thresholds.items() if threshold.tau is not None}
    if not chosen:
        raise InputError(
            "the proxy has no threshold to watch; run `tastemaker retention proxy thresholds` first"
        )
    truth, selected, weight = outcomes(rows, proxy, name)
    predicted = dict(zip(SIDES, predict(proxy, selected, name=name), strict=True))
    results = {side: drift(item, predicted[side], truth[side], weight) for side, item in chosen.items()}
    alarms = [f"{NAMES[side]}: {item.reason}" for side, item in results.items() if item.alarm]
    empty = [f"{NAMES[side]}: {item.reason}" for side, item in results.items() if not item.n]
    verdict: Verdict = "not supported" if alarms else "cannot tell" if empty else "supported"
    fine = f"No upper bound of {len(results)} lies below its target on {selected.num_rows:,} fresh answers"
    return ClaimReport(
        claim="No threshold is shown to miss its promise on fresh answers.",
        verdict=verdict,
        because="; ".join(alarms or empty or [fine]) + ".",
        tables=(_bounds(proxy, results),),
        figures=(_drift_figure(proxy, results),),
        assumptions=("The answers were given after the thresholds were chosen, and asking did not change.",),
        limits=(
            "No alarm is no proof: few fresh answers show little. Choose the thresholds again on schedule.",
        ),
    )


def _promises(thresholds: Mapping[str, Threshold]) -> Intervals:
    """What each threshold holds on these rows against its promise; where there is none, the share of hits
    among all rows.
    """
    rows: list[tuple[str, float, float, float]] = []
    for side, threshold in thresholds.items():
        if threshold.tau is None:
            share = threshold.prevalence - threshold.target
            rows.append((f"{NAMES[side]}: no threshold, everybody", share, share, share))
            continue
        hits, n = threshold.precision * threshold.effective_n, threshold.effective_n
        low, high = (
            float(wilson(hits, n, threshold.alpha, end)) - threshold.target for end in ("lower", "upper")
        )
        rows.append((NAMES[side], threshold.precision - threshold.target, low, high))
    caption = "Bars: one-sided bounds both ways; neutral answers are misses."
    title = "Precision against what is promised"
    return Intervals(title, "precision minus target", tuple(rows), 0.0, (), caption)


def _verdict(ratios: Mapping[str, Interval]) -> tuple[Verdict, str]:
    known = {name: ratio for name, ratio in ratios.items() if np.isfinite(ratio.value) and ratio.value > 0}
    if not known:
        return "cannot tell", "No cohort has outcomes of both kinds."
    worst = max(known, key=lambda name: abs(known[name].value - 1))
    ratio = known[worst]
    words = f"The furthest from 1 is {worst}: {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]."
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
    """Whether some cohort's expected over observed is shown to lie outside .9 to 1.1: too wrong to rank by,
    however few answers the calibrator had.
    """
    ratios = [part.expected_observed for parts in tables.values() for part in parts]
    known = [ratio for ratio in ratios if np.isfinite(ratio.value) and ratio.value > 0]
    return bool(known) and any(low > FAR[1] or high < FAR[0] for low, high in _widened(known))


def _calibration(title: str, tables: Mapping[str, Sequence[Calibration]]) -> Table:
    rows: list[dict[str, Cell]] = [
        {
            "side": side,
            "cohort": table.cohort,
            "n": table.n,
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


def _thresholds(title: str, thresholds: Mapping[str, Threshold]) -> Table:
    rows: list[dict[str, Cell]] = [
        {
            "side": NAMES[side],
            "target": item.target,
            "threshold": item.tau,
            "precision": item.precision,
            "lower bound": item.bound,
            "n": item.n,
            "prevalence": item.prevalence,
            "why none": item.reason,
        }
        for side, item in thresholds.items()
    ]
    return Table.of(title, rows)


def _bounds(proxy: Proxy, drifts: dict[str, Drift]) -> Table:
    rows: list[dict[str, Cell]] = []
    for side, item in drifts.items():
        then = proxy.thresholds[side]
        row: dict[str, Cell] = {
            "side": NAMES[side],
            "threshold": then.tau,
            "target": then.target,
            "precision then": then.precision,
        }
        row |= {"precision now": item.precision, "upper bound now": item.upper, "alarm": item.alarm}
        rows.append(row | {"prevalence then": then.prevalence, "prevalence now": item.prevalence})
    return Table.of("Upper bound of the fresh precision", rows)


def _drift_figure(proxy: Proxy, drifts: dict[str, Drift]) -> Intervals:
    """Precision of each side minus its target, then and now, with one-sided bounds."""
    rows: list[tuple[str, float, float, float]] = []
    for side, item in drifts.items():
        then = proxy.thresholds[side]
        high = float(wilson(then.precision * then.effective_n, then.effective_n, then.alpha, "upper"))
        goal = then.target
        rows.append((f"{NAMES[side]}, then", then.precision - goal, then.bound - goal, high - goal))
        if item.n:
            low = float(wilson(item.precision * item.n, item.n, then.alpha))
            rows.append((f"{NAMES[side]}, now", item.precision - goal, low - goal, item.upper - goal))
    marked = tuple(name for name, *_ in rows if name.endswith("now"))
    return Intervals("Precision against what is promised", "precision minus target", tuple(rows), 0.0, marked)
