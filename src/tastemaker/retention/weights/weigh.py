"""Non-response weights: those who answered, weighted to stand for everyone who was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.arrays import Bools, Floats
from tastemaker.errors import InputError, many
from tastemaker.retention.report import Cell, Table
from tastemaker.retention.surveys import check_probability
from tastemaker.retention.weights.design import Balanced, Design, balance, categories, design, gram
from tastemaker.schema.columns import codes, numbers


def balance_table(design: Design, target: Floats, before: Floats, after: Floats) -> pa.Table:
    """One row a moment: covariate, kind (mean, square, product), target, answered and weighted mean,
    smd_before, smd_after.

    target, before, after (n,): weights of everyone shown, of those who answered, and of those who answered
    after weighting (0 for others). A standardised difference divides by the standard deviation under
    `target`. Means are in the data's units; squares and products of standardised covariates. Columns of two
    values have no square, exclusive categories no product.
    """
    x, p = design.x, len(design.names)
    sides = [weight / weight.sum() for weight in (target, before, after)]
    first = [weight @ x for weight in sides]
    second = [_second(x, weight) for weight in sides]
    spread, two_valued = _spread(x, sides[0], second[0])
    rows: list[dict[str, object]] = []
    for j, name in enumerate(design.names):
        means = [float(design.mean[j] + design.scale[j] * item[j]) for item in first]
        rows.append(_row(name, "mean", means, [float(item[j]) for item in first], 1.0))
    pairs = [(j, j) for j in range(p)] + list(combinations(range(p), 2))
    for j, k in pairs:
        if spread[j, k] < 1e-6 or (j == k and two_valued[j]):
            continue
        name = f"{design.names[j]}²" if j == k else f"{design.names[j]} × {design.names[k]}"
        means = [float(item[j, k]) for item in second]
        if k != j and design.names[j].split("=")[0] == design.names[k].split("=")[0]:
            continue
        rows.append(_row(name, "square" if j == k else "product", means, means, float(spread[j, k])))
    return pa.Table.from_pylist(rows)


def _second(x: Floats, weight: Floats) -> Floats:
    """(p, p) weighted means of x_j x_k; rows without weight are left out."""
    on = weight > 0
    return gram(x, weight) if on.all() else gram(x[on], weight[on])


def _spread(x: Floats, weight: Floats, second: Floats) -> tuple[Floats, Bools]:
    """(p, p) standard deviations of x_j x_k under `weight`, and (p,) which columns take two values.

    Of those the square is a line in the column itself: the fourth moment is as small as the third allows.
    """
    third, fourth = np.zeros(x.shape[1]), np.zeros_like(second)
    for start in range(0, len(x), 1 << 16):
        part, w = x[start : start + (1 << 16)], weight[start : start + (1 << 16)]
        squares = part**2
        third += w @ (squares * part)
        fourth += (squares * w[:, None]).T @ squares
    spread = np.sqrt(np.maximum(fourth - second**2, 0.0))
    return spread, np.diag(fourth) - 1 - third**2 < 1e-8 * np.diag(fourth)


def _row(name: str, kind: str, means: list[float], moments: list[float], spread: float) -> dict[str, object]:
    return {
        "covariate": name,
        "kind": kind,
        "target": means[0],
        "answered": means[1],
        "weighted": means[2],
        "smd_before": (moments[1] - moments[0]) / spread,
        "smd_after": (moments[2] - moments[0]) / spread,
    }


LIMIT = 0.1  # of |SMD|: the published acceptance
LEAST = 10  # people who answered in a category; below, one answer stands for too many to be modelled


@dataclass(frozen=True, eq=False)
class ResponseWeights:
    """weight (n,): d / pi where answered, else 0; they sum to the design weights of everyone shown.
    probability (n,): pi.

    balance: table of `balance_table`. ess: effective sample size (sum w)² / sum w². deff: n sum w² / (sum
    w)², what weighting costs. shown, answered: rows; response_rate: share of design weight that answered.
    trimmed: rows cut. steps: of Newton.
    dropped: covariates that are constant or a combination of others. coefficients: name -> effect on the
    log-odds of answering of one unit, with "(intercept)". largest: the largest weight over the mean one.
    thin: categories that too few people answered in. raked (n,): fitted to margins of the population too.
    """

    weight: Floats
    probability: Floats
    balance: pa.Table
    ess: float
    deff: float
    shown: int
    answered: int
    response_rate: float
    trimmed: int
    steps: int
    dropped: tuple[str, ...]
    coefficients: dict[str, float]
    largest: float
    thin: tuple[ThinCategory, ...] = ()
    raked: Floats | None = None

    def worst(self, kind: str = "mean", when: str = "after") -> float:
        """Largest |SMD| of a kind (mean, square, product) before or after weighting; 0 without any."""
        rows = self.balance.filter(pc.equal(self.balance["kind"], kind))
        return float(np.abs(rows[f"smd_{when}"].to_numpy()).max()) if rows.num_rows else 0.0


@dataclass(frozen=True)
class ThinCategory:
    """A category (`covariate=value`): rows `asked`, their `share` of design weight, people who `answered`."""

    label: str
    asked: int
    answered: int
    share: float

    @property
    def text(self) -> str:
        """What is the matter with it, in words."""
        people = many(self.answered, "person", "people")
        return (
            f"'{self.label}' ({people} answered of {self.asked:,} asked, {100 * self.share:.1f} % of"
            " everyone)"
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """A survey table as arrays: answered (n,), values (n,) with NaN, d (n,) design weights, the design, the
    fitted balance, and the rows (n,) of each category.
    """

    answered: Bools
    values: Floats
    d: Floats
    design: Design
    fit: Balanced
    categories: list[tuple[str, Bools]]


def read_answers(shown: pa.Table, name: str) -> tuple[Floats, Floats]:
    """(n,) answers, NaN for none; (n,) weights 1 / asked probability; InputError if nobody answered."""
    if shown.num_rows == 0:
        raise InputError(
            f"{name}: the table has no row; a survey table has one row a question shown, answered or not"
        )
    values = numbers(shown, "answer", name, nulls=True)
    if np.isnan(values).all():
        raise InputError(
            f"{name}: nobody answered ('answer' is empty in all {len(values):,} rows); there is nothing to"
            " weigh"
        )
    check_probability(shown, name=name)
    return values, 1.0 / numbers(shown, "asked_probability", name, nulls=True)


def thin_categories(
    shown: pa.Table, covariates: Sequence[str], name: str
) -> tuple[tuple[ThinCategory, ...], Bools]:
    """Categories that fewer than LEAST people answered in, rarest first, and their rows (n,).

    Rows of a thin category are set aside before the next one is counted. Raises InputError naming a category
    that was asked and in which nobody answered.
    """
    values, d = read_answers(shown, name)
    answered, owner = ~np.isnan(values), codes(shown, "user_id", name)[0]
    groups = categories(shown, covariates, name)
    for label, rows in groups:
        if not (rows & answered).any():
            raise InputError(
                f"{name}: covariate '{label}' separates who answered from who did not: none of its"
                f" {int(rows.sum()):,} rows is answered, so no weights of those who answered can stand for"
                " them; leave it out, merge its rare values, or restrict the claim to people who could"
                " answer"
            )
    thin: list[ThinCategory] = []
    aside = np.zeros(len(values), dtype=bool)
    counted = -1
    while counted < len(thin):
        counted = len(thin)
        for label, rows in groups:
            left = rows & ~aside
            people = len(np.unique(owner[left & answered]))
            if left.any() and people < LEAST and (left != ~aside).any():
                share = float(d[left].sum() / d.sum())
                thin.append(ThinCategory(label, int(left.sum()), people, share))
                aside |= left
    if thin and len(np.unique(owner[answered & ~aside])) < LEAST:
        aside[:] = True
    return tuple(thin), aside


def prepare(
    shown: pa.Table,
    covariates: Sequence[str],
    name: str,
    *,
    allow_constant: bool = False,
) -> Prepared:
    """Read the columns and solve the balance; see `response_weights` for what is raised.

    allow_constant: where every covariate is constant, weigh by the response rate alone instead of refusing.
    """
    values, d = read_answers(shown, name)
    answered = ~np.isnan(values)
    matrix = design(shown, covariates, d, name, allow_constant)
    fit = balance(matrix.x, answered, d, list(matrix.names))
    return Prepared(answered, values, d, matrix, fit, categories(shown, covariates, name))


def response_weights(
    shown: pa.Table,
    covariates: Sequence[str],
    *,
    trim: float | None = None,
    name: str = "surveys",
) -> ResponseWeights:
    """Weights d / pi that make those who answered match everyone shown in each covariate's mean.

    shown: one row a question shown (n rows), with `answer` (null where not answered), `asked_probability`,
    and the columns `covariates`: numbers as they are, text as indicators. trim: weights above this multiple
    of their mean are cut to it (None keeps exact balance). pi = expit(x'b) solves sum d (R /
    pi - 1) x = 0, d = 1 / asked probability. Exact balance makes mean SMDs zero by construction: judge by the
    squares and products of `balance`.

    Raises InputError naming row and column: nobody answered, asked_probability null or not in (0, 1], an
    empty covariate; naming the covariate that separates those who answered from the others.

    Source: arXiv 2510.07621 (covariate balancing propensity score); Imai and Ratkovic, JRSS B 2014;
    exactness, ours.
    """
    if trim is not None and not trim > 1:
        raise InputError(f"trim is {trim}; give a multiple of the mean weight above 1, or none")
    design(shown, covariates, read_answers(shown, name)[1], name)
    thin = thin_categories(shown, covariates, name)[0]
    given = prepare(shown, covariates, name)
    weight = np.where(given.answered, given.d / given.fit.probability, 0.0)
    used, trimmed = _trim(weight, given, trim)
    total, squares, answered = used.sum(), (used**2).sum(), int(given.answered.sum())
    slopes = given.fit.coefficients[1:] / given.design.scale
    intercept = float(given.fit.coefficients[0] - slopes @ given.design.mean)
    return ResponseWeights(
        weight=used,
        probability=given.fit.probability,
        balance=balance_table(given.design, given.d, np.where(given.answered, given.d, 0.0), used),
        ess=float(total**2 / squares),
        deff=float(answered * squares / total**2),
        shown=len(used),
        answered=answered,
        response_rate=float(given.d[given.answered].sum() / given.d.sum()),
        trimmed=trimmed,
        steps=given.fit.steps,
        dropped=given.design.dropped,
        coefficients={"(intercept)": intercept} | dict(zip(given.design.names, slopes.tolist(), strict=True)),
        largest=float(used.max() * answered / total),
        thin=thin,
    )


def _trim(weight: Floats, given: Prepared, trim: float | None) -> tuple[Floats, int]:
    """Weights cut at `trim` times their mean, scaled to the same sum, and how many were cut."""
    if trim is None:
        return weight, 0
    cap = trim * weight.sum() / given.answered.sum()
    cut = np.minimum(weight, cap)
    return cut * (weight.sum() / cut.sum()), int((weight > cap).sum())


STAGES = ("shown", "played", "asked", "answered")


def asked_of_shown(shown: pa.Table, covariates: Sequence[str], name: str = "log") -> pa.Table:
    """The rows of `shown` that were asked, with `asked_probability`: how likely a shown row with these
    covariates was to be played, to be free of the limits of asking, and to be drawn, fitted so that those
    asked match everything shown in the mean of each covariate.

    shown: one row an item of a list that somebody saw, with user_id, asked (0 or 1) and the covariates.
    Weighing the result by `response_weights` makes its answers stand for everything shown. Raises InputError
    as `response_weights`.
    """
    asked = numbers(shown, "asked", name) > 0
    stage = pa.table({name: shown[name] for name in ("user_id", *covariates)})
    stage = stage.append_column("answer", pa.array(np.where(asked, 1.0, np.nan), from_pandas=True))
    stage = stage.append_column("asked_probability", pa.array(np.ones(len(asked))))
    chance = 1 / response_weights(stage, covariates, name=name).weight[asked]
    rows = shown.filter(pa.array(asked))
    if "asked_probability" in rows.column_names:
        rows = rows.drop_columns(["asked_probability"])
    return rows.append_column("asked_probability", pa.array(np.minimum(chance, 1.0)))


def stages_table(shown: pa.Table, covariates: Sequence[str], name: str = "log") -> Table:
    """Rows and people left at each of STAGES, and how far the mean of the worst covariate has moved from
    everything shown, in its standard deviations. shown: as for `asked_of_shown`, with played (0 or 1) and
    answer.
    """
    x = design(shown, covariates, np.ones(shown.num_rows), name, allow_constant=True)
    owner = codes(shown, "user_id", name)[0]
    within = {
        "shown": np.ones(shown.num_rows, bool),
        "played": numbers(shown, "played", name) > 0,
        "asked": numbers(shown, "asked", name) > 0,
        "answered": ~np.isnan(numbers(shown, "answer", name, nulls=True)),
    }
    rows: list[dict[str, Cell]] = []
    for stage in STAGES:
        on = within[stage]
        moved = np.abs(x.x[on].mean(axis=0)) if on.any() and x.names else np.zeros(1)
        worst = x.names[int(moved.argmax())] if x.names and stage != "shown" else ""
        row: dict[str, Cell] = {"stage": stage, "rows": int(on.sum()), "people": len(np.unique(owner[on]))}
        rows.append(row | {"worst |SMD| from shown": float(moved.max()), "of": worst})
    note = "Before weighting; who is never asked by the draw of people (ask_holdout) is left out."
    return Table.of("From shown to answered", rows, note)
