"""The benchmark of turns: one query a turn, and rankings scored against what was played and what fitted, with
intervals over conversations.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tastemaker.converse.audits.pool import TurnQuery
from tastemaker.errors import InputError
from tastemaker.stats.intervals import Interval
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]
CUTS = (1, 10, 20)
METRICS = (*(f"nDCG@{k}" for k in CUTS), *(f"Hit@{k}" for k in CUTS), "MRR@20", "fit-nDCG@20", "ceiling@20")


def score(queries: Sequence[TurnQuery], lists: Sequence[Sequence[int]]) -> dict[str, Floats]:
    """Each metric (n,) of the rankings `lists`, best first, for queries that have a target.

    nDCG, Hit and MRR know the played item alone; fit-nDCG counts every item that fits; the ceiling is the
    best expected nDCG@20 of any ranker when the played item is a uniform draw of what fits (1 when it is the
    only one).

    Raises
    ------
    InputError
        for a query without a target, or an item listed twice or excluded.
    """
    ranks = np.zeros(len(queries))
    fitting, best = np.zeros(len(queries)), np.zeros(len(queries))
    for place, (query, items) in enumerate(zip(queries, lists, strict=True)):
        head, where = list(items[: max(CUTS)]), f"conversation {query.conversation}, turn {query.turn}"
        if query.target is None:
            raise InputError(f"{where}: nothing was played, so there is no target")
        if len(set(head)) < len(head) or np.isin(head, query.excluded).any():
            raise InputError(f"{where}: an item is listed twice or was played before")
        ranks[place] = head.index(query.target) + 1 if query.target in head else np.inf
        fitting[place] = fit_ndcg(head, frozenset(query.fits.tolist()), max(CUTS))
        best[place] = ceiling(max(1, len(query.fits)), max(CUTS))
    scores = {f"nDCG@{k}": np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0) for k in CUTS}
    scores |= {f"Hit@{k}": (ranks <= k).astype(np.float64) for k in CUTS}
    return scores | {"MRR@20": 1 / ranks, "fit-nDCG@20": fitting, "ceiling@20": best}


def _tables(queries: Sequence[TurnQuery], values: Floats) -> tuple[Floats, Floats, list[int]]:
    """Sums and counts (C, T) of the values by conversation and turn number."""
    conversations, rows = np.unique([query.conversation for query in queries], return_inverse=True)
    turns, columns = np.unique([query.turn for query in queries], return_inverse=True)
    sums, counts = np.zeros((len(conversations), len(turns))), np.zeros((len(conversations), len(turns)))
    np.add.at(sums, (rows, columns), values)
    np.add.at(counts, (rows, columns), 1.0)
    return sums, counts, [int(turn) for turn in turns]


def by_turn(queries: Sequence[TurnQuery], values: Floats) -> dict[int, float]:
    """Mean over conversations at each turn number."""
    sums, counts, turns = _tables(queries, values)
    return dict(zip(turns, (sums.sum(0) / counts.sum(0)).tolist(), strict=True))


@lru_cache(maxsize=4)
def _draws(conversations: int, seed: int | str, resamples: int) -> Floats:
    """(resamples, C) how often each conversation is drawn: the same for every metric, so that all intervals
    are comparable.
    """
    rng = generator(seed, "conversations")
    even = np.full(conversations, 1 / conversations)
    return rng.multinomial(conversations, even, size=resamples).astype(np.float64)


def macro(queries: Sequence[TurnQuery], values: Floats, seed: int | str, resamples: int = 2000) -> Interval:
    """Mean over conversations within a turn number, then over turn numbers; percentile interval from
    resampling conversations.

    A difference of two rankers' values gives the paired interval. Raises InputError without queries.
    """
    if not len(queries):
        raise InputError("no turn to score; the test part has no such turns")
    sums, counts, _ = _tables(queries, values)
    drawn = _draws(len(sums), seed, resamples)
    below = drawn @ counts
    means = np.where(below > 0, (drawn @ sums) / np.maximum(below, 1), np.nan)
    low, high = np.quantile(np.nanmean(means, axis=1), [0.025, 0.975])
    return Interval(float((sums.sum(0) / counts.sum(0)).mean()), float(low), float(high), len(sums))


def summary(
    queries: Sequence[TurnQuery], scores: Mapping[str, Floats], seed: int | str
) -> dict[str, Interval]:
    """Every metric's macro value with its interval."""
    return {name: macro(queries, values, seed) for name, values in scores.items()}


def compare(
    queries: Sequence[TurnQuery], ours: Mapping[str, Floats], other: Mapping[str, Floats], seed: int | str
) -> dict[str, Interval]:
    """Macro difference of each metric but the ceiling, paired turn by turn, over resampled conversations."""
    names = [name for name in ours if not name.startswith("ceiling")]
    return {name: macro(queries, ours[name] - other[name], seed) for name in names}


def nothing_fits(due: Sequence[bool], claimed: Sequence[bool]) -> dict[str, float | int | None]:
    """Precision and recall of saying that nothing fits; None where it was never said or never due."""
    right = sum(a and b for a, b in zip(due, claimed, strict=True))
    shares = {
        "precision": right / sum(claimed) if any(claimed) else None,
        "recall": right / sum(due) if any(due) else None,
    }
    return {"right": right, "said": sum(claimed), "due": sum(due)} | shares


def fit_ndcg(ranked: Sequence[int], fits: Collection[int], k: int = 20) -> float:
    """nDCG@k with all of F_t relevant; the ideal takes min(k, n_t) of them. 0 when nothing fits."""
    hits = np.array([row in fits for row in ranked[:k]], float)
    ideal = gains(min(k, len(fits))).sum()
    return float((hits * gains(len(hits))).sum() / ideal) if len(fits) else 0.0


def ceiling(n_fit: int, k: int = 20) -> float:
    """Best expected nDCG@k when the target is uniform among `n_fit` items: (1/n) sum over r <= min(k, n) of
    1/log2(1 + r).

    0 for n_fit = 0: there is no target. Raises InputError on k < 1 or a negative count.
    """
    if k < 1 or n_fit < 0:
        raise InputError(f"a ceiling needs k >= 1 and a count of at least 0; got {k} and {n_fit}")
    return float(gains(min(k, n_fit)).sum() / n_fit) if n_fit else 0.0


def gains(k: int) -> npt.NDArray[np.float64]:
    """(k,) 1 / log2(1 + rank) of ranks 1..k."""
    return np.asarray(1.0 / np.log2(np.arange(2, k + 2)))
