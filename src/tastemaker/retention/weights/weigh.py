"""Non-response weights: those who answered, weighted to stand for everyone who was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.errors import InputError
from tastemaker.retention.surveys import check_probability
from tastemaker.retention.weights.balance import balance_table
from tastemaker.retention.weights.design import Design, categories, design
from tastemaker.retention.weights.newton import Balanced, balance
from tastemaker.schema.columns import codes, numbers

Floats = npt.NDArray[np.float64]
LIMIT = 0.1  # of |SMD|: the published acceptance
LEAST = 10  # people who answered in a category; below, one answer stands for too many to be modelled


@dataclass(frozen=True)
class WeightSettings:
    """trim: weights above this multiple of their mean are cut to it (None keeps exact balance);
    most_categories: refuse a text covariate of more.
    """

    trim: float | None = None
    most_categories: int = 50

    def __post_init__(self) -> None:
        if self.trim is not None and not self.trim > 1:
            raise InputError(f"trim is {self.trim}; give a multiple of the mean weight above 1, or none")
        if self.most_categories < 2:
            raise InputError(
                f"most_categories is {self.most_categories}; a covariate has at least 2 categories"
            )


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
        """Largest |SMD| of a kind (mean, square, product) before or after weighting; 0 where there is no such
        moment.
        """
        rows = self.balance.filter(pc.equal(self.balance["kind"], kind))
        return float(np.abs(rows[f"smd_{when}"].to_numpy()).max()) if rows.num_rows else 0.0


@dataclass(frozen=True)
class ThinCategory:
    """A category (`covariate=value`) of `asked` rows, a `share` of the design weight of everyone shown, that
    only `answered` people answered in.
    """

    label: str
    asked: int
    answered: int
    share: float

    @property
    def text(self) -> str:
        """What is the matter with it, in words."""
        people = "1 person" if self.answered == 1 else f"{self.answered} people"
        return (
            f"'{self.label}' ({people} answered of {self.asked:,} asked, {100 * self.share:.1f} % of"
            " everyone)"
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """A survey table as arrays: answered (n,), values (n,) with NaN, d (n,) design weights, the design, the
    fitted balance, and the rows (n,) of each category.
    """

    answered: npt.NDArray[np.bool_]
    values: Floats
    d: Floats
    design: Design
    fit: Balanced
    categories: list[tuple[str, npt.NDArray[np.bool_]]]


def read_answers(shown: pa.Table, name: str) -> tuple[Floats, Floats]:
    """(n,) answers with NaN where there is none, and (n,) design weights 1 / asked probability; InputError if
    nobody answered.
    """
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
) -> tuple[tuple[ThinCategory, ...], npt.NDArray[np.bool_]]:
    """The categories that fewer than LEAST people answered in, rarest reasons first found, and their rows
    (n,).

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
    settings: WeightSettings,
    name: str,
    *,
    allow_constant: bool = False,
) -> Prepared:
    """Read the columns and solve the balance; see `response_weights` for what is raised.

    allow_constant: where every covariate is constant, weigh by the response rate alone instead of refusing.
    """
    values, d = read_answers(shown, name)
    answered = ~np.isnan(values)
    matrix = design(shown, covariates, d, settings.most_categories, name, allow_constant)
    fit = balance(matrix.x, answered, d, list(matrix.names))
    return Prepared(answered, values, d, matrix, fit, categories(shown, covariates, name))


def response_weights(
    shown: pa.Table,
    covariates: Sequence[str],
    settings: WeightSettings = WeightSettings(),
    *,
    name: str = "surveys",
) -> ResponseWeights:
    """Weights d / pi that make those who answered match everyone shown in the mean of each covariate,
    exactly.

    shown: one row a question shown (n rows), with `answer` (null where not answered), `asked_probability`,
    and the columns `covariates`: numbers as they are, text as indicators. pi = expit(x'b) solves sum d (R /
    pi - 1) x = 0, d = 1 / asked probability. Exact balance makes mean SMDs zero by construction: judge by the
    squares and products of `balance`.

    Raises
    ------
    InputError
        naming row and column: nobody answered, asked_probability null or not in (0, 1], an empty covariate;
        naming the covariate that separates those who answered from the others.

    Source: arXiv 2510.07621 (covariate balancing propensity score); Imai and Ratkovic, JRSS B 2014;
    exactness, ours.
    """
    design(shown, covariates, read_answers(shown, name)[1], settings.most_categories, name)
    thin = thin_categories(shown, covariates, name)[0]
    given = prepare(shown, covariates, settings, name)
    weight = np.where(given.answered, given.d / given.fit.probability, 0.0)
    used, trimmed = _trim(weight, given, settings.trim)
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
