"""Co-listening -> vectors: a truncated SVD of damped item co-occurrence, from the training part only."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from tastemaker.arrays import Float32, Floats, Ints
from tastemaker.errors import InputError

SMOOTHING = 0.75  # of contexts


def behaviour_vectors(
    pairs: Ints,
    weights: npt.NDArray[Any] | None,
    n_items: int,
    dimensions: int = 64,
    seed: int = 0,
) -> Float32:
    """(n_items, d) float32 unit-length vectors of items that occur together; unseen items are NaN rows.

    pairs: (P, 2) item indices, repeated as often as they were seen, in either order (an item paired with
    itself is ignored); weights: (P,) or None for ones. Popularity is taken out of the summed counts A as
    PPMI does, max(0, log A_ij S / (s_i s_j^.75)) (Levy, Goldberg and Dagan 2015, with context smoothing),
    symmetrised. Rows are U sqrt(S) of the SVD.

    An item that was never paired has NO view (NaN), not zeros: zeros would put all unseen items in one place.
    The result depends on its arguments only, so training pairs carry no validation or test events.

    Raises InputError for fewer than two paired items.
    """
    pairs, mass = _useful(pairs, weights)
    counts = sparse.coo_array(
        (np.r_[mass, mass], (np.r_[pairs[:, 0], pairs[:, 1]], np.r_[pairs[:, 1], pairs[:, 0]]))
    )
    counts.resize((n_items, n_items))
    matrix = _damped(counts.tocsr())
    rank = max(1, min(dimensions, int((np.diff(matrix.indptr) > 0).sum()) - 1))
    from sklearn.utils.extmath import randomized_svd  # takes a second to load

    left, values, _ = randomized_svd(matrix, rank, n_iter=4, random_state=seed)
    vectors = (left * np.sqrt(values)).astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    seen = np.bincount(pairs.ravel(), minlength=n_items)[:, None] > 0
    return np.where(seen & (norms > 1e-6), vectors / np.maximum(norms, 1e-6), np.float32(np.nan)).astype(
        np.float32
    )


def _useful(pairs: Ints, weights: npt.NDArray[Any] | None) -> tuple[Ints, Floats]:
    pairs = np.asarray(pairs, np.int64)
    mass = np.ones(len(pairs)) if weights is None else np.asarray(weights, np.float64)
    useful = (pairs[:, 0] != pairs[:, 1]) & (mass > 0)
    if not useful.any():
        raise InputError(
            "behaviour view: no two different items occur together; drop the view or give longer histories"
        )
    return pairs[useful], mass[useful]


def _damped(counts: sparse.csr_array) -> sparse.csr_array:
    total = np.asarray(counts.sum(axis=1)).ravel()
    out = counts.tocoo()
    row, column = out.row, out.col
    context = total**SMOOTHING
    # The symmetric form averages the two directions' logarithms, so that row order cannot matter.
    right = np.log(np.maximum(total[row] * context[column], 1e-300))
    left = np.log(np.maximum(total[column] * context[row], 1e-300))
    out.data = np.maximum(np.log(out.data * context.sum()) - (right + left) / 2, 0)
    result = out.tocsr()
    result.eliminate_zeros()
    return result
