"""A proxy against answers of people it never saw: who answered what, how well it did, and what to watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from scipy.special import stdtr, stdtrit

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError, many
from tastemaker.retention.calibrate import Calibration, calibration_table, fit_calibrator
from tastemaker.retention.proxy.model import SIDES, Proxy, check_rows, predict
from tastemaker.retention.threshold import numbered, threshold_at_precision
from tastemaker.schema.columns import numbers, one_spelling, present, texts
from tastemaker.stats.intervals import Interval, holm

SKILL_MIN = 10  # people; Student's t allows for so few, and asks more of them
TARGETS = {"pos": 0.8, "neg": 0.6}
WATCHED = {
    "pos": "share of good answers beyond the predicted",
    "neg": "share of bad answers beyond the predicted",
    "slope": "slope of the answers' value on the predicted value",
}
PERFECT = {"pos": (0.0, 0.0), "neg": (0.0, 0.0), "slope": (1.0, 0.0)}


@dataclass(frozen=True, eq=False)
class Judged:
    """The n answered rows of a table. truth: by side ('pos', 'neg') 1 where the answer is good (bad) and 0
    otherwise, neutrals included; predicted: by side; weight (n,) or None; unit (n,): the person of each row,
    numbered from 0.
    """

    rows: pa.Table
    truth: Mapping[str, Floats]
    predicted: Mapping[str, Floats]
    weight: Floats | None
    unit: Ints

    @property
    def people(self) -> int:
        """How many units answered."""
        return int(self.unit.max(initial=-1)) + 1

    @property
    def weights(self) -> Floats:
        """(n,) the weights, 1 where there are none."""
        return np.ones(len(self.unit)) if self.weight is None else self.weight


def judge(proxy: Proxy, rows: pa.Table, name: str = "rows") -> Judged:
    """What the proxy says of answered `rows`. InputError: unit, answer, weight, feature or all missing."""
    settings = proxy.settings
    check_rows(rows, settings, name)
    answer = numbers(rows, settings.answer, name, nulls=True)
    answered = ~np.isnan(answer)
    if not answered.any():
        raise InputError(f"{name}: nobody answered '{settings.answer}'; a proxy is judged by answers")
    rows, answer = rows.filter(pa.array(answered)), answer[answered]
    weight = None if settings.weight is None else numbers(rows, settings.weight, name, nulls=True)
    unit = numbered(texts(rows, settings.unit, name).to_numpy(zero_copy_only=False).astype(str), len(answer))
    truth = {"pos": (answer >= 4).astype(np.float64), "neg": (answer <= 2).astype(np.float64)}
    predicted = dict(zip(SIDES, predict(proxy, rows, name=name), strict=True))
    return Judged(rows, truth, predicted, weight, unit)


def counted(proxy: Proxy, part: str, judged: Judged) -> Proxy:
    """The proxy with the number of answers and people of a part ('calibrate', 'test') in its `about`."""
    counts = dict(proxy.about.get("counts", {})) | {part: [len(judged.unit), judged.people]}
    return replace(proxy, about=dict(proxy.about) | {"counts": counts})


def calibrate_proxy(proxy: Proxy, rows: pa.Table, method: str = "platt", name: str = "rows") -> Proxy:
    """The proxy with a calibrator a side, of rows of users it never saw. Raises as `fit_calibrator`."""
    bare = proxy.calibrated({})
    judged = judge(bare, rows, name)
    fitted = {s: fit_calibrator(judged.predicted[s], judged.truth[s], judged.weight, method) for s in SIDES}
    return counted(bare, "calibrate", judged).calibrated(fitted)


def choose_thresholds(
    proxy: Proxy,
    rows: pa.Table,
    targets: Mapping[str, float] | None = None,
    alpha: float = 0.05,
    name: str = "rows",
) -> Proxy:
    """The proxy with thresholds a side whose precision is guaranteed (neutrals are misses; a person is the
    unit), and with how far it was off on `rows`, which later answers are compared with.

    rows: users that neither fitted nor calibrated it. Raises InputError as `threshold_at_precision`.
    """
    judged, goals = judge(proxy, rows, name), TARGETS | dict(targets or {})
    w, unit = judged.weight, judged.unit
    thresholds = {
        side: threshold_at_precision(p, judged.truth[side], w, unit=unit, target=goals[side], alpha=alpha)
        for side, p in judged.predicted.items()
    }
    about = dict(proxy.about) | {"watch": {k: list(v) for k, v in offsets(judged, proxy).items()}}
    return counted(replace(proxy, thresholds=thresholds, about=about), "test", judged)


def calibration(
    proxy: Proxy,
    rows: pa.Table,
    cohort: str | None = None,
    key: int | str = 0,
    name: str = "rows",
) -> dict[str, list[Calibration]]:
    """Calibration tables by side, overall and by the column `cohort`; intervals by person."""
    judged = judge(proxy, rows, name)
    by = None
    if cohort is not None:
        values = present(judged.rows, cohort, name).to_pylist()
        one_spelling(map(str, values), cohort, name)
        by = [f"{cohort} = {value}" for value in values]
    return {
        side: calibration_table(
            judged.predicted[side], judged.truth[side], judged.weight, by=by, unit=judged.unit, key=key
        )
        for side in SIDES
    }


def skill(judged: Judged) -> Interval:
    """Share of the log loss of knowing only the average answer that the proxy takes away, both sides
    together: 0 for a proxy that knows nothing, with an interval by person.

    The average is that of these rows themselves, which favours it. `reason` where fewer than `SKILL_MIN`
    people answered, or all of them the same.
    """
    w, gain, known = judged.weights, np.zeros(len(judged.unit)), np.zeros(len(judged.unit))
    for side in SIDES:
        y, p = judged.truth[side], np.clip(judged.predicted[side], 1e-9, 1 - 1e-9)
        rate = float(np.clip(np.average(y, weights=w), 1e-9, 1 - 1e-9))
        constant = -(y * np.log(rate) + (1 - y) * np.log1p(-rate))
        known += w * constant
        gain += w * (constant + y * np.log(p) + (1 - y) * np.log1p(-p))
    kind, total, people = "skill, by person", float(known.sum()), judged.people
    if people < SKILL_MIN:
        few = f"too few units: {many(people, 'person', 'people')} answered, {SKILL_MIN} are needed"
        return Interval.unknown(people, kind, few)
    if total <= 1e-6:
        return Interval.unknown(people, kind, "everybody gave the same answer")
    sums = np.bincount(judged.unit, gain)
    half = stdtrit(people - 1, 0.975) * sums.std(ddof=1) * np.sqrt(people) / total
    return Interval.around(sums.sum() / total, half, people, kind, ("people are independent",))


def offsets(judged: Judged, proxy: Proxy) -> dict[str, tuple[float, float]]:
    """Estimate and standard error (by person) of what is WATCHED: how far good and bad answers lie above
    their predicted shares, and the slope of the answers' value on the value that ranks. A slope that cannot
    be told is left out.
    """
    w, total = judged.weights, float(judged.weights.sum())

    def by_person(influence: Floats) -> float:
        sums = np.bincount(judged.unit, influence)
        return float(np.sqrt(np.square(sums).sum() * len(sums) / max(len(sums) - 1, 1)))

    results = {}
    for side in SIDES:
        gap = judged.truth[side] - judged.predicted[side]
        mean = float(w @ gap) / total
        results[side] = mean, by_person(w * (gap - mean) / total)
    x, y = (proxy.value(part["pos"], part["neg"]) for part in (judged.predicted, judged.truth))
    x, y = x - np.average(x, weights=w), y - np.average(y, weights=w)
    square = float(w @ x**2)
    if square > 1e-9 * total:
        slope = float(w @ (x * y)) / square
        results["slope"] = slope, by_person(w * x * (y - slope * x) / square)
    return results


def value_slope(judged: Judged, proxy: Proxy) -> Interval:
    """The slope of `offsets` with its interval by person; 0 where every prediction is the same."""
    slope, error = offsets(judged, proxy).get("slope", (0.0, 0.0))
    half = stdtrit(max(judged.people - 1, 1), 0.975) * error
    return Interval.around(slope, half, judged.people, "slope by person")


@dataclass(frozen=True)
class Change:
    """One of WATCHED: then, now, p of no change (Holm), alarm, and the change seen in 4 of 5 cases."""

    what: str
    then: float
    now: Interval
    p: float
    alarm: bool
    visible: float


def changes(proxy: Proxy, judged: Judged, alpha: float = 0.05) -> list[Change]:
    """What the fresh answers say of everything WATCHED, against how far off the proxy was when it was judged
    (a perfect one where that is not stored). All of them together ring falsely with probability alpha.
    """
    stored = proxy.about.get("watch", PERFECT)
    now = {what: value for what, value in offsets(judged, proxy).items() if what in stored}
    df = max(judged.people - 1, 1)
    errors = {what: float(np.hypot(now[what][1], stored[what][1])) for what in now}
    raw = [
        float(2 * stdtr(df, -abs(now[w][0] - stored[w][0]) / errors[w])) if errors[w] > 0 else 1.0
        for w in now
    ]
    wide, seen = float(stdtrit(df, 0.975)), float(stdtrit(df, 1 - alpha / 2) + stdtrit(df, 0.8))
    return [
        Change(
            what,
            float(stored[what][0]),
            Interval.around(value, wide * error, judged.people, "by person"),
            float(p),
            bool(p < alpha),
            seen * errors[what],
        )
        for (what, (value, error)), p in zip(now.items(), holm(raw), strict=True)
    ]
