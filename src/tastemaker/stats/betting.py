"""Lower bounds of a mean by betting: valid at any stopping time, for values bounded on one side only.

A bettor who doubts "the mean is at most m" stakes a fixed fraction f of what the worst value could take. If
the doubt is wrong, the wealth W(m) exceeds 1/delta at any time with probability at most delta. The bets never
depend on the rows, so every row may have a distribution of its own. Source: Waudby-Smith and Ramdas,
2010.09686, with constant bets and their average as portfolio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Floats
from tastemaker.errors import InputError

FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
# Sparse rewards tested on their own (not as paired differences) need far smaller bets.
SPARSE_FRACTIONS = tuple(float(f) for f in np.geomspace(1e-4, 0.9, 20))

_RUN = 16  # factors multiplied before a logarithm is taken


def _checked(
    values: npt.ArrayLike, low: float, fractions: Sequence[float], sizes: npt.ArrayLike | None = None
) -> tuple[Floats, Floats, Floats | None]:
    array, bets = np.asarray(values, dtype=np.float64), np.asarray(fractions, dtype=np.float64)
    size = None if sizes is None else np.asarray(sizes, dtype=np.float64)
    wrong = ~(array >= (low if size is None else low * size) - 1e-9 * max(1.0, abs(low)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"row {row + 1} holds {array[row]:g}, below the smallest possible value {low:g}, or is not a"
            " number"
        )
    if np.isinf(array).any():
        raise InputError(
            f"row {int(np.argmax(np.isinf(array))) + 1} is infinite: betting needs finite values"
        )
    return array, bets, size


def _stakes(m: float, low: float, bets: Floats, anchor: float) -> Floats:
    return bets / (max(m, anchor) - low)


def _log_mean(logs: Floats) -> Floats:
    """log of the mean of exp over the last axis."""
    top = logs.max(axis=-1)
    return np.asarray(top + np.log(np.exp(logs - top[..., None]).mean(axis=-1)))


def _log_wealths(values: Floats, zeros: int, m: float, stakes: Floats, sizes: Floats | None) -> Floats:
    """(fractions,) log wealth of every bet after rows `values` and `zeros` rows of value 0 (size 1)."""
    # Products of short runs keep the number of logarithms small; runs are shortened where products could
    # overflow.
    top = 1.0 + float(stakes.max()) * max(float(values.max(initial=m)) - m, 0.0)
    run = int(min(_RUN, max(1.0, 600.0 / max(math.log(top), 1e-9))))
    out = zeros * np.log1p(-stakes * m) if zeros else np.zeros(len(stakes))
    cut = len(values) // run * run
    for place, stake in enumerate(stakes):
        factors = stake * values
        factors += 1.0 - stake * m if sizes is None else 1.0 - stake * m * sizes
        runs = factors[:cut].reshape(run, -1) if cut else np.ones((1, 1))
        product = runs[0].copy()
        for part in runs[1:]:
            product *= part
        out[place] += np.log(product).sum() + np.log(factors[cut:]).sum()
    return out


def log_wealth(
    values: npt.ArrayLike,
    m: float,
    low: float,
    *,
    fractions: Sequence[float] = FRACTIONS,
    anchor: float = -math.inf,
    sizes: npt.ArrayLike | None = None,
) -> float:
    """log W(m), W(m) = mean over f of prod_i (1 + l_f (x_i - m)), l_f = f / (max(m, anchor) - low).

    `values` (n,) finite, each at least `low`, a constant known beforehand; `m` above `low` (or `anchor` above
    it). sizes (n,) in (0, 1]: values are then sums of that many rows, in units of the largest sum allowed,
    and the claim is about sum(values) / sum(sizes): the factor is 1 + l_f (x_i - m s_i), x_i at least low
    s_i. Under "the mean is at most m" W(m) reaches 1/delta at any time with probability at most delta; where
    the rows' means drift, what counts is their average. Raises InputError on a value below `low`.
    """
    array, bets, size = _checked(values, low, fractions, sizes)
    if max(m, anchor) <= low:
        return math.inf
    rows, zeros = _nonzero(array, size)
    return float(_log_mean(_log_wealths(rows, zeros, m, _stakes(m, low, bets, anchor), size)))


def _nonzero(array: Floats, sizes: Floats | None) -> tuple[Floats, int]:
    """The values that are not 0 and the number of the others; all of them where sizes differ."""
    rows = array[array != 0.0] if sizes is None else array
    return rows, len(array) - len(rows)


def wealth_path(values: npt.ArrayLike, m: float, low: float) -> Floats:
    """log W(m) after each row, (n,): the first at or above log(1/delta) is the alarm. See `log_wealth`."""
    array, bets, _ = _checked(values, low, FRACTIONS)
    if m <= low:
        return np.full(len(array), math.inf)
    logs = np.empty((len(bets), len(array)))
    for place, stake in enumerate(_stakes(m, low, bets, -math.inf)):
        np.cumsum(np.log1p(stake * (array - m)), out=logs[place])
    top = logs.max(axis=0) if len(array) else np.empty(0)
    return np.asarray(top + np.log(np.exp(logs - top).mean(axis=0)))


def lower(
    values: npt.ArrayLike,
    delta: float,
    low: float,
    *,
    fractions: Sequence[float] = FRACTIONS,
    anchor: float = -math.inf,
    sizes: npt.ArrayLike | None = None,
) -> float:
    """inf{m : W(m) < 1/delta}: with probability at least 1 - delta the mean is above, whenever rows stopped.

    `values` (n,) at least `low`, `sizes` as in `log_wealth`; the bound is `low` itself where the rows say
    nothing. Falls short of the root by at most 1e-9 of its distance from `low`, never beyond it. Raises
    InputError as `log_wealth`, and on delta outside (0, 1).
    """
    array, bets, size = _checked(values, low, fractions, sizes)
    if not 0 < delta < 1:
        raise InputError(f"delta is {delta}; give a probability above 0 and below 1")
    top = float((array if size is None else array / size).max()) if len(array) else low
    if top <= low:
        return low
    rows, zeros = _nonzero(array, size)

    def excess(distance: float) -> float:
        """log(W delta), by the log of the distance from low."""
        m = low + math.exp(distance)
        stakes = _stakes(m, low, bets, anchor)
        return float(_log_mean(_log_wealths(rows, zeros, m, stakes, size))) + math.log(delta)

    least, most = math.log(1e-9 * (top - low)), math.log(top - low)
    if excess(least) < 0:
        return low
    from scipy.optimize import brentq

    # One tolerance below what was found: on the safe side of the root.
    return low + math.exp(brentq(excess, least, most, xtol=4e-10, rtol=1e-15) - 5e-10)


def lower_total(log_sums: npt.ArrayLike, stakes: npt.ArrayLike, delta: float) -> float:
    """Lower bound of the sum of the rows' means, whatever each of them is, at all looks together with
    probability 1 - delta.

    log_sums (fractions,): sum_i log(1 + l x_i) for every constant stake l of `stakes`; they add up over
    batches. Solves mean over l of exp(log_sum - l B) = 1/delta: E[1 + l x] <= exp(l E x) makes this a
    supermartingale under any drift.
    """
    sums, bets = np.asarray(log_sums, dtype=np.float64), np.asarray(stakes, dtype=np.float64)
    if not 0 < delta < 1:
        raise InputError(f"delta is {delta}; give a probability above 0 and below 1")
    # Between the best single bet with its share of the capital and the best with all of it.
    alone = (sums + math.log(delta)) / bets
    low, high = float((alone - math.log(len(bets)) / bets).max()), float(alone.max())
    for _ in range(100):
        middle = (low + high) / 2
        rich = float(_log_mean(sums - bets * middle)) + math.log(delta) >= 0
        low, high = (middle, high) if rich else (low, middle)
    return low
