"""Scores of rankings per turn and macro, with intervals over conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tastemaker.converse.benchmark.asks import Ask
from tastemaker.converse.constraints import ceiling, fit_ndcg
from tastemaker.errors import InputError
from tastemaker.stats.intervals import Interval
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]
CUTS = (1, 10, 20)
METRICS = (*(f"nDCG@{k}" for k in CUTS), *(f"Hit@{k}" for k in CUTS), "MRR@20", "fit-nDCG@20", "ceiling@20")


def score(some: Sequence[Ask], lists: Sequence[Sequence[int]]) -> dict[str, Floats]:
    """Each metric (n,) of the rankings `lists`, best first, for questions that have a target.

    nDCG, Hit and MRR know the played item alone; fit-nDCG counts every item that fits; the ceiling is the
    best expected nDCG@20 of any ranker when the played item is a uniform draw of what fits (1 when it is the
    only one).

    Raises
    ------
    InputError
        for a question without a target, or an item listed twice or excluded.
    """
    ranks = np.zeros(len(some))
    fitting, best = np.zeros(len(some)), np.zeros(len(some))
    for place, (one, items) in enumerate(zip(some, lists, strict=True)):
        head = list(items[: max(CUTS)])
        if one.target is None:
            raise InputError(
                f"conversation {one.conversation}, turn {one.turn}: nothing was played, so there is no target"
            )
        if len(set(head)) < len(head) or np.isin(head, one.excluded).any():
            raise InputError(
                f"conversation {one.conversation}, turn {one.turn}: an item is listed twice or was played"
                " before"
            )
        ranks[place] = head.index(one.target) + 1 if one.target in head else np.inf
        fitting[place] = fit_ndcg(head, frozenset(one.fits.tolist()), max(CUTS))
        best[place] = ceiling(max(1, len(one.fits)), max(CUTS))
    found = {f"nDCG@{k}": np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0) for k in CUTS}
    found |= {f"Hit@{k}": (ranks <= k).astype(np.float64) for k in CUTS}
    return found | {"MRR@20": 1 / ranks, "fit-nDCG@20": fitting, "ceiling@20": best}


def _tables(some: Sequence[Ask], values: Floats) -> tuple[Floats, Floats, list[int]]:
    """Sums and counts (C, T) of the values by conversation and turn number."""
    conversations, rows = np.unique([one.conversation for one in some], return_inverse=True)
    turns, columns = np.unique([one.turn for one in some], return_inverse=True)
    sums, counts = np.zeros((len(conversations), len(turns))), np.zeros((len(conversations), len(turns)))
    np.add.at(sums, (rows, columns), values)
    np.add.at(counts, (rows, columns), 1.0)
    return sums, counts, [int(turn) for turn in turns]


def by_turn(some: Sequence[Ask], values: Floats) -> dict[int, float]:
    """Mean over conversations at each turn number."""
    sums, counts, turns = _tables(some, values)
    return dict(zip(turns, (sums.sum(0) / counts.sum(0)).tolist(), strict=True))


@lru_cache(maxsize=4)
def _draws(conversations: int, seed: int | str, resamples: int) -> Floats:
    """(resamples, C) how often each conversation is drawn: the same for every metric, so that all intervals
    are comparable.
    """
    rng = generator(seed, "conversations")
    return rng.multinomial(conversations, np.full(conversations, 1 / conversations), size=resamples).astype(
        np.float64
    )


def macro(some: Sequence[Ask], values: Floats, seed: int | str, resamples: int = 2000) -> Interval:
    """Mean over conversations within a turn number, then over turn numbers; percentile interval from
    resampling conversations.

    A difference of two rankers' values gives the paired interval. Raises InputError without questions.
    """
    if not len(some):
        raise InputError("no turn to score; the test part has no such turns")
    sums, counts, _ = _tables(some, values)
    drawn = _draws(len(sums), seed, resamples)
    below = drawn @ counts
    means = np.where(below > 0, (drawn @ sums) / np.maximum(below, 1), np.nan)
    low, high = np.quantile(np.nanmean(means, axis=1), [0.025, 0.975])
    return Interval(float((sums.sum(0) / counts.sum(0)).mean()), float(low), float(high), len(sums))


def summary(some: Sequence[Ask], scores: Mapping[str, Floats], seed: int | str) -> dict[str, Interval]:
    """Every metric's macro value with its interval."""
    return {name: macro(some, values, seed) for name, values in scores.items()}


def compare(
    some: Sequence[Ask], ours: Mapping[str, Floats], other: Mapping[str, Floats], seed: int | str
) -> dict[str, Interval]:
    """Macro difference of each metric but the ceiling, paired turn by turn, over resampled conversations."""
    return {
        name: macro(some, ours[name] - other[name], seed) for name in ours if not name.startswith("ceiling")
    }


def nothing_fits(due: Sequence[bool], said: Sequence[bool]) -> dict[str, float | int | None]:
    """Precision and recall of saying that nothing fits; None where it was never said or never due."""
    right = sum(a and b for a, b in zip(due, said, strict=True))
    shares = {
        "precision": right / sum(said) if any(said) else None,
        "recall": right / sum(due) if any(due) else None,
    }
    return {"right": right, "said": sum(said), "due": sum(due)} | shares
