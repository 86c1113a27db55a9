"""One table of answers -> which questions agree, what content changes, how far engagement tells answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.retention.validity.correlation import (
    checked,
    difference_by_user,
    pearson,
)
from tastemaker.retention.validity.polychoric import polychoric
from tastemaker.schema.columns import codes, groups, numbers, present
from tastemaker.stats.intervals import Interval, effective_size
from tastemaker.stats.random import generator
from tastemaker.stats.resample import by_unit, of_totals


@dataclass(frozen=True)
class Information:
    """nats: plug-in value, as published. corrected: Miller-Madow, with an interval by user. normalised: that
    over the smaller entropy, 1 where one side decides the other. least_entropy: that entropy, above which no
    information can be. null: mean under permutation; p: share of permutations (and the data) at least as
    large as the data.
    """

    nats: float
    corrected: Interval
    normalised: Interval
    least_entropy: float
    null: float
    p: float


def mutual_information(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    users: npt.ArrayLike | None = None,
    key: Sequence[str | int] = (0,),
    resamples: int = 300,
    permutations: int = 200,
) -> Information:
    """Mutual information of discrete variables a and b (n,), NaN left out; in nats, corrected, normalised.

    The correction adds (K_a - 1 + K_b - 1 - (K_ab - 1)) / (2 n), K the cells in use and n the effective size
    of the weights. Permutations shuffle the rows of b, weights staying with a. Raises InputError as
    `pearson`, or on fewer than 2 rows.

    Source: Miller 1955 (bias); arXiv 2510.07621 reports nats or bits without normalising, below .15 by
    construction for events
    of a few percent: 3 % has .1347 nats of entropy.
    """
    (x, y), w, selected = checked(a, b, weight=weight)
    if len(x) < 2 or permutations < 1:
        raise InputError(
            f"mutual information needs 2 complete rows and 1 permutation; got {len(x)} and {permutations}"
        )
    (rows, i), (columns, j) = np.unique(x, return_inverse=True), np.unique(y, return_inverse=True)
    shape, n = (len(rows), len(columns)), effective_size(w)
    indicator = np.zeros((len(x), shape[0] * shape[1]))
    indicator[np.arange(len(x)), i * shape[1] + j] = w
    sums = by_unit(indicator, None if users is None else np.asarray(users)[selected])
    total = sums.sum(axis=0)[None]
    nats, least = (float(f(total.reshape(1, *shape))[0]) for f in (_nats, _least_entropy))
    rests = ("users are independent of each other",)
    if least == 0:
        nothing = Interval.unknown(len(sums), "mutual information", "one side never varies", rests)
        return Information(0.0, nothing, nothing, 0.0, 0.0, 1.0)

    def corrected(s: Floats) -> Floats:
        return _corrected(s.reshape(-1, *shape), n)

    def normalised(s: Floats) -> Floats:
        entropy = _least_entropy(s.reshape(-1, *shape))
        return corrected(s) / np.where(entropy > 0, entropy, np.nan)

    null = _permuted(i, j, w, shape, generator(*key, "permutations"), permutations)
    in_nats, as_share = (
        of_totals(sums, f, key, resamples, kind, rests)
        for f, kind in (
            (corrected, "Miller-Madow, nats"),
            (normalised, "Miller-Madow over the smaller entropy"),
        )
    )
    p = float((1 + (null >= nats).sum()) / (1 + permutations))
    return Information(nats, in_nats, as_share, least, float(null.mean()), p)


def entropy(shares: npt.ArrayLike) -> Floats:
    """Entropy in nats (...) of shares (..., k) that sum to 1."""
    p = np.asarray(shares, dtype=np.float64)
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1), dtype=np.float64)


def _nats(cells: Floats) -> Floats:
    """(m,) plug-in mutual information of tables (m, r, c)."""
    p = cells / cells.sum(axis=(1, 2), keepdims=True)
    return np.maximum(entropy(p.sum(axis=2)) + entropy(p.sum(axis=1)) - entropy(p.reshape(len(p), -1)), 0.0)


def _corrected(cells: Floats, n: float) -> Floats:
    """(m,) with what Miller and Madow add."""
    used = [
        (part > 0).sum(axis=-1)
        for part in (cells.sum(axis=2), cells.sum(axis=1), cells.reshape(len(cells), -1))
    ]
    return np.asarray(_nats(cells) + (used[0] + used[1] - used[2] - 1) / (2 * n), dtype=np.float64)


def _least_entropy(cells: Floats) -> Floats:
    p = cells / cells.sum(axis=(1, 2), keepdims=True)
    return np.minimum(entropy(p.sum(axis=2)), entropy(p.sum(axis=1)))


def _permuted(
    i: Ints,
    j: Ints,
    w: Floats,
    shape: tuple[int, int],
    rng: np.random.Generator,
    times: int,
) -> Floats:
    """(times,) plug-in values after shuffling j."""
    cells = np.empty((times, shape[0] * shape[1]))
    for number in range(times):
        cells[number] = np.bincount(i * shape[1] + rng.permutation(j), w, minlength=cells.shape[1])
    return _nats(cells.reshape(times, *shape))


QUESTIONS = ("return", "worth", "interest")


@dataclass(frozen=True)
class ValiditySettings:
    """questions: columns of answers, the one to validate first. events: columns of 0 / 1. by: a column of
    content to compare. weight: a column of non-response weights (of any scale; null leaves a row out). key,
    resamples: of the bootstrap of users.
    """

    questions: tuple[str, ...] = QUESTIONS
    events: tuple[str, ...] = ()
    by: str | None = None
    weight: str | None = None
    key: tuple[str | int, ...] = (0,)
    resamples: int = 300


@dataclass(frozen=True, eq=False)
class Associations:
    """pairs: group, a, b, n, pearson and polychoric. contrasts: by content, two readings of each. events:
    question, event, rate, information. Estimates are intervals.
    """

    pairs: list[dict[str, Any]]
    contrasts: list[dict[str, Any]]
    events: list[dict[str, Any]]


def flat(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as a table to keep: an estimate x as x, x_low, x_high (null: no number), x_reason."""

    def cells(name: str, cell: Any) -> dict[str, Any]:
        if not isinstance(cell, Interval):
            return {name: cell}
        ends = {name: cell.value, f"{name}_low": cell.low, f"{name}_high": cell.high}
        known = {key: end if np.isfinite(end) else None for key, end in ends.items()}
        return known | {f"{name}_reason": cell.reason}

    return pa.Table.from_pylist(
        [{key: end for name, cell in row.items() for key, end in cells(name, cell).items()} for row in rows]
    )


