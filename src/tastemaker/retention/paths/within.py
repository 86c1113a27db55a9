"""Does a user return more after a better answer *of their own*, or do users who answer better return more?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def group_means(values: Floats, users: Ints) -> Floats:
    """(n,) the mean of each row's user; users (n,) numbered from 0."""
    return np.asarray((np.bincount(users, values) / np.bincount(users))[users], dtype=np.float64)


def clustered_logit(x: Floats, y: Floats, users: Ints, rounds: int = 30) -> tuple[Floats, Floats]:
    """Coefficients (d,) and their covariance (d, d), robust to dependence inside users; x (n, d) with its own
    intercept column.

    Newton on the logistic likelihood; sandwich with the factor G/(G-1) for G users (Liang and Zeger 1986).
    Raises InputError when a column separates the outcomes or is a sum of others.
    """
    b = np.zeros(x.shape[1])
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-(x @ b)))
        bread = (x * (p * (1 - p))[:, None]).T @ x
        step = _solve(bread, x.T @ (y - p))
        b = b + step
        if np.abs(b).max() > 50:
            break
        if np.abs(step).max() < 1e-10:
            score = np.column_stack([np.bincount(users, column) for column in (x * (y - p)[:, None]).T])
            inverse = _solve(bread, np.eye(len(b)))
            groups = len(score)
            return b, inverse @ (score.T @ score) @ inverse * groups / (groups - 1)
    raise InputError(
        "the logit does not settle: a feature tells the outcome without error in these rows; leave it out"
    )


def conditional_logit(x: Floats, y: Floats, users: Ints, rounds: int = 30) -> tuple[Floats, Floats]:
    """Coefficients (d,) and covariance (d, d) of the logit conditional on each user's number of returns; x
    (n, d) varies inside users. Users whose outcome never changes carry no information and are left out.

    Users with as many rows are stacked, and the sum over all ways to place k returns is built row by row,
    with its gradient.
    Source: Chamberlain 1980; Gail, Lubin and Rubinstein 1981. Raises InputError when no user's outcome
    changes.
    """
    groups = list(_stacks(x, y, users))
    if not groups:
        raise InputError(
            "no user both returned and stayed away, so nothing varies inside users; collect more days"
        )
    b = np.zeros(x.shape[1])
    for _ in range(rounds):
        gradient, hessian = np.zeros(len(b)), np.zeros((len(b), len(b)))
        for rows, hit in groups:
            mean, spread = _moments(rows, hit.sum(axis=1).astype(np.int64), b)
            gradient += (hit[:, :, None] * rows).sum(axis=(0, 1)) - mean.sum(axis=0)
            hessian += spread
        step = _solve(hessian, gradient)
        b = b + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            return b, _solve(hessian, np.eye(len(b)))
    raise InputError(
        "the conditional logit does not settle: a feature tells a user's returns without error; leave it out"
    )


def _stacks(x: Floats, y: Floats, users: Ints) -> list[tuple[Floats, Floats]]:
    """Rows (g, m, d) and outcomes (g, m) of the users with m rows whose outcome changes, for every m."""
    order = np.argsort(users, kind="stable")
    count = np.bincount(users)
    total = np.bincount(users, y)
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    useful = (total > 0) & (total < count)
    out = []
    for size in np.unique(count[useful]):
        who = np.flatnonzero(useful & (count == size))
        at = order[start[who][:, None] + np.arange(size)]
        # Subtracting the user's mean changes nothing in the likelihood and keeps the exponents small.
        out.append((x[at] - x[at].mean(axis=1, keepdims=True), y[at]))
    return out


def _moments(rows: Floats, wanted: Ints, b: Floats) -> tuple[Floats, Floats]:
    """Mean (g, d) of the sum of rows over the ways to choose `wanted` (g,) of them, weighted by exp(sum x'b),
    and the total of its covariances (d, d): zeroth, first and second moments by adding one row at a time.
    """
    count, size, d = rows.shape
    top = int(wanted.max())
    zero = np.zeros((count, top + 1))
    zero[:, 0] = 1.0
    one, two = np.zeros((count, top + 1, d)), np.zeros((count, top + 1, d, d))
    for place in range(size):
        x = rows[:, place]
        e = np.exp(x @ b)[:, None]
        cross = one[:, :-1, :, None] * x[:, None, None, :]
        outer = zero[:, :-1, None, None] * (x[:, :, None] * x[:, None, :])[:, None]
        new_two = e[:, :, None, None] * (two[:, :-1] + cross + cross.swapaxes(2, 3) + outer)
        new_one = e[:, :, None] * (one[:, :-1] + zero[:, :-1, None] * x[:, None])
        new_zero = e * zero[:, :-1]
        two[:, 1:] += new_two
        one[:, 1:] += new_one
        zero[:, 1:] += new_zero
    at = np.arange(count), wanted
    mean = one[at] / zero[at][:, None]
    second = two[at] / zero[at][:, None, None]
    return mean, np.asarray((second - mean[:, :, None] * mean[:, None, :]).sum(axis=0))


def _solve(matrix: Floats, right: Floats) -> Floats:
    try:
        return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise InputError(
            "two features say the same (their columns add up to each other, or one is constant); leave"
            " one out"
        ) from None
