"""Covariate columns -> standardised numbers: indicators of categories, without what others combine to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.schema.columns import codes, groups, numbers

TOLERANCE = 1e-11  # of the moments, in standard deviations a unit of weight
_STEPS, _HALVINGS = 100, 40
_FLAT = 1e-9  # curvature below this in some direction: the minimum lies at infinity
_CHUNK = 1 << 16  # rows whose weighted copy is held at once


@dataclass(frozen=True, eq=False)
class Balanced:
    """coefficients (p + 1,) of the intercept and the columns; probability (n,); steps: Newton steps taken."""

    coefficients: Floats
    probability: Floats
    steps: int


def gram(x: Floats, weight: Floats) -> Floats:
    """sum_i weight_i x_i x_i' (p, p) without a second copy of x."""
    total = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), _CHUNK):
        part = slice(start, start + _CHUNK)
        total += (x[part] * weight[part, None]).T @ x[part]
    return total


def balance(x: Floats, answered: Bools, d: Floats, names: list[str]) -> Balanced:
    """Minimise F(b) = sum d [R exp(-x'b) + (1 - R) x'b], where sum d (R / expit(x'b) - 1) x = 0.

    x (n, p) standardised columns, no intercept (added here) and none a combination of others; answered (n,);
    d (n,) positive design weights; names of the columns. Newton's method with halving of steps.

    Raises InputError naming the covariate, when no finite b balances: those who did not answer lie outside
    the hull of those who did.

    Source: Imai and Ratkovic, JRSS B 2014, in the exactly balancing form; the convex function is ours.
    """
    total = d.sum()
    if answered.all():
        return Balanced(np.r_[np.inf, np.zeros(x.shape[1])], np.ones(len(x)), 0)
    z = np.column_stack([np.ones(int(answered.sum())), x[answered]])
    dr = d[answered] / total
    rest = np.r_[d[~answered].sum(), d[~answered] @ x[~answered]] / total
    _refuse_one_sided(z[:, 1:], x[~answered], d[~answered], names)
    b = np.zeros(z.shape[1])
    b[0] = np.log(dr.sum() / rest[0])
    b, steps = _newton(z, dr, rest, b, names)
    eta = b[0] + x @ b[1:]
    return Balanced(b, 1 / (1 + np.exp(-eta)), steps)


def _newton(z: Floats, dr: Floats, rest: Floats, b: Floats, names: list[str]) -> tuple[Floats, int]:
    """z (m, p + 1) answered rows, dr (m,) shares of design weight, rest (p + 1,) sum over the others."""
    value, odds = _objective(z, dr, rest, b)
    for step in range(_STEPS):
        gradient = rest - odds @ z
        hessian = gram(z, odds)
        if not np.isfinite(hessian).all():  # b ran away towards infinity
            raise InputError(_separated(names))
        if np.abs(gradient).max() < TOLERANCE:
            _refuse_flat(hessian, names)
            return b, step
        try:
            move = -cho_solve(cho_factor(hessian), gradient)
        except LinAlgError:
            _refuse_flat(hessian, names, certain=True)
        size = 1.0
        for _ in range(_HALVINGS):
            new_value, new_odds = _objective(z, dr, rest, b + size * move)
            # Near the minimum the decrease drowns in rounding: there the full step is right, and the gradient
            # decides.
            if new_value <= value + 1e-4 * size * (gradient @ move) + 1e-15 * abs(value):
                break
            size /= 2
        b, value, odds = b + size * move, new_value, new_odds
    _refuse_flat(hessian, names, certain=True)
    raise AssertionError("unreachable")


def _objective(z: Floats, dr: Floats, rest: Floats, b: Floats) -> tuple[float, Floats]:
    with np.errstate(over="ignore"):
        odds = dr * np.exp(-(z @ b))  # d times the odds of not answering
    return float(odds.sum() + rest @ b), odds


def _refuse_one_sided(inside: Floats, outside: Floats, d: Floats, names: list[str]) -> None:
    """The commonest separation: a column where the others' mean is at or beyond the answered's end."""
    mean = d @ outside / d.sum()
    low, high = inside.min(axis=0), inside.max(axis=0)
    wrong = (mean <= low + 1e-12) | (mean >= high - 1e-12)
    if wrong.any():
        raise InputError(_separated([names[int(np.argmax(wrong))]]))


def _refuse_flat(hessian: Floats, names: list[str], *, certain: bool = False) -> None:
    values, vectors = np.linalg.eigh(hessian)
    if certain or values[0] < _FLAT:
        along = np.abs(vectors[1:, 0])
        order = np.argsort(-along, kind="stable")
        raise InputError(_separated([names[i] for i in order if along[i] > 0.5 * along.max()]))