@dataclass(frozen=True, eq=False)
class _Data:
    answers: dict[str, Floats]
    weight: Floats
    users: Ints
    groups: dict[str, Bools]
    key: tuple[str | int, ...]
    resamples: int


def widen(surveys: pa.Table, keep: Sequence[str] = ()) -> pa.Table:
    """Rows of `schema.SURVEYS` -> one row a user and item, a column a question (first answer), and `keep`.

    Of `keep` the first value that is not null counts. Raises InputError on a missing column.
    """
    for column in keep:
        present(surveys, column, "surveys")
    frame = pl.DataFrame(pl.from_arrow(surveys)).sort("timestamp", nulls_last=True, maintain_order=True)
    names = frame["question"].unique(maintain_order=True).to_list()
    answers = [
        pl.col("answer").filter(pl.col("question") == name).drop_nulls().first().alias(name) for name in names
    ]
    selected = [pl.col(item).drop_nulls().first() for item in keep]
    return frame.group_by("user_id", "item_id", maintain_order=True).agg(*answers, *selected).to_arrow()


def association_table(
    answers: pa.Table, settings: ValiditySettings = ValiditySettings(), name: str = "answers"
) -> Associations:
    """Correlations of the questions overall and by content, contrasts of the first question's, and its
    information with events.

    answers: one row a user and item, a column a question (null where not answered), and the other columns of
    `settings`. Each correlation uses the rows that have both. contrasts holds for each group "other question"
    and "other content", each with a bootstrap of users.

    Raises InputError on a missing column, fewer than two questions, an event not 0 / 1, a negative weight.
    """
    questions, by, weight = settings.questions, settings.by, settings.weight
    if len(questions) < 2:
        raise InputError(f"{name}: an association needs two questions; got {', '.join(questions) or 'none'}")
    columns = {question: numbers(answers, question, name, nulls=True) for question in questions}
    weights = (
        np.ones(answers.num_rows)
        if weight is None
        else np.nan_to_num(numbers(answers, weight, name, nulls=True), nan=0.0)
    )
    parts = {"all": np.ones(answers.num_rows, dtype=bool)}
    if by is not None:
        numbered, labels = groups(answers, by, name)
        parts |= {
            f"{by}={label}": numbered == place
            for place, label in sorted(enumerate(labels), key=lambda item: item[1])
        }
    data = _Data(
        columns, weights, codes(answers, "user_id", name)[0], parts, settings.key, settings.resamples
    )
    pairs = [_pair(data, group, a, b) for group in parts for a, b in combinations(questions, 2)]
    results = [_event(data, questions[0], event, _binary(answers, event, name)) for event in settings.events]
    return Associations(pairs, _contrasts(data, questions), results)


