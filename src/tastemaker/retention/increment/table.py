"""What a survey answer adds to a model of returning: the same rows, folds by user, paired intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import sqrt

import numpy as np
import pyarrow as pa
from scipy.special import stdtrit

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError, many
from tastemaker.retention.increment.rows import (
    Fitted,
    IncrementSettings,
    Rows,
    design,
    labels,
    learn,
    read_rows,
    user_folds,
)
from tastemaker.retention.report import LEAST_PEOPLE, Cell, ClaimReport, Intervals, Table, Verdict, too_few
from tastemaker.stats.intervals import Interval
from tastemaker.stats.random import generator
from tastemaker.stats.resample import draw_counts

NEUTRAL = 3
LEAST = 10  # people who gave an answer; below, its effect is not told
METRICS = ("auc", "pr_auc", "log_loss", "ne", "brier", "accuracy")
BASELINE = "baseline"
_EDGE = 1e-12


@dataclass(frozen=True)
class Change:
    """Setting the answer to `survey` to `level` instead of 3, in a cohort: mean change of the predicted
    probability in percentage points (interval: users and refitting), and the mean log-odds that the answer
    contributes where it was given (coefficient times distance from the mean), NaN if it never was.
    """

    cohort: str
    survey: str
    level: int
    points: Interval
    log_odds: float


def changes(data: Rows, at: Predicted, settings: IncrementSettings, key: int | str) -> Iterator[Change]:
    """Every cohort, survey and answer 1, 2, 4, 5, out of fold, by the models that made the predictions.

    Interval: Student's t, with the variance from drawing users (model held) plus that of refitting, by the
    jackknife over the users that each fold leaves out. A change of a prediction is not an effect of the item:
    see `tastemaker.retention.mediation`.
    """
    n, given = len(data.outcome), list(data.answers)
    moved = {(item, level): np.full(n, np.nan) for item in given for level in (1, 2, 4, 5)}
    shares = {item: np.full(n, np.nan) for item in given}
    fold = np.full(n, -1)
    for number, (test, models) in enumerate(zip(at.tests, at.models, strict=True)):
        fold[test] = number
        for survey in given:
            x, fitted = design(data, data.answers[survey])[test], models[survey]
            columns = _answer_columns(data, x.shape[1])
            shares[survey][test] = fitted.contributions(x)[:, columns].sum(axis=1)
            neutral = fitted.predict(_with(data, test, NEUTRAL))
            for level in (1, 2, 4, 5):
                moved[survey, level][test] = fitted.predict(_with(data, test, level)) - neutral
    yield from _summaries(data, settings, key, moved, shares, fold)


def _with(data: Rows, rows: Bools, level: int) -> Floats:
    """Features of `rows` with every answer set to `level`; cohort columns stay, also within one cohort."""
    every: Floats = design(data, np.full(len(data.outcome), float(level)))
    return every[rows]


def _answer_columns(data: Rows, width: int) -> list[int]:
    start = data.features.shape[1]
    alone = list(range(start, start + 4))
    return alone if width == start + 4 else alone + [start + 4 + 1 + start + number for number in range(4)]


def _summaries(
    data: Rows,
    settings: IncrementSettings,
    key: int | str,
    moved: dict[tuple[str, int], Floats],
    shares: dict[str, Floats],
    fold: Ints,
) -> Iterator[Change]:
    people, count = int(data.users.max()) + 1, int(fold.max()) + 1
    rng = generator(key, "increment", "changes")
    # Means of drawn users' sums; Poisson(1) counts are the bootstrap of many users without holding who was
    # drawn.
    draws = rng.poisson(1.0, size=(settings.resamples, people)).astype(np.float64)
    z = float(stdtrit(count - 1, (1 + settings.level) / 2))
    for cohort, member in data.cohorts().items():
        for (survey, level), values in moved.items():
            rows = member & ~np.isnan(values)
            w, points = data.weight[rows], 100 * values[rows]
            top, bottom = (np.bincount(data.users[rows], part, people) for part in (w * points, w))
            parts = np.bincount(fold[rows], w * points, count) / np.bincount(fold[rows], w, count)
            refit = float(parts.var()) * (count - 1)
            half = z * sqrt(float(((draws @ top) / (draws @ bottom)).var()) + refit)
            mean = float(top.sum() / bottom.sum())
            given = rows & (data.answers[survey] == level)
            odds, weight = float("nan"), data.weight[given]
            if given.any():
                odds = float(np.average(shares[survey][given], weights=weight))
            kind, n = "users drawn with replacement, and refitting", int((bottom > 0).sum())
            change = Interval.around(mean, half, n, kind)
            givers = len(np.unique(data.users[given]))
            if givers < LEAST:  # a fold of the others learns nothing of this answer
                change = Interval.unknown(
                    n, kind, f"{many(givers, 'person', 'people')} answered {level}; {LEAST} are needed"
                )
            yield Change(cohort, survey, level, change, odds)


@dataclass(frozen=True)
class Prepared:
    """Predictions sorted once. place (n,) rank of each row's prediction among the distinct ones; y, log-loss,
    squared error and hit at .5 (n,) by row.
    """

    place: Ints
    distinct: int
    y: Floats
    loss: Floats
    square: Floats
    hit: Floats


def prepare(p: Floats, y: Floats) -> Prepared:
    """Sort predictions `p` (n,) in [0, 1] of outcomes `y` (n,) 0 or 1."""
    distinct, place = np.unique(p, return_inverse=True)
    inside = np.clip(p, _EDGE, 1 - _EDGE)
    loss = -(y * np.log(inside) + (1 - y) * np.log1p(-inside))
    hit = ((p > 0.5) == (y > 0)).astype(np.float64)
    return Prepared(place.astype(np.int64), len(distinct), y, loss, (p - y) ** 2, hit)


def scores(at: Prepared, weight: Floats) -> Floats:
    """(6,) the METRICS with row weights (n,): AUC (ties count half), average precision, log loss (nats), log
    loss over the entropy of the base rate, Brier, accuracy at .5. NaN where one class has no weight.

    Sources: NE: He et al., ADKDD 2014; average precision as scikit-learn's, ties as one step.
    """
    positive = np.bincount(at.place, weight * at.y, at.distinct)
    every = np.bincount(at.place, weight, at.distinct)
    negative = every - positive
    p_sum, n_sum = positive.sum(), negative.sum()
    total = p_sum + n_sum
    means = [
        float(weight @ part) / total if total > 0 else float("nan") for part in (at.loss, at.square, at.hit)
    ]
    if p_sum <= 0 or n_sum <= 0:
        return np.array([np.nan, np.nan, means[0], np.nan, means[1], means[2]])
    below = np.cumsum(negative) - negative
    auc = float(positive @ (below + negative / 2)) / (p_sum * n_sum)
    result, shown = np.cumsum(positive[::-1]), np.cumsum(every[::-1])
    precision = np.divide(result, shown, out=np.zeros_like(result), where=shown > 0)
    rate = p_sum / total
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    return np.array(
        [auc, float(positive[::-1] @ precision) / p_sum, means[0], means[0] / entropy, means[1], means[2]]
    )


def resampled_scores(at: Prepared, weight: Floats, users: Ints, draws: Ints) -> Floats:
    """(resamples, 6) `scores` under each draw of users; equal draws for two models pair differences."""
    return np.array([scores(at, weight * draw[users]) for draw in draws])


@dataclass(frozen=True)
class Score:
    """One model in one cohort: metrics of METRICS with intervals; `gain` over the baseline, paired."""

    cohort: str
    model: str
    metrics: dict[str, Interval]
    gain: dict[str, Interval]


@dataclass(frozen=True)
class Increment:
    """n rows of `users` users; dropped: rows without an answer; `scores`, and `changes` in pp by answer."""

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
    """p (n,) out-of-fold probabilities by model (NaN: in no test fold), y (n,); by fold tests, models."""

    p: dict[str, Floats]
    y: Floats
    tests: list[Bools]
    models: list[dict[str, Fitted]]


def increment_table(
    rows: pa.Table, settings: IncrementSettings, key: int | str, name: str = "rows"
) -> Increment:
    """Baseline against baseline + each survey, in all rows and the low-signal cohort.

    Folds by user (and time), AUC and the others on pooled out-of-fold predictions, paired
    percentile intervals from drawing users with replacement; the models are not refitted in a draw, so the
    interval is about these fitted models.
    Effects: change of the predicted probability when the answer is set.

    Raises InputError as `read_rows`, `folds` and `learn`. Source: arXiv 2510.07621 (design).
    """
    data = read_rows(rows, settings, name)
    predicted = predict_folds(data, settings, list(user_folds(data, settings, key)))
    scored = tuple(_scores(data, predicted, settings, key))
    moved = tuple(changes(data, predicted, settings, key))
    return Increment(len(data.outcome), int(data.users.max()) + 1, data.dropped, scored, moved, settings)


def predict_folds(
    data: Rows, settings: IncrementSettings, splits: Sequence[tuple[Bools, Bools]]
) -> Predicted:
    """Out-of-fold predictions of every model on the same `splits` (train, test), thresholds from train."""
    designs = {BASELINE: design(data, None)}
    designs |= {name: design(data, answer) for name, answer in data.answers.items()}
    n = len(data.outcome)
    p, y = {model: np.full(n, np.nan) for model in designs}, np.full(n, np.nan)
    models: list[dict[str, Fitted]] = []
    for train, test in splits:
        truth = labels(data.outcome, train, settings.active_quantile)
        y[test] = truth[test]
        models.append({m: learn(x[train], truth[train], data.weight[train]) for m, x in designs.items()})
        for model, x in designs.items():
            p[model][test] = models[-1][model].predict(x[test])
    return Predicted(p, y, [test for _, test in splits], models)


def _scores(data: Rows, at: Predicted, settings: IncrementSettings, key: int | str) -> list[Score]:
    tested = ~np.isnan(at.y)
    people = int(data.users.max()) + 1
    draws = np.concatenate(list(draw_counts(people, (key, "increment"), settings.resamples)))
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
            n = effective(np.bincount(who, w).astype(np.float64))
            estimates = _estimates(point, drawn, n, settings.level, "bootstrap of users")
            if base is None:
                base = (point, drawn)
                out.append(Score(cohort, model, estimates, {}))
                continue
            gains = point - base[0], drawn - base[1]
            gain = _estimates(*gains, n, settings.level, "paired bootstrap of users")
            out.append(Score(cohort, model, estimates, gain))
    return out


def effective(weight: Floats) -> int:
    """How many people of equal weight those of weights (n,) count as (Kish): all where these agree."""
    weight = weight[weight > 0]
    return round(float(weight.sum() ** 2 / (weight**2).sum()))


def _estimates(point: Floats, drawn: Floats, n: int, level: float, kind: str) -> dict[str, Interval]:
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {
        metric: Interval(float(point[i]), float(low[i]), float(high[i]), n, kind, ("users are independent",))
        for i, metric in enumerate(METRICS)
    }


LIMITS = (
    "A gain in AUC says that the answer predicts, not that the item causes: the path tests tell item, user"
    " and state apart.",
)


def claim(increment: Increment, survey: str = "return", horizon: str = "day 1") -> ClaimReport:
    """'The answer to `survey` improves the prediction of the outcome': supported when the paired interval of
    the AUC gain lies above 0 in every cohort.
    """
    settings = increment.settings
    gains = {score.cohort: score.gain["auc"] for score in increment.scores if score.model == survey}
    verdict: Verdict = "supported" if all(gain.low > 0 for gain in gains.values()) else "not supported"
    few = {
        score.cohort: score.gain["auc"].n
        for score in increment.scores
        if score.model == survey and score.gain["auc"].n < LEAST_PEOPLE
    }
    text = [
        f"{cohort} {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" for cohort, gain in gains.items()
    ]
    because = (
        f"AUC gain over the baseline with folds by user: {'; '.join(text)}.{_direction(increment, survey)}"
    )
    if few:
        verdict = "cannot tell"
        because = f"{too_few(few)}{' They count by their weights.' if settings.weight else ''} {because}"
    known = [score.cohort for score in increment.scores if score.metrics["auc"].value > 1 - _EDGE]
    if known:
        verdict = "cannot tell"
        because = (
            "The features tell the outcome without error: one of them is the outcome, or follows it."
            f" {because}"
        )
    others = [score for score in increment.scores if score.model != BASELINE]
    rows = {f"{score.model}, {score.cohort}": score.gain["auc"] for score in others}
    return ClaimReport(
        claim=(
            f"The answer to '{survey}' improves the prediction of '{settings.outcome}' beyond "
            f"{len(settings.baseline)} baseline features."
        ),
        verdict=verdict,
        because=because,
        tables=(_score_table(increment), _effect_table(increment)),
        figures=(Intervals.of("What each answer adds to the baseline", "AUC gain", rows, reference=0.0),),
        assumptions=(
            "Users are independent.",
            "Features were known when the question was asked.",
            "Answers are not missing by outcome.",
        ),
        limits=LIMITS,
        horizon=horizon,
        settings=asdict(settings)
        | {"rows": increment.n, "users": increment.users, "rows without an answer": increment.dropped},
    )


def _direction(increment: Increment, survey: str) -> str:
    """A warning where a better answer goes with fewer returns: the scale may run the other way."""
    points = {
        change.level: change.points
        for change in increment.changes
        if (change.cohort, change.survey) == ("all", survey)
    }
    if points and points[5].high < 0 < points[1].low:
        return (
            f" Answers of 5 to '{survey}' go with fewer returns than answers of 1: where 1 is the best"
            f" answer, give --reverse {survey}."
        )
    return ""


def _score_table(increment: Increment) -> Table:
    rows: list[dict[str, Cell]] = []
    for score in increment.scores:
        row: dict[str, Cell] = {"cohort": score.cohort, "model": score.model, "AUC": score.metrics["auc"]}
        row |= {"AUC gain": score.gain.get("auc")}
        row |= {"log loss change": score.gain.get("log_loss"), "PR-AUC": score.metrics["pr_auc"].value}
        row |= {
            name: score.metrics[key].value
            for name, key in (("NE", "ne"), ("Brier", "brier"), ("accuracy", "accuracy"))
        }
        rows.append(row)
    note = (
        f"{many(increment.n, 'row')} of {many(increment.users, 'user')}, folds by"
        f" user{' and time' if increment.settings.time else ''}, logistic regression."
    )
    return Table.of("What an answer adds", rows, note)


def _effect_table(increment: Increment) -> Table:
    columns = ("cohort", "answer", "change, pp", "log-odds")
    rows = tuple(
        (change.cohort, f"{change.survey} = {change.level} instead of 3", change.points, change.log_odds)
        for change in increment.changes
    )
    return Table("Change of the predicted probability", columns, rows)
