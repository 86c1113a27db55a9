"""The orders that are more than a sort: constrained, capped and diverse."""

from __future__ import annotations

import heapq

import numpy as np

from tastemaker.retention.adjust.requests import Floats, Ints, Requests
from tastemaker.retention.adjust.rules import Constrained
from tastemaker.retention.adjust.similarity import Similarity

_HALVINGS = 40


def engagement(requests: Requests, order: Ints) -> Floats:
    """sum_j e_j z_(j) (Q,) of the places in `order` (n,)."""
    return requests.sums(requests.discount * requests.z[order])


def engagement_range(requests: Requests) -> tuple[Floats, Floats]:
    """Best and worst sum_j e_j z_(j) (Q,): base order, and the same backwards."""
    last = requests.offsets[requests.request] + requests.offsets[requests.request + 1] - 1
    backwards = last - np.arange(len(requests.rows))
    return engagement(requests, np.arange(len(requests.rows))), engagement(requests, backwards)


def constrained(requests: Requests, rule: Constrained) -> tuple[Floats, Ints]:
    """The largest mu (Q,) within the rule's loss, and the places (n,) in the order z + mu v."""
    value = rule.retention(requests.p_pos, requests.p_neg)
    best, worst = engagement_range(requests)
    floor = best - rule.eps * (best - worst)

    def holds(mu: Floats) -> tuple[np.ndarray, Ints]:
        order = requests.sorted_by(requests.z + mu[requests.request] * value)
        return engagement(requests, order) >= floor, order

    low, high = np.zeros(len(best)), np.full(len(best), rule.mu_max)
    high[requests.flat] = 0.0
    free, _ = holds(high)
    low[free] = high[free]
    for _ in range(_HALVINGS):
        if free.all():
            break
        middle = (low + high) / 2
        fine, _ = holds(middle)
        low = np.where(fine, middle, low)
        high = np.where(fine | free, high, middle)
        free |= high - low <= rule.mu_max * 1e-12
    return low, holds(low)[1]


def capped(requests: Requests, wanted: Ints, most: int) -> Ints:
    """Places (n,) in an order as `wanted` as possible where nobody moves more than `most` positions.

    One pass over positions: the item whose last allowed position this is, else the most wanted one that may
    come this early. At most one item is ever due, because base ranks differ.
    """
    out = np.empty_like(wanted)
    preference = np.empty_like(wanted)
    preference[wanted] = np.arange(len(wanted))
    for start, end in zip(requests.offsets[:-1].tolist(), requests.offsets[1:].tolist(), strict=True):
        waiting: list[tuple[int, int]] = []
        placed = [False] * (end - start)
        ranked = preference[start:end].tolist()
        opened = 0
        for position in range(end - start):
            while opened < end - start and opened - most <= position:
                heapq.heappush(waiting, (ranked[opened], opened))
                opened += 1
            due = position - most
            if due >= 0 and not placed[due]:
                chosen = due
            else:
                while placed[waiting[0][1]]:
                    heapq.heappop(waiting)
                chosen = heapq.heappop(waiting)[1]
            placed[chosen] = True
            out[start + position] = start + chosen
    return out


def diverse(requests: Requests, score: Floats, similarity: Similarity, balance: float) -> Ints:
    """Places (n,) chosen one by one: argmax balance score - (1 - balance) (largest similarity to those
    already chosen).
    """
    out = []
    for number, (start, end) in enumerate(
        zip(requests.offsets[:-1].tolist(), requests.offsets[1:].tolist(), strict=True)
    ):
        places = np.arange(start, end)
        if requests.flat[number]:
            out.append(places)
            continue
        alike = similarity.among(requests.rows[start:end])
        nearest, open_ = np.zeros(end - start), np.ones(end - start, dtype=bool)
        chosen = np.empty(end - start, dtype=np.int64)
        for position in range(end - start):
            gain = np.where(open_, balance * score[start:end] - (1 - balance) * nearest, -np.inf)
            chosen[position] = here = int(np.argmax(gain))
            open_[here] = False
            nearest = np.maximum(nearest, alike[here])
        out.append(start + chosen)
    return np.concatenate(out)
