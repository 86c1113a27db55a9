"""Estimates of a whole list: the weight of a position is the product of the ratios up to it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.estimate.contributions import Contributions
from tastemaker.explore.estimate.weights import assumptions, weights
from tastemaker.explore.policy import Scored
from tastemaker.explore.table import Log

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def slate_ips(log: Log, policy: Scored | Floats) -> Contributions:
    """One contribution a request: sum_j r_j prod_{l<=j} pi(a_l|x, a_<l) / p_l (2007.12986, eq. 7).

    The log has request_id and position; the propensity of a row is that of its action among those not yet
    drawn, as slates log it. policy: a policy of scores, read as Plackett-Luce, or log-probabilities (n,)
    given the rows above. A user reads from
    the top: what is shown below does not change the reward above. Raises InputError without requests or
    positions, or on a position twice.
    """
    if log.request is None or log.position is None:
        raise InputError("a list estimate needs to know lists: add columns 'request_id' and 'position'")
    names, request = np.unique(log.request, return_inverse=True)
    order = np.lexsort((log.position, request))
    same = (np.diff(request[order]) == 0) & (np.diff(log.position[order]) == 0)
    if same.any():
        row = int(order[1:][np.argmax(same)])
        raise InputError(
            f"row {row + 1}: request {str(log.request[row])!r} has position {log.position[row]} twice; one"
            " action a position"
        )
    start = np.searchsorted(request[order], np.arange(len(names)))
    rank = np.empty(len(log), dtype=np.int64)
    rank[order] = np.arange(len(log)) - start[request[order]]
    shape = (len(names), int(rank.max()) + 1)
    if isinstance(policy, np.ndarray):
        weight = weights(log, policy)
    else:
        weight = weights(
            log, policy.log_prob(log.context, log.action, without=_above(log.action, request, rank, shape))
        )
    ratios, rewards = np.ones(shape), np.zeros(shape)
    ratios[request, rank], rewards[request, rank] = weight, log.reward
    products: Floats = np.asarray(np.cumprod(ratios, axis=1), dtype=np.float64)
    notes = (
        *assumptions(log),
        "people read from the top: what is shown below a position does not change its reward",
    )
    return Contributions(
        np.asarray((products * rewards).sum(axis=1)),
        products[:, -1],
        0.0,
        np.inf,
        assumptions=notes,
        estimator="slate_ips",
    )


def _above(action: Ints, request: Ints, rank: Ints, shape: tuple[int, int]) -> Ints:
    """(n, K-1) actions shown above each row in its list, -1 where there are none."""
    lists = np.full(shape, -1, dtype=np.int64)
    lists[request, rank] = action
    above = lists[request][:, : max(shape[1] - 1, 1)].copy()
    above[np.arange(above.shape[1])[None, :] >= rank[:, None]] = -1
    return above
