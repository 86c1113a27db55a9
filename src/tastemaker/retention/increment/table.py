"""What a survey answer adds to a model of returning: the same rows, folds by user, paired intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pyarrow as pa
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.retention.increment.effects import Change, changes
from tastemaker.retention.increment.rows import (
    Floats,
    IncrementSettings,
    Mask,
    Rows,
    design,
    labels,
    learn,
    read_rows,
    user_folds,
)
from tastemaker.retention.increment.scores import METRICS, prepare, resampled_scores, scores, user_draws
from tastemaker.stats.intervals import Interval

BASELINE = "baseline"


@dataclass(frozen=True)
class Score:
    """One model in one cohort: every metric of METRICS with its interval; `gain` over the baseline (paired;
    empty for the baseline); `across_folds`: the AUC gain by Nadeau and Bengio's corrected t over folds.
    """

    cohort: str
    model: str
    metrics: dict[str, Interval]
    gain: dict[str, Interval]
    across_folds: Interval | None


@dataclass(frozen=True)
class Increment:
    """n rows of `users` users, dropped: rows that lacked an answer; `scores`, and `changes` in pp by
    answer.
    """

    n: int
    users: int
    dropped: int
    scores: tuple[Score, ...]
    changes: tuple[Change, ...]
    settings: IncrementSettings

    def score(self, cohort: str, model: str) -> Score:
        """The corrected score of a model in a cohort."""
        for item in self.scores:
            if (item.cohort, item.model) == (cohort, model):
                return item
        raise InputError(f"there is no model '{model}' in cohort '{cohort}'")


@dataclass(frozen=True)
class Predicted:
    """p (n,) out-of-fold probabilities (NaN where a row is in no test fold), y (n,), and test masks and train
    sizes by fold.
    """

    p: dict[str, Floats]
    y: Floats
    tests: list[Mask]
    ratio: float


def increment_table(
    rows: pa.Table, settings: IncrementSettings, key: int | str, name: str = "rows"
) -> Increment:
    """Baseline against baseline + each survey, in all rows and the low-signal cohort.

    Folds by user (and time), AUC and the others on pooled out-of-fold predictions, paired
    percentile intervals from drawing users with replacement; the models are not refitted in a draw, so the
    interval is about these fitted models.
    Effects: change of the predicted probability when the answer is set.

    Raises InputError as `read_rows`, `folds` and `learn`. Source: arXiv 2510.07621 (design); Nadeau and
    Bengio 2003, eq. 8.
    """
    data = read_rows(rows, settings, name)
    predicted = predict_folds(data, settings, list(user_folds(data, settings, key)))
    scored = tuple(_scores(data, predicted, settings, key))
    moved = tuple(changes(data, settings, key))
    return Increment(len(data.outcome), int(data.users.max()) + 1, data.dropped, scored, moved, settings)


def predict_folds(data: Rows, settings: IncrementSettings, splits: Sequence[tuple[Mask, Mask]]) -> Predicted:
    """Out-of-fold predictions of every model on the same `splits` (training rows, test rows); the outcome's
    threshold comes from the training rows.
    """
    designs = {BASELINE: design(data, None)}
    designs |= {name: design(data, answer) for name, answer in data.answers.items()}
    n = len(data.outcome)
    p, y = {model: np.full(n, np.nan) for model in designs}, np.full(n, np.nan)
    tests: list[Mask] = []
    ratios: list[float] = []
    for train, test in splits:
        truth = labels(data.outcome, train, settings.active_quantile)
        y[test] = truth[test]
        for model, x in designs.items():
            p[model][test] = learn(x[train], truth[train], data.weight[train]).predict(x[test])
        tests.append(test)
        ratios.append(test.sum() / train.sum())
    return Predicted(p, y, tests, float(np.mean(ratios)))


def _scores(data: Rows, at: Predicted, settings: IncrementSettings, key: int | str) -> list[Score]:
    tested = ~np.isnan(at.y)
    draws = user_draws(data.users, (key, "increment"), settings.resamples)
    out = []
    for cohort, member in data.cohorts().items():
        rows = tested & member
        y, w, who = at.y[rows], data.weight[rows], data.users[rows]
        if y.min() == y.max():
            raise InputError(
                f"cohort '{cohort}': the outcome is {y[0]:g} in all {len(y):,} rows; nothing can be told"
                " apart"
            )
        base: tuple[Floats, Floats] | None = None
        for model, p in at.p.items():
            prepared = prepare(p[rows], y)
            point, drawn = scores(prepared, w), resampled_scores(prepared, w, who, draws)
            n = len(np.unique(who))
            gain: dict[str, Interval] = {}
            if base is None:
                base = (point, drawn)
            else:
                gain = _estimates(
                    point - base[0], drawn - base[1], n, settings.level, "paired bootstrap of users"
                )
            estimates = _estimates(point, drawn, n, settings.level, "bootstrap of users")
            out.append(
                Score(
                    cohort,
                    model,
                    estimates,
                    gain,
                    _nadeau_bengio(data, at, model, member, settings.level) if gain else None,
                )
            )
    return out


def _estimates(point: Floats, drawn: Floats, n: int, level: float, kind: str) -> dict[str, Interval]:
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {
        metric: Interval(float(point[i]), float(low[i]), float(high[i]), n, kind, ("users are independent",))
        for i, metric in enumerate(METRICS)
    }


def fold_scores(data: Rows, at: Predicted, model: str, member: Mask) -> Floats:
    """(folds, 6) metrics of a model in each test fold, in a cohort."""
    parts = [test & member for test in at.tests]
    return np.array([scores(prepare(at.p[model][part], at.y[part]), data.weight[part]) for part in parts])


def _nadeau_bengio(data: Rows, at: Predicted, model: str, member: Mask, level: float) -> Interval:
    gain = (fold_scores(data, at, model, member) - fold_scores(data, at, BASELINE, member))[:, 0]
    count = len(gain)
    spread = sqrt(float(gain.var(ddof=1)) * (1 / count + at.ratio))
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * spread
    mean = float(gain.mean())
    return Interval(mean, mean - half, mean + half, count, "corrected t over folds (Nadeau and Bengio)")
