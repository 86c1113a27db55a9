"""HTMT: whether two blocks of items measure two things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.retention.validity.resample import by_user, resampled
from tastemaker.stats.intervals import Interval

Floats = npt.NDArray[np.float64]


def htmt(covariance: npt.ArrayLike, blocks: Mapping[str, Sequence[int]]) -> dict[tuple[str, str], float]:
    """Heterotrait-monotrait ratio of each pair of blocks: mean |r| between, over the geometric mean of mean
    |r| within.

    covariance or correlation (p, p); blocks: factor -> rows of its items. Below .85 two blocks are two
    things. Raises InputError when a block has one item. Source: Henseler, Ringle and Sarstedt, J. Acad.
    Marketing Science 2015.
    """
    values = _ratios(np.asarray(covariance, dtype=np.float64)[None], blocks)
    return {pair: float(value[0]) for pair, value in values.items()}


def htmt_bounds(
    answers: npt.ArrayLike,
    blocks: Mapping[str, Sequence[int]],
    *,
    users: npt.ArrayLike | None = None,
    key: Sequence[str | int] = (0,),
    resamples: int = 500,
    level: float = 0.95,
) -> dict[tuple[str, str], Interval]:
    """`htmt` of answers (n, p) with percentile intervals from resampling users; an upper bound of 1 or more
    says "one thing".

    Raises InputError on missing answers (leave such people out) or as `htmt`.
    """
    x = np.asarray(answers, dtype=np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise InputError(
            f"HTMT needs complete answers (people, items); got shape {x.shape} with {np.isnan(x).sum()}"
            " missing"
        )
    x = x - x.mean(axis=0)
    p = x.shape[1]
    rows, columns = np.triu_indices(p)
    sums = by_user(np.column_stack([np.ones(len(x)), x, x[:, rows] * x[:, columns]]), users)

    def covariances(totals: Floats) -> Floats:
        mean = totals[:, 1 : p + 1] / totals[:, :1]
        out = np.empty((len(totals), p, p))
        out[:, rows, columns] = totals[:, p + 1 :] / totals[:, :1]
        out[:, columns, rows] = out[:, rows, columns]
        return out - mean[:, :, None] * mean[:, None, :]

    values = _ratios(covariances(sums.sum(axis=0)[None]), blocks)
    drawn = _ratios(covariances(resampled(sums, key, resamples)), blocks)
    results = {}
    for pair, value in values.items():
        low, high = np.quantile(drawn[pair], [(1 - level) / 2, (1 + level) / 2])
        results[pair] = Interval(
            float(value[0]), float(low), float(high), len(sums), "HTMT", ("users are independent",)
        )
    return results


def _ratios(covariance: Floats, blocks: Mapping[str, Sequence[int]]) -> dict[tuple[str, str], Floats]:
    """Ratios (m,) of each pair of blocks from covariances (m, p, p)."""
    for name, items in blocks.items():
        if len(items) < 2:
            raise InputError(
                f"HTMT: block '{name}' has {len(items)} item; it needs at least two to compare within and"
                " between"
            )
    sd = np.sqrt(np.einsum("mii->mi", covariance))
    r = np.abs(covariance / (sd[:, :, None] * sd[:, None, :]))
    within = {
        name: r[:, items][:, :, items][:, *np.triu_indices(len(items), 1)].mean(axis=1)
        for name, items in _lists(blocks).items()
    }
    out = {}
    for (a, first), (b, second) in combinations(_lists(blocks).items(), 2):
        between = r[:, first][:, :, second].mean(axis=(1, 2))
        out[(a, b)] = np.asarray(between / np.sqrt(within[a] * within[b]), dtype=np.float64)
    return out


def _lists(blocks: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    return {name: list(items) for name, items in blocks.items()}