def _separated(names: list[str]) -> str:
    few = ", ".join(f"'{name}'" for name in names[:3])
    kind = "covariate" if len(names) == 1 else "covariates"
    return (
        f"{kind} {few} separate{'s' if len(names) == 1 else ''} who answered from who did not: no weights of"
        " those who answered can stand for those who did not; leave it out, merge its rare values, or"
        " restrict the claim to people who could answer"
    )


MOST_CATEGORIES = 50  # of a covariate of words
AMOUNTS, _AMOUNT = 10, re.compile(r"^[-+]?\d+([.,]\d+)*\s*[^\d\s]*$")  # as "39,5", "12 %" and "7 years"
_MANY = 1000  # categories
OLDEST = 120  # years
_FEW = 0.02  # share of rows below 0 that are taken for slips
_CODES = {sign * code for code in (9.0, 99.0, 999.0, 9999.0, 99999.0) for sign in (1, -1)} | {-1.0}
_REDUNDANT = 1e-9  # share of a column's variance that the columns before it leave


@dataclass(frozen=True, eq=False)
class Design:
    """x (n, p): columns of weighted mean 0 and variance 1; names (p,); mean, scale (p,) that were taken out;
    dropped: columns left out because they are constant or a combination of others, which balances them too.
    """

    x: Floats
    names: tuple[str, ...]
    mean: Floats
    scale: Floats
    dropped: tuple[str, ...]


def design(
    table: pa.Table,
    covariates: Sequence[str],
    d: Floats,
    name: str,
    allow_constant: bool = False,
) -> Design:
    """The covariates of `table` as a `Design` under the weights d (n,).

    Raises InputError on no covariate, a repeated or missing one, an empty or infinite cell (row and column),
    or a text column of too many categories.
    """
    if not covariates:
        raise InputError(
            f"{name}: give at least one covariate to balance; the table has {', '.join(table.column_names)}"
        )
    if len(set(covariates)) < len(covariates):
        raise InputError(
            f"{name}: covariate '{next(c for c in covariates if list(covariates).count(c) > 1)}' is given"
            " twice"
        )
    columns: list[Floats] = []
    names: list[str] = []
    for covariate in covariates:
        for label, values in _columns(table, covariate, name):
            names.append(label)
            columns.append(values)
    x = np.column_stack(columns) if columns else np.empty((table.num_rows, 0))
    del columns  # as large as x
    mean = d @ x / d.sum()
    x -= mean
    scale = np.sqrt(np.maximum(np.einsum("i,ij,ij->j", d, x, x) / d.sum(), 0.0))
    live = scale > 1e-12 * np.maximum(np.abs(mean), 1.0)
    x /= np.where(live, scale, 1.0)
    independent = _independent(gram(x, d / d.sum()), live)
    dropped = tuple(item for item, keep in zip(names, independent, strict=True) if not keep)
    if not independent.any() and not allow_constant:
        raise InputError(
            f"{name}: every covariate is constant ({', '.join(covariates)}); there is nothing to balance"
        )
    if not independent.all():
        x, mean, scale = x[:, independent], mean[independent], scale[independent]
    return Design(
        x, tuple(item for item, keep in zip(names, independent, strict=True) if keep), mean, scale, dropped
    )


def categories(table: pa.Table, covariates: Sequence[str], name: str) -> list[tuple[str, Bools]]:
    """Label, rows (n,) of each category: of columns without numbers, and of numbers with two values."""
    parted = []
    for covariate in covariates:
        if covariate in table.column_names and is_number(table.schema.field(covariate).type):
            values = numbers(table, covariate, name, nulls=True)
            distinct = np.unique(values)
            parts = [(f"{value:g}", values == value) for value in distinct] if len(distinct) == 2 else []
        else:
            numbered, labels = groups(table, covariate, name)
            few = len(labels) <= _MANY  # `design` refuses more before they are needed
            parts = [(label, numbered == place) for place, label in enumerate(labels)] if few else []
        parted += [(f"{covariate}={label}", rows) for label, rows in parts]
    return parted


def _words(table: pa.Table, covariate: str, name: str) -> tuple[Ints, list[str]]:
    """`groups` of a covariate. Raises InputError where they are amounts that were not read as numbers: "39,5"
    and "12 months" would be balanced as words.
    """
    numbered, labels = groups(table, covariate, name)
    if len(labels) >= AMOUNTS and all(_AMOUNT.match(label) for label in labels):
        raise InputError(
            f"{name}: column '{covariate}' holds numbers that cannot be read as such ('{labels[0]}', ...);"
            " write them plainly, as 39.5, or with a letter before them where they are names"
        )
    return numbered, labels


