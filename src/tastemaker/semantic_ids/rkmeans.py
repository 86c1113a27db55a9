"""Residual k-means: Semantic IDs without a network, deterministic, the default."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from tastemaker.errors import InputError
from tastemaker.semantic_ids.codebook import Blocks, Codebook, chunks, distances, subtract
from tastemaker.semantic_ids.collisions import distances_of, with_room
from tastemaker.semantic_ids.sizes import check_sizes
from tastemaker.semantic_ids.views import Float32, Scaling, Views, fit_views
from tastemaker.stats.random import generator

TOLERANCE = 1e-4  # Lloyd steps end when one lowers the error by a smaller share


@dataclass(frozen=True)
class RkmeansSettings:
    """iterations: Lloyd steps at most; sample: rows a level is fitted on at most; scaling:
    "dimension" (every dimension to variance 1) or "view" (keep a view's spectrum);
    start: "spread" (k-means++) or "rows" (rows drawn evenly: less drawn to outliers, so clusters are more
    even); balance: fit later levels on what `encode_unique` with this balance leaves.
    """

    iterations: int = 30
    sample: int = 200_000
    scaling: Scaling = "dimension"
    start: Literal["spread", "rows"] = "spread"
    balance: float | None = None


def fit_rkmeans(
    views: Views,
    sizes: Sequence[int],
    seed: int,
    weights: Mapping[str, float] | None = None,
    settings: RkmeansSettings | None = None,
) -> Codebook:
    """Fit one k-means a level on residuals of the level before (k-means++, Lloyd, empty clusters re-seeded).

    views: {name: (N, d)}, NaN rows missing; they are standardised here. weights: {name: w}, default 1: each
    view's expected squared length is w^2 whatever its width. Deterministic for seed and BLAS threads.

    Raises InputError for fewer items than codes at level 1, and for bad views (named, with the row).
    """
    settings = settings or RkmeansSettings()
    sizes = check_sizes(sizes)
    known = fit_views(views, weights, settings.scaling)
    n = len(next(iter(views.values())))
    if n < sizes[0]:
        raise InputError(f"{n} items but {sizes[0]} codes at level 1; choose a first size of at most {n}")
    empty = np.zeros((1, sum(view.dimensions for view in known)), np.float32)
    frame = Codebook("rkmeans", known, (empty,))
    if n > settings.sample:
        rows = np.sort(generator(seed, "rkmeans sample").choice(n, settings.sample, replace=False))
        views = {name: vectors[rows] for name, vectors in views.items()}
    z, present = frame.latent(views)
    levels = []
    for level, k in enumerate(sizes):
        words = kmeans(z, present, frame.blocks, k, (seed, "rkmeans", level), settings)
        if level == 0 and settings.balance is not None:
            cap = max(1, math.ceil(settings.balance * len(z) / k))
            codes = with_room(distances_of(z, present, words, frame.blocks), np.arange(len(z)), k, cap)
        else:
            codes = assign(z, present, words, frame.blocks)[0]
        z = subtract(z, present, words[codes], frame.blocks)
        levels.append(words)
    return Codebook("rkmeans", known, tuple(levels))


def kmeans(
    z: Float32,
    present: Float32,
    blocks: Blocks,
    k: int,
    key: tuple[str | int, ...],
    settings: RkmeansSettings,
) -> Float32:
    """(k, D) codewords that lie near the rows, by mean squared distance over the present blocks."""
    start = _spread_start if settings.start == "spread" else _row_start
    return _lloyd(z, present, blocks, start(z, k, (*key, 0)), settings.iterations)


def assign(
    z: Float32, present: Float32, words: Float32, blocks: Blocks
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Nearest codeword (N,), lowest index on a tie, and squared distance (N,) over the present blocks."""
    codes = np.empty(len(z), np.int64)
    gap = np.empty(len(z), np.float32)
    for rows in chunks(len(z), len(words)):
        d = distances(z[rows], present[rows], words, blocks)
        codes[rows] = nearest = d.argmin(axis=1)
        gap[rows] = d[np.arange(len(d)), nearest] + np.square(z[rows]).sum(axis=1)
    return codes, np.maximum(gap, 0)


def _spread_start(z: Float32, k: int, key: tuple[str | int, ...]) -> Float32:
    """k-means++ (Arthur and Vassilvitskii 2007): rows drawn by squared distance from those drawn."""
    rng = generator(*key)
    if len(z) > 64 * k:
        z = z[np.sort(rng.choice(len(z), 64 * k, replace=False))]
    norms = np.square(z).sum(axis=1)
    chosen = np.empty(k, np.int64)
    chosen[0] = rng.integers(len(z))
    nearest = np.full(len(z), np.inf, np.float32)
    for i in range(1, k):
        last = chosen[i - 1]
        nearest = np.minimum(nearest, np.maximum(norms - 2 * (z @ z[last]) + norms[last], 0))
        mass = np.cumsum(nearest, dtype=np.float64)
        chosen[i] = min(int(np.searchsorted(mass, rng.random() * mass[-1], side="right")), len(z) - 1)
    return z[chosen].copy()


def _row_start(z: Float32, k: int, key: tuple[str | int, ...]) -> Float32:
    return z[np.sort(generator(*key).choice(len(z), k, replace=k > len(z)))].copy()


def _lloyd(z: Float32, present: Float32, blocks: Blocks, words: Float32, iterations: int = 30) -> Float32:
    """Alternate assignment and per-block means; an empty cluster takes the row that is worst served."""
    before = np.inf
    for _ in range(iterations):
        codes, gap = assign(z, present, words, blocks)
        error = float(gap.sum(dtype=np.float64))
        empty = np.flatnonzero(np.bincount(codes, minlength=len(words)) == 0)
        worst = np.argsort(-gap, kind="stable")[: len(empty)]
        worst = worst[gap[worst] > 1e-9]  # fewer distinct rows than codes: the rest of the codes stays unused
        if before - error <= TOLERANCE * before < np.inf and not len(worst):
            break
        before = error
        codes[worst] = empty[: len(worst)]
        words = _means(z, present, blocks, codes, words)
    return words


def _means(
    z: Float32, present: Float32, blocks: Blocks, codes: npt.NDArray[np.int64], words: Float32
) -> Float32:
    member = sparse.csr_array(
        (np.ones(len(z), np.float32), (codes, np.arange(len(z)))), shape=(len(words), len(z))
    )
    sums, counts = member @ z, member @ present
    out = words.copy()
    for i, block in enumerate(blocks):
        alive = counts[:, i] > 0
        out[alive, block] = sums[alive, block] / counts[alive, i, None]
    return out
