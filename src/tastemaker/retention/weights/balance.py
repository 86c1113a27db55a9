"""How like the target the weighted answers are: standardised differences of means, squares and pairwise
products.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.retention.weights.design import Design
from tastemaker.retention.weights.newton import gram

Floats = npt.NDArray[np.float64]


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


def _spread(x: Floats, weight: Floats, second: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
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