def _pair(data: _Data, group: str, a: str, b: str) -> dict[str, Any]:
    w, x, y = np.where(data.groups[group], data.weight, 0.0), data.answers[a], data.answers[b]
    both = ~np.isnan(x) & ~np.isnan(y) & (w > 0)
    linear, ordered = (
        f(x, y, w, users=data.users, key=(*data.key, group, a, b), resamples=data.resamples)
        for f in (pearson, polychoric)
    )
    size: dict[str, Any] = {"group": group, "a": a, "b": b, "n": int(both.sum())}
    size |= {"ess": effective_size(w[both]), "users": linear.n}
    return size | {"pearson": linear, "polychoric": ordered}


def _contrasts(data: _Data, questions: Sequence[str]) -> list[dict[str, Any]]:
    """By group of content: r(first, b) against r(first, c) inside it, and against r(first, b) outside."""
    first, rows, x = questions[0], [], data.answers
    answered = {question: ~np.isnan(values) for question, values in x.items()}
    for group, inside in data.groups.items():
        if group == "all":
            continue
        for b, c in combinations(questions[1:], 2):
            words = f"r({first}, {b}) − r({first}, {c})"
            whole = answered[first] & answered[b] & answered[c] & inside
            pairs = (x[b], x[first]), (x[c], x[first])
            about = (group, "other question", words)
            rows.append(_contrast(data, about, pairs, (whole, whole), (group, first, b, c)))
        if len(data.groups) > 3 or group == list(data.groups)[-1]:  # of two groups one is the other's outside
            for b in questions[1:]:
                both, pair = answered[first] & answered[b], (x[first], x[b])
                about = (group, "other content", f"r({first}, {b}), inside − outside")
                parts = both & inside, both & ~inside
                rows.append(_contrast(data, about, (pair, pair), parts, (group, b)))
    return rows


def _contrast(
    data: _Data,
    about: tuple[str, str, str],
    pairs: tuple[tuple[Floats, Floats], tuple[Floats, Floats]],
    rows: tuple[Bools, Bools],
    key: tuple[str, ...],
) -> dict[str, Any]:
    """One row. about: group, reading and contrast in words; pairs: what is correlated; rows: of each."""
    n = int(((rows[0] | rows[1]) & (data.weight > 0)).sum())
    gap = difference_by_user(
        *pairs, rows, data.weight, users=data.users, key=(*data.key, *key), resamples=data.resamples
    )
    return dict(zip(("group", "reading", "contrast"), about, strict=True)) | {"n": n, "difference": gap}


def _event(data: _Data, question: str, event: str, values: Floats) -> dict[str, Any]:
    answers, key = data.answers[question], (*data.key, event)
    information = mutual_information(
        answers, values, data.weight, users=data.users, key=key, resamples=data.resamples
    )
    on = ~np.isnan(answers) & ~np.isnan(values) & (data.weight > 0)
    rate = float(data.weight[on] @ values[on] / data.weight[on].sum())
    about = {"question": question, "event": event, "rate": rate, "n": int(on.sum()), "nats": information.nats}
    about |= {"least_entropy": information.least_entropy, "null": information.null, "p": information.p}
    return about | {"corrected": information.corrected, "normalised": information.normalised}


def _binary(answers: pa.Table, event: str, name: str) -> Floats:
    values = numbers(answers, event, name, nulls=True)
    wrong = ~np.isin(values, (0.0, 1.0)) & ~np.isnan(values)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{name}: row {row + 1}, column '{event}' is {values[row]:g}; an event is 0 or 1 on each row"
        )
    return values
