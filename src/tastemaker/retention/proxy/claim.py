"""A proxy on users it never saw: calibration by cohort, thresholds with bounds; binary and ordinal side by
side; the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa

from tastemaker.retention.calibrate import Calibration, Calibrator, calibration_table, fit_calibrator
from tastemaker.retention.proxy.model import SIDES, Floats, Proxy, predict
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Lines, Table, Verdict
from tastemaker.retention.surveys import numbers
from tastemaker.retention.threshold import Threshold, threshold_at_precision, wilson
from tastemaker.stats.estimate import Estimate

NEAR = (0.97, 1.03)
FAR = (0.9, 1.1)
TARGETS = {"pos": 0.8, "neg": 0.6}
PUBLISHED = {"pos": 0.76, "neg": 0.62}  # p > .76, and p < .38 read as 1 − p > .62
PAPER_TITLE = "As published: binary proxy, neutrals dropped, p read as the chance of a good answer"
NAMES = {"pos": "positive (4 or 5)", "neg": "negative (1 or 2)"}


def outcomes(
    rows: pa.Table, proxy: Proxy, name: str = "rows"
) -> tuple[dict[str, Floats], pa.Table, Floats | None]:
    """By side, 1 where the answer is good (bad) and 0 otherwise, neutrals included; the answered rows; their
    weights.
    """
    answer = numbers(rows, proxy.settings.answer, name)
    kept = rows.filter(pa.array(~np.isnan(answer)))
    told = answer[~np.isnan(answer)]
    weight = None if proxy.settings.weight is None else numbers(kept, proxy.settings.weight, name)
    return {"pos": (told >= 4).astype(np.float64), "neg": (told <= 2).astype(np.float64)}, kept, weight


def calibrate(proxy: Proxy, rows: pa.Table, method: str, name: str = "rows") -> Proxy:
    """The proxy with a calibrator a side, fitted on `rows` of users it was not trained on. Raises as
    `fit_calibrator`.
    """
    bare = proxy.calibrated({})
    truth, kept, weight = outcomes(rows, proxy, name)
    found: dict[str, Calibrator] = {}
    for side, p in zip(SIDES, predict(bare, kept, name=name), strict=True):
        found[side] = fit_calibrator(p, truth[side], weight, method)
    return bare.calibrated(found)


def choose_thresholds(
    proxy: Proxy,
    rows: pa.Table,
    targets: Mapping[str, float] | None = None,
    alpha: float = 0.05,
    name: str = "rows",
) -> tuple[Proxy, dict[str, Threshold]]:
    """The proxy with thresholds a side whose precision is guaranteed (neutrals are misses), and the paper's
    choice beside.

    rows: users that neither fitted nor calibrated it. Raises InputError as `threshold_at_precision`.
    """
    truth, kept, weight = outcomes(rows, proxy, name)
    goals = dict(TARGETS) | dict(targets or {})
    safe, paper = {}, {}
    for side, p in zip(SIDES, predict(proxy, kept, name=name), strict=True):
        safe[side] = threshold_at_precision(p, truth[side], weight, target=goals[side], alpha=alpha)
        paper[side] = threshold_at_precision(
            p, truth[side], weight, target=goals[side], alpha=alpha, mode="paper"
        )
    return replace(proxy, thresholds=safe), paper


def calibration(
    proxy: Proxy,
    rows: pa.Table,
    cohort: str | None,
    user: str,
    key: int | str,
    name: str = "rows",
    published: bool = False,
) -> dict[str, list[Calibration]]:
    """Calibration tables by side, overall and by the column `cohort`; published: as `predict` has it."""
    truth, kept, weight = outcomes(rows, proxy, name)
    by = None if cohort is None else np.array([f"{cohort} = {one}" for one in kept[cohort].to_pylist()])
    users = np.array([str(one) for one in kept[user].to_pylist()])
    return {
        side: calibration_table(p, truth[side], weight, by=by, users=users, key=key)
        for side, p in zip(SIDES, predict(proxy, kept, published=published, name=name), strict=True)
    }


def calibration_claim(
    tables: Mapping[str, Mapping[str, Sequence[Calibration]]], proxy: Proxy, paper_title: str = PAPER_TITLE
) -> ClaimReport:
    """'The probabilities come true in every cohort'. tables: name of a proxy ('paper' or 'corrected') -> side
    -> cohorts.

    Supported: every expected/observed interval inside .9 to 1.1. Not supported: one lies wholly outside .97
    to 1.03.
    """
    ratios = {
        f"{NAMES[side]}, {one.cohort}": one.expected_observed
        for side in SIDES
        for one in tables["corrected"][side]
    }
    verdict, because = _verdict(ratios)
    lines = tuple(
        (f"{NAMES[side]}, {one.cohort}", tuple(c[1] for c in one.curve), tuple(c[2] for c in one.curve))
        for side in SIDES
        for one in tables["corrected"][side]
        if one.cohort == "all"
    )
    truth = (("as it should be", (0.0, 1.0), (0.0, 1.0)),)
    return ClaimReport(
        claim="The proxy's probabilities come true, in every cohort.",
        verdict=verdict,
        because=because,
        paper=(_calibration(paper_title, tables["paper"]),) if "paper" in tables else (),
        corrected=(_calibration(f"{proxy.settings.kind} proxy", tables["corrected"]),),
        differ=(
            (
                "The published proxy drops neutrals and has no calibrator, so its numbers are chances given"
                " an answer other than 3."
            ),
        ),
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


def threshold_claim(proxy: Proxy, paper: Mapping[str, Threshold]) -> ClaimReport:
    """'Acting above the thresholds is right as often as promised': supported when both sides have one, else
    cannot tell.
    """
    sure = 100 * (1 - max(one.alpha for one in proxy.thresholds.values()))
    missing = {side: one.reason for side, one in proxy.thresholds.items() if one.tau is None}
    said = [
        f"{NAMES[s]} above {t.tau:.2f}, at least {t.bound:.3f}"
        for s, t in proxy.thresholds.items()
        if t.tau is not None
    ]
    because = "; ".join(
        [*said, *(f"{NAMES[side]}: no threshold, {reason}" for side, reason in missing.items())]
    )
    return ClaimReport(
        claim=(
            f"Acting above the thresholds is right as often as promised, with {sure:g} % confidence a side."
        ),
        verdict="cannot tell" if missing else "supported",
        because=because + ".",
        paper=(_thresholds("The published way: point precision", paper),),
        corrected=(_thresholds("Guaranteed: fixed sequence of lower bounds", proxy.thresholds),),
        figures=(_promises(paper, proxy.thresholds),),
        differ=(
            (
                "A point precision that meets the target misses it in about half of fresh samples; a lower"
                " bound does so in 5 %."
            ),
        ),
        assumptions=(
            "Fresh impressions come from the same mix as these answers; the drift alarm watches it.",
        ),
        limits=("Thresholds move with prevalence: choose them again on schedule, and keep the old ones.",),
        settings=asdict(proxy.settings),
    )


def _promises(paper: Mapping[str, Threshold], corrected: Mapping[str, Threshold]) -> Intervals:
    """What each threshold holds on these rows against its promise; where there is none, the share of hits
    among all rows.
    """
    rows: list[tuple[str, float, float, float]] = []
    for side, found in corrected.items():
        for way, one in (("point precision", paper[side]), ("guaranteed", found)):
            if one.tau is not None:
                ends = (
                    wilson(one.precision * one.effective_n, one.effective_n, one.alpha, end)
                    for end in ("lower", "upper")
                )
                low, high = (float(end) - one.target for end in ends)
                rows.append((f"{NAMES[side]}: {way}", one.precision - one.target, low, high))
        if found.tau is None and paper[side].tau is None:
            share = found.prevalence - found.target
            rows.append((f"{NAMES[side]}: no threshold, everybody", share, share, share))
    marked = tuple(name for name, *_ in rows if name.endswith("guaranteed"))
    caption = "Bars: one-sided bounds both ways; neutral answers are misses."
    return Intervals(
        "Precision against what is promised", "precision minus target", tuple(rows), 0.0, marked, caption
    )


def _verdict(ratios: Mapping[str, Estimate]) -> tuple[Verdict, str]:
    known = {name: one for name, one in ratios.items() if np.isfinite(one.value)}
    if not known:
        return "cannot tell", "No cohort has outcomes of both kinds."
    worst = max(known, key=lambda name: abs(known[name].value - 1))
    one = known[worst]
    said = f"The furthest from 1 is {worst}: {one.value:.3f} [{one.low:.3f}, {one.high:.3f}]."
    if any(one.low > NEAR[1] or one.high < NEAR[0] for one in known.values()):
        return "not supported", said
    if len(known) == len(ratios) and all(one.low >= FAR[0] and one.high <= FAR[1] for one in known.values()):
        return "supported", said
    return "cannot tell", said + " Some intervals are too wide."


def _calibration(title: str, tables: Mapping[str, Sequence[Calibration]]) -> Table:
    rows: list[dict[str, Cell]] = [
        {
            "side": side,
            "cohort": one.cohort,
            "n": one.n,
            "prevalence": one.prevalence,
            "E/O": one.expected_observed,
            "NE": one.ne,
            "Brier": one.brier,
            "reliability": one.reliability,
            "resolution": one.resolution,
            "ECE debiased": one.ece_debiased,
            "smooth ECE": one.ece_smooth,
        }
        for side in SIDES
        for one in tables[side]
    ]
    return Table.of(title, rows)


def _thresholds(title: str, found: Mapping[str, Threshold]) -> Table:
    rows: list[dict[str, Cell]] = [
        {
            "side": NAMES[side],
            "target": one.target,
            "threshold": one.tau,
            "precision": one.precision,
            "lower bound": one.bound,
            "n": one.n,
            "prevalence": one.prevalence,
            "why none": one.reason,
        }
        for side, one in found.items()
    ]
    return Table.of(title, rows)
