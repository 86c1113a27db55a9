"""Which items were heard together, from the training part alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.events import Histories, Ints


def pair_counts(train: Histories, window: int = 3) -> tuple[Ints, Ints]:
    """Distinct pairs of items at most `window` events apart in a history, and how often each occurs.

    Returns pairs, (P, 2) int64 item indices, the smaller first, sorted; an item never pairs with itself;
    counts, (P,) int64, at least 1.
    """
    pairs, _, place, _ = _occurrences(train, window)
    return pairs, np.bincount(place, minlength=len(pairs)).astype(np.int64)


def pair_people(train: Histories, window: int = 3) -> tuple[Ints, Ints]:
    """The pairs of `pair_counts`, (P, 2), and in how many people's histories each occurs, (P,)."""
    pairs, _, place, users = _occurrences(train, window)
    places = np.unique(np.stack([place, users]), axis=1)[0]
    return pairs, np.bincount(places, minlength=len(pairs)).astype(np.int64)


def near_pairs(train: Histories, window: int = 3) -> tuple[Ints, npt.NDArray[np.float64]]:
    """The pairs of `pair_counts`, each weighed by 1 / distance: (P, 2) items, (P,) weights above 0."""
    pairs, steps, place, _ = _occurrences(train, window)
    return pairs, np.asarray(np.bincount(place, 1 / np.maximum(steps, 1), minlength=len(pairs)), np.float64)


def _occurrences(train: Histories, window: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Distinct pairs (P, 2); of each occurrence (O,) the distance, which pair it is of, and whose it is."""
    items, users = train.items, train.user_rows
    size = int(items.max()) + 1 if len(items) else 1
    keys, steps, whose = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for step in range(1, min(window, len(items) - 1) + 1):
        together = (users[step:] == users[:-step]) & (items[step:] != items[:-step])
        a, b = items[:-step][together], items[step:][together]
        keys.append(np.minimum(a, b) * size + np.maximum(a, b))
        steps.append(np.full(len(a), step))
        whose.append(users[step:][together])
    distinct, place = np.unique(np.concatenate(keys), return_inverse=True)
    pairs = np.stack(np.divmod(distinct, size), axis=1)
    return pairs, np.concatenate(steps), place, np.concatenate(whose)


def cooccurring_pairs(train: Histories, window: int = 3) -> tuple[Ints, npt.NDArray[np.float64]]:
    """The pairs of `pair_counts`, with the weight to sample each by.

    The weight is n_ab (c_a c_b)^-0.5: how often the pair occurs, damped by how often its items do, so that
    hits do not pair with everything.

    Returns pairs, (P, 2) int64 item indices, the smaller first, sorted; weights, (P,) float64 above 0.

    Source: co-occurrence contrastive pairs of PLUM, arXiv 2510.07784, section 3.1; the damping is ours.
    """
    pairs, times = pair_counts(train, window)
    counts = train.counts(int(train.items.max()) + 1 if len(train.items) else 0).astype(np.float64)
    return pairs, times / np.sqrt(counts[pairs[:, 0]] * counts[pairs[:, 1]])
