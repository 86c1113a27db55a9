"""A table into arrays: the rows that every model can use, outcome, features, answers, users, cohorts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from scipy.special import expit

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError, many
from tastemaker.retention.surveys import check_answers
from tastemaker.schema.columns import codes, numbers
from tastemaker.stats.random import dealt, generator

FILL = "fill it in or leave the column out"
EVENTS, LOW_SHARE = "events_28d", 0.3  # what tells low-signal users apart, and their share


@dataclass(frozen=True)
class IncrementSettings:
    """baseline: feature columns known before the question. surveys: answer columns (1 to 5), each added
    alone. outcome: 0 or 1, or a count where `active_quantile` is set: y = 1 above that quantile of the
    positive counts of the training folds. user, time, weight: columns; time orders rows for folds by user and
    time. cohort: a boolean column; where it is missing, the `LOW_SHARE` of users with the fewest `EVENTS` are
    the low-signal cohort. feature_times: feature -> column of the time it was computed, checked against
    `survey_time`. folds: their number. resamples, level: bootstrap of users.
    """

    baseline: tuple[str, ...]
    surveys: tuple[str, ...] = ("return", "worth", "interest")
    outcome: str = "returned"
    active_quantile: float | None = None
    user: str = "user_id"
    time: str | None = None
    weight: str | None = None
    cohort: str = "low_signal"
    feature_times: Mapping[str, str] = field(default_factory=dict)
    survey_time: str = "timestamp"
    folds: int = 5
    resamples: int = 400
    level: float = 0.95

    def __post_init__(self) -> None:
        if not self.baseline or not self.surveys:
            raise InputError("an increment needs at least one baseline column and one survey column")
        if self.folds < 2 or self.resamples < 50 or not 0.5 < self.level < 1:
            raise InputError(
                "an increment needs at least 2 folds, 50 resamples, and a level between .5 and 1"
            )
        if self.active_quantile is not None and not 0 <= self.active_quantile < 1:
            raise InputError(
                f"active_quantile is {self.active_quantile}; give a quantile of the active users' counts, in"
                " [0, 1)"
            )
        for column in self.baseline:
            if column == self.outcome or column in self.surveys:
                part = "the outcome" if column == self.outcome else "the answer itself"
                raise InputError(f"baseline column '{column}' is {part}; leave it out of the baseline")


@dataclass(frozen=True)
class Rows:
    """n rows that have an outcome and every answer: outcome, weight, low (n,), users (n,) from 0, features
    (n, d), answers by survey (n,), time (n,) or None; dropped: rows without an outcome or one of the answers.
    """

    outcome: Floats
    weight: Floats
    users: Ints
    low: Bools
    features: Floats
    answers: dict[str, Floats]
    time: Floats | None
    dropped: int

    def cohorts(self) -> dict[str, Bools]:
        """All rows, and the low-signal ones where there are both kinds."""
        every = {"all": np.ones(len(self.outcome), dtype=bool)}
        return every | ({"low-signal": self.low} if 0 < self.low.sum() < len(self.low) else {})


def read_rows(table: pa.Table, settings: IncrementSettings, name: str = "rows") -> Rows:
    """The same rows for every model.

    Raises InputError naming the column (and row): an unknown column, an answer outside 1 to 5, a feature that
    is missing in a row or was computed after the question, a negative weight, no row left, an outcome that is
    neither 0 nor 1 nor a count.
    """
    answers = {survey: _answers(table, survey, name) for survey in settings.surveys}
    least = -np.inf if settings.active_quantile is None else 0.0
    outcome = numbers(table, settings.outcome, name, nulls=True, low=least)
    features = np.column_stack([numbers(table, item, name, remedy=FILL) for item in settings.baseline])
    _in_time(table, settings, name)
    weight = (
        np.ones(len(outcome)) if settings.weight is None else numbers(table, settings.weight, name, low=0)
    )
    users = codes(table, settings.user, name)[0]
    low = low_signal(table, settings.cohort, users, name)
    time = (
        None
        if settings.time is None
        else numbers(_as_numbers(table, settings.time), settings.time, name, nulls=True)
    )
    selected = (
        ~np.isnan(outcome) & (weight > 0) & np.all([~np.isnan(answer) for answer in answers.values()], axis=0)
    )
    if not selected.any():
        raise InputError(
            f"{name}: no row has an outcome and an answer to each of {', '.join(settings.surveys)}; nothing"
            " to compare"
        )
    if settings.active_quantile is None and not np.isin(outcome[selected], (0.0, 1.0)).all():
        row = int(np.argmax(selected & ~np.isin(outcome, (0.0, 1.0))))
        raise InputError(
            f"{name}: row {row + 1}, column '{settings.outcome}' is {outcome[row]:g}; give 0 or 1, or set "
            "active_quantile for counts"
        )
    who = np.unique(users[selected], return_inverse=True)[1].astype(np.int64)
    return Rows(
        outcome[selected],
        weight[selected],
        who,
        low[selected],
        features[selected],
        {item: a[selected] for item, a in answers.items()},
        None if time is None else time[selected],
        int((~selected).sum()),
    )


def low_signal(table: pa.Table, cohort: str, users: Ints, name: str = "rows") -> Bools:
    """(n,) the cohort column, else the `LOW_SHARE` of users with fewest `EVENTS`; nobody without both."""
    if cohort in table.column_names:
        values = table[cohort]
        if pa.types.is_boolean(values.type):
            return np.asarray(values.to_numpy(zero_copy_only=False), dtype=bool)
        return numbers(table, cohort, name, nulls=True) > 0
    if EVENTS not in table.column_names:
        return np.zeros(table.num_rows, dtype=bool)
    counts = numbers(table, EVENTS, name, nulls=True)
    first = np.unique(users, return_index=True)[1]
    return np.asarray(counts <= np.quantile(counts[first], LOW_SHARE))


def design(data: Rows, answer: Floats | None) -> Floats:
    """(n, d) features: answers one-hot (3 is the reference), everything also times the cohort."""
    parts = [data.features]
    if answer is not None:
        parts.append((answer[:, None] == np.array([1, 2, 4, 5])).astype(np.float64))
    x = np.column_stack(parts)
    if not 0 < data.low.sum() < len(data.low):
        return x
    low = data.low[:, None].astype(np.float64)
    return np.column_stack([x, low, low * x])


@dataclass(frozen=True, eq=False)
class Fitted:
    """A logistic regression: slopes (d,) of raw features, intercept, and the training means (d,)."""

    slopes: Floats
    intercept: float
    mean: Floats

    def predict(self, x: Floats) -> Floats:
        """(n,) probabilities of features (n, d)."""
        return np.asarray(expit(x @ self.slopes + self.intercept), dtype=np.float64)

    def contributions(self, x: Floats) -> Floats:
        """(n, d) additive log-odds: coefficient times distance from the training mean."""
        return (x - self.mean) * self.slopes


def learn(x: Floats, y: Floats, weight: Floats) -> Fitted:
    """Logistic regression of outcomes (n,) on features (n, d), weighted (n,). InputError on one class."""
    from sklearn.linear_model import LogisticRegression

    if y.min() == y.max():
        raise InputError(
            f"the outcome is {y[0]:g} in all {len(y):,} training rows; a model needs both outcomes: check the"
            " outcome column and its threshold"
        )
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale == 0] = 1.0
    # One unit of L2 on standardised features: nothing at these sizes, yet finite where a column separates the
    # outcomes.
    model = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=100)
    model.fit((x - mean) / scale, y, weight)
    slopes = model.coef_[0] / scale
    return Fitted(slopes, float(model.intercept_[0] - slopes @ mean), mean)


def labels(outcome: Floats, train: Bools, active_quantile: float | None) -> Floats:
    """(n,) 0 or 1; a count is cut at the quantile of the positive counts of the training rows only."""
    if active_quantile is None:
        return outcome
    active = outcome[train & (outcome > 0)]
    if not len(active):
        raise InputError(
            "no training row has a positive count, so no threshold of activity can be set; check the outcome"
            " column"
        )
    return (outcome > np.quantile(active, active_quantile)).astype(np.float64)


def _answers(table: pa.Table, column: str, name: str) -> Floats:
    check_answers(table, answer=column, name=name)
    return numbers(table, column, name, nulls=True)


def _as_numbers(table: pa.Table, column: str) -> pa.Table:
    if column in table.column_names and pa.types.is_timestamp(table[column].type):
        place = table.column_names.index(column)
        return table.set_column(
            place, column, table[column].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        )
    return table


def _in_time(table: pa.Table, settings: IncrementSettings, name: str) -> None:
    for feature, column in settings.feature_times.items():
        result = numbers(_as_numbers(table, column), column, name, nulls=True)
        asked = numbers(_as_numbers(table, settings.survey_time), settings.survey_time, name, nulls=True)
        if (result > asked).any():
            row = int(np.argmax(result > asked))
            raise InputError(
                f"{name}: row {row + 1}, column '{feature}' was computed after the question ('{column}' is"
                f" later than '{settings.survey_time}'); compute it from what was known when the question was"
                " asked"
            )


def user_folds(data: Rows, settings: IncrementSettings, key: int | str) -> Iterator[tuple[Bools, Bools]]:
    """(train, test) masks (n,) of each fold; a user's rows lie in one fold.

    Users with a positive outcome are dealt out evenly, so that a rare outcome is in every fold. With a time
    column training rows come before its middle and test rows at or after it: nothing is predicted from its
    future. Raises InputError on fewer users than folds, or a time that never varies.
    """
    people, count = int(data.users.max()) + 1, settings.folds
    if people < count:
        raise InputError(
            f"{many(people, 'user')} cannot be cut into {many(count, 'fold')}; give fewer folds or more users"
        )
    kind = "user" if data.time is None else "user+time"
    rare = np.bincount(data.users, data.outcome > 0, people) > 0
    fold = dealt(rare.astype(np.int64), count, generator(key, "folds", kind))[data.users]
    early = late = np.ones(len(data.users), dtype=bool)
    if data.time is not None:
        late = data.time >= _cut(data.time)
        early = ~late
    for part in range(count):
        yield (fold != part) & early, (fold == part) & late


def _cut(time: Floats) -> float:
    """A time that leaves about half of the rows before it, and some on each side."""
    distinct = np.unique(time)
    if len(distinct) < 2:
        raise InputError("folds by time need at least two different times; use folds by user")
    middle = float(np.median(time))
    return float(distinct[max(1, int(np.searchsorted(distinct, middle)))])
