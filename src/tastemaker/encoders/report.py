"""Are these vectors fit for Semantic IDs? Standardisation, and a report that refuses or warns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Bools, Float32, Floats
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

ALIKE = 0.6
_PAIRS = 20_000


@dataclass(frozen=True)
class VectorReport:
    """What a view looks like. `mean_cosine`: of pairs of different items; `warnings`: a line each."""

    view: str
    items: int
    dimensions: int
    missing: int
    constant_dimensions: int
    distinct: int
    mean_cosine: float
    warnings: tuple[str, ...]


def standardise(x: npt.NDArray[Any]) -> Float32:
    """(N, d) float32 of mean 0 and variance 1 in every dimension; constant ones are 0, missing rows stay NaN.

    Raw text vectors share one direction (mean cosine .856 with a poor encoder) and collapse Semantic IDs.
    """
    rows = ~np.isnan(x).any(axis=1)
    if not rows.any():
        raise InputError("every vector of the view is missing; drop the view")
    present = x[rows].astype(np.float64)
    mean, spread = present.mean(axis=0), present.std(axis=0)
    alive = spread > 1e-6 * np.maximum(np.abs(mean), 1e-12)
    out = np.full(x.shape, np.nan, np.float32)
    out[rows] = np.where(alive, (present - mean) / np.where(alive, spread, 1), 0)
    return out


def vector_report(x: npt.NDArray[Any], view: str = "vectors", seed: int = 0) -> VectorReport:
    """Check (N, d) vectors of one view; an all-NaN row is a missing view, which is allowed.

    The mean cosine is estimated from 20,000 keyed random pairs; above .6 the texts embed too alike and a
    warning says so.

    Raises InputError naming view and row (counted from 1) of: a partly NaN or infinite vector, a constant
    vector (all its entries equal, as when zeros stand in for a missing view), or a view whose present vectors
    are all the same.
    """
    missing = np.isnan(x).all(axis=1)
    _refuse(
        view,
        ~np.isfinite(x).all(axis=1) & ~missing,
        "holds a NaN or infinite number",
        "a missing view is a row of NaN only",
    )
    if missing.all():
        raise InputError(f"view '{view}': every item's vector is missing; drop the view")
    if x.shape[1] > 1:
        constant = (x == x[:, :1]).all(axis=1) & ~missing
        _refuse(
            view, constant, "is a constant vector", "encode the item again, or mark its view missing with NaN"
        )
    present = x[~missing].astype(np.float64)
    distinct = len(np.unique(present, axis=0))
    if distinct == 1:
        last = int(np.flatnonzero(~missing)[-1]) + 1
        raise InputError(
            f"view '{view}': item row {last} equals every other row that has a vector, or is the only one;"
            " it tells nothing apart, drop the view"
        )
    dead = int((present.std(axis=0) == 0).sum())
    cosine = _mean_cosine(present, seed)
    warnings = _warnings(view, cosine, dead, int(missing.sum()), distinct, len(present))
    return VectorReport(view, len(x), x.shape[1], int(missing.sum()), dead, distinct, cosine, warnings)


def _refuse(view: str, bad: Bools, what: str, remedy: str) -> None:
    if bad.any():
        raise InputError(
            f"view '{view}': item row {int(bad.argmax()) + 1} {what} ({int(bad.sum())} such rows); {remedy}"
        )


def _mean_cosine(x: Floats, seed: int) -> float:
    n = len(x)
    if n < 2:
        return 0.0
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    if n * (n - 1) // 2 <= _PAIRS:
        return float((np.square(unit.sum(axis=0)).sum() - np.square(unit).sum()) / (n * (n - 1)))
    draws = generator(seed, "mean cosine")
    a = draws.integers(0, n, _PAIRS)
    b = (a + draws.integers(1, n, _PAIRS)) % n  # never the item itself
    return float(np.einsum("nd,nd->n", unit[a], unit[b]).mean())


def _warnings(
    view: str, cosine: float, dead: int, missing: int, distinct: int, present: int
) -> tuple[str, ...]:
    warnings = []
    if cosine > ALIKE:
        warnings.append(
            f"view '{view}': mean pairwise cosine {cosine:.2f} is above {ALIKE}: too alike to use without"
            " standardising"
        )
    if dead:
        warnings.append(f"view '{view}': {dead} dimensions are constant and carry nothing")
    if missing:
        warnings.append(f"view '{view}': {missing} of {present + missing} items have no vector")
    if distinct < present:
        warnings.append(
            f"view '{view}': {present} vectors, {distinct} distinct: the view alone cannot tell all items"
            " apart"
        )
    return tuple(warnings)
