"""Slates: drawn by Plackett-Luce with exact propensities, or chosen outright; and the table that logs
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.schema import SLATES, check
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

GREEDY_POLICY = "greedy"


def draw_slate(scores: npt.ArrayLike, k: int, key: str | int) -> tuple[Ints, Floats]:
    """Draw k items without replacement, each in proportion to exp(score) among those not yet drawn.

    scores (N,) of the candidates left after *all* filters (-inf: never drawn); whatever is filtered,
    deduplicated or re-ranked after the draw makes every propensity wrong. key: the request id; the same key
    and scores give the same slate, anywhere.

    Returns order (k,) candidate numbers, first shown first, and propensity (k,) of each position given those
    above it: the first is the exact top-1 probability, the product that of the list.

    Raises InputError on a NaN or +inf score, or fewer than k candidates that can be drawn.
    Source: Gumbel top-k, 1903.06059, section 2; Plackett 1975.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or np.any(np.isnan(values) | (values == np.inf)):
        raise InputError(
            "a slate is drawn from one finite score a candidate (-inf: never shown); got NaN, +inf or another"
            " shape"
        )
    drawable = int(np.isfinite(values).sum())
    if not 0 <= k <= drawable:
        raise InputError(
            f"a slate of {k} cannot be drawn from {drawable} candidates; ask for fewer, or loosen the filters"
        )
    noisy = values + generator(key, "slate").gumbel(size=len(values))
    order = np.argsort(-noisy, kind="stable")[:k]
    return order, np.exp(plackett_luce(values, order))


def plackett_luce(scores: npt.ArrayLike, order: npt.ArrayLike) -> Floats:
    """(k,) log-probability of each item of a list given those above it; scores (N,), order (k,) candidate
    numbers.

    The denominator is summed over the rest, from the items never drawn upwards: 1 minus the drawn mass would
    lose its digits where a few items hold nearly all of it. Raises InputError when an item occurs twice.
    """
    values, listed = np.asarray(scores, dtype=np.float64), np.asarray(order, dtype=np.int64)
    if len(np.unique(listed)) != len(listed):
        raise InputError("a slate shows an item twice; Plackett-Luce draws without replacement")
    rest = np.delete(values, listed)
    upwards = np.concatenate([[np.logaddexp.reduce(rest, initial=-np.inf)], values[listed][::-1]])
    return np.asarray(values[listed] - np.logaddexp.accumulate(upwards)[1:][::-1])


def prefix_propensities(scores: npt.ArrayLike, order: npt.ArrayLike, prefixes: npt.ArrayLike) -> Floats:
    """(k,) probability that each position shows *some* item of its prefix, given those above; prefixes (N,)
    numbers.
    """
    values, groups = np.asarray(scores, dtype=np.float64).copy(), np.asarray(prefixes)
    found = []
    for item in np.asarray(order, dtype=np.int64):
        same = np.logaddexp.reduce(values[groups == groups[item]])
        found.append(min(1.0, float(np.exp(same - np.logaddexp.reduce(values)))))
        values[item] = -np.inf
    return np.asarray(found)


def drawn_slate(
    request_id: str,
    user_id: str,
    item_ids: Sequence[str],
    scores: npt.ArrayLike,
    k: int,
    timestamp: datetime,
    policy_id: str,
    prefixes: npt.ArrayLike | None = None,
) -> pa.Table:
    """A slate of k of the candidates, drawn by `draw_slate` with the request id as key, one row a position,
    in `schema.SLATES`.

    item_ids, scores (N,), prefixes (N,) numbers of the candidates' Semantic-ID prefixes, so that later
    estimates may share evidence between items of one prefix. Raises InputError as `draw_slate`.
    """
    order, propensity = draw_slate(scores, k, request_id)
    by_prefix = None if prefixes is None else prefix_propensities(scores, order, prefixes)
    return _table(
        request_id, user_id, [item_ids[one] for one in order], propensity, by_prefix, timestamp, policy_id
    )


def mixed_slate(
    request_id: str,
    user_id: str,
    item_ids: Sequence[str],
    policy: Floats,
    logger: Floats,
    share: float,
    k: int,
    timestamp: datetime,
    policy_id: str,
    prefixes: npt.ArrayLike | None = None,
) -> pa.Table:
    """A slate drawn from `logger` with probability `share`, else from `policy`, with what each gave every
    shown item.

    policy, logger (N,): probabilities of being shown first, each of sum 1; places below are Plackett-Luce in
    both. Which of the two draws the list is itself drawn, keyed by the request. propensity: of the position
    given those above it, under the mixture of lists, so the first is (1 - share) policy + share logger, and
    the products of a column are probabilities of the list.

    Raises InputError as `draw_slate`, when either cannot fill the slate.
    """
    with np.errstate(divide="ignore"):
        parts, shares = np.log(np.stack([policy, logger])), np.log(np.array([[1 - share], [share]]))
    if k > (least := int(np.isfinite(parts).sum(axis=1).min())):
        raise InputError(
            f"a slate of {k} cannot be drawn from {least} candidates; ask for fewer, or loosen the filters"
        )
    order, _ = draw_slate(parts[int(generator(request_id, "holdout").random() < share)], k, request_id)
    given = np.stack([plackett_luce(one, order) for one in parts])
    joint = np.concatenate([shares, shares + np.cumsum(given, axis=1)], axis=1)
    mixed = np.concatenate([[0.0], np.logaddexp(joint[0, 1:], joint[1, 1:])])
    by_prefix = None
    if prefixes is not None:
        drawer = np.exp(joint - mixed)[:, :-1]  # which of the two draws the list, given what stands above
        by_prefix = np.minimum(
            (drawer * [prefix_propensities(one, order, prefixes) for one in parts]).sum(axis=0), 1.0
        )
    shown, propensity = [item_ids[one] for one in order], np.minimum(np.exp(np.diff(mixed)), 1.0)
    return _table(request_id, user_id, shown, propensity, by_prefix, timestamp, policy_id, np.exp(given))


def greedy_slate(
    request_id: str,
    user_id: str,
    item_ids: Sequence[str],
    timestamp: datetime,
    policy_id: str = GREEDY_POLICY,
) -> pa.Table:
    """The slate of a deterministic policy, one row a shown item, in `schema.SLATES`.

    A deterministic policy shows the item it chose at each position with certainty, so every propensity, and
    the propensity of every prefix of the slate, is 1. That is a true propensity, not a placeholder: a log of
    such slates supports no off-policy claim about items that were not shown, and the support report says so.
    """
    certain = np.ones(len(item_ids))
    return _table(request_id, user_id, item_ids, certain, certain, timestamp, policy_id)


def _table(
    request_id: str,
    user_id: str,
    item_ids: Sequence[str],
    propensity: Floats,
    prefix_propensity: Floats | None,
    timestamp: datetime,
    policy_id: str,
    given: Floats | None = None,
) -> pa.Table:
    n, nobody = len(item_ids), pa.nulls(len(item_ids), pa.float64())
    table = pa.table(
        {
            "request_id": [request_id] * n,
            "user_id": [user_id] * n,
            "timestamp": pa.array([timestamp] * n, pa.timestamp("us", tz="UTC")),
            "position": list(range(n)),
            "item_id": pa.array(item_ids, pa.string()),
            "propensity": propensity,
            "prefix_propensity": nobody if prefix_propensity is None else prefix_propensity,
            "policy_id": [policy_id] * n,
            "policy_propensity": nobody if given is None else given[0],
            "reference_propensity": nobody if given is None else given[1],
        }
    )
    return check(table, SLATES, "slate")
