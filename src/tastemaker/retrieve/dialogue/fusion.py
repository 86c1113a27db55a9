"""Several rankings as one."""

from __future__ import annotations

from collections.abc import Sequence

from tastemaker.errors import InputError


def fuse_ranks(
    lists: Sequence[Sequence[int]], k: int, weights: Sequence[float] | None = None, damping: float = 60.0
) -> list[int]:
    """The `k` items of largest sum of w / (60 + rank) over the lists (reciprocal rank fusion, Cormack et al.
    2009); ties by item.

    Raises InputError for other numbers of lists and weights.
    """
    weights = [1.0] * len(lists) if weights is None else weights
    if len(weights) != len(lists):
        raise InputError(f"{len(lists)} rankings but {len(weights)} weights; give one a ranking")
    score: dict[int, float] = {}
    for items, weight in zip(lists, weights, strict=True):
        for rank, item in enumerate(items, start=1):
            score[item] = score.get(item, 0.0) + weight / (damping + rank)
    return sorted(score, key=lambda item: (-score[item], item))[:k]