def _columns(table: pa.Table, covariate: str, name: str) -> list[tuple[str, Floats]]:
    """A numeric column as it is; any other as one indicator a category, all but the commonest."""
    if covariate in table.column_names and is_number(table.schema.field(covariate).type):
        return [(covariate, numbers(table, covariate, name, remedy="fill it in, or leave the covariate out"))]
    numbered, labels = _words(table, covariate, name)
    if len(labels) > MOST_CATEGORIES:
        raise InputError(
            f"{name}: column '{covariate}' has {len(labels):,} categories, more than {MOST_CATEGORIES}; merge"
            " rare ones, or give it as a number"
        )
    commonest = int(np.argmax(np.bincount(numbered, minlength=len(labels))))
    return [
        (f"{covariate}={label}", (numbered == i).astype(np.float64))
        for i, label in enumerate(labels)
        if i != commonest
    ]


def far_values(table: pa.Table, covariates: Sequence[str], name: str) -> list[str]:
    """In words, the numbers of a covariate that may be a code for "missing" (999, -1) or a slip: an end
    further from the others than they are apart (ten times so where it is no such code), a few ages that
    nobody has, and a few whole numbers below 0 where the others are not.
    """
    results = []
    for covariate in covariates:
        if covariate not in table.column_names or not is_number(table.schema.field(covariate).type):
            continue
        cells = numbers(table, covariate, name, nulls=True)
        values = np.unique(cells[np.isfinite(cells)])
        below, remedy = int((cells < 0).sum()), "empty such cells, or leave those rows out"
        few = below + (cells > OLDEST).sum() < _FEW * len(cells)  # or it is in days, or centred
        age = few and bool(re.search(r"(^|_)age($|_)", covariate.casefold()))
        whole = below < _FEW * len(cells) and not (values[values < 0] % 1).any()
        for end, rest in ((values[-1:], values[:-1]), (values[:1], values[1:])):
            gap, span = (np.abs(rest - end).min(), np.ptp(rest)) if len(rest) >= 3 else (0.0, 0.0)
            far = gap > span * (1 if float(end[0]) in _CODES else 10) if len(end) else False
            if far:
                ends = f"({rest.min():g} to {rest.max():g})"
                results.append(f"'{covariate}' has {end[0]:g} far from its other values {ends}: {remedy}")
            elif age and len(end) and not 0 <= end[0] <= OLDEST:
                results.append(f"'{covariate}' has {end[0]:g}, which is no age: {remedy}")
            elif whole and len(end) and end[0] < 0:
                results.append(f"'{covariate}' is below 0 in {below:,} of {len(cells):,} rows: {remedy}")
    return results


def pooled(table: pa.Table, covariates: Sequence[str], least: int, name: str) -> tuple[pa.Table, list[str]]:
    """The table with the values of each text covariate that fewer than `least` people answered for made one,
    where together enough did; and in words what was pooled.
    """
    answered = ~np.isnan(numbers(table, "answer", name, nulls=True))
    owner, notes = codes(table, "user_id", name)[0], []
    for covariate in covariates:
        if covariate not in table.column_names or is_number(table.schema.field(covariate).type):
            continue
        place, labels = _words(table, covariate, name)
        people = [len(np.unique(owner[answered & (place == at)])) for at in range(min(len(labels), _MANY))]
        rare = [at for at, count in enumerate(people) if count < least]
        if len(rare) < 2 or len(np.unique(owner[answered & np.isin(place, rare)])) < least:
            continue
        common = f"other ({', '.join(sorted(labels[at] for at in rare))})"
        values = [common if at in rare else labels[at] for at in range(len(labels))]
        column = pa.array(values).take(pa.array(place))
        table = table.set_column(table.column_names.index(covariate), covariate, column)
        notes.append(f"'{covariate}': {len(rare)} values with few answers count as '{common}'")
    return table, notes


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type is balanced as a number."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _independent(correlation: Floats, live: Bools) -> Bools:
    """(p,) which columns add something to those before them."""
    selected: list[int] = []
    for j in np.flatnonzero(live):
        if selected:
            inner, cross = correlation[np.ix_(selected, selected)], correlation[selected, j]
            left = correlation[j, j] - cross @ np.linalg.solve(inner, cross)
        else:
            left = correlation[j, j]
        if left > _REDUNDANT:
            selected.append(int(j))
    mask = np.zeros(len(live), dtype=bool)
    mask[selected] = True
    return mask
