"""One request's candidates re-ranked by the proxy: where each went, by how much its score moved, and why, in
words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Floats, Ints
from tastemaker.retention.adjust.apply import grid_requests, rank
from tastemaker.retention.adjust.rules import Rule


@dataclass(frozen=True, eq=False)
class Reranked:
    """n candidates of one request. order (n,): candidate at each new place; after (n,): new place of each
    candidate, from 0.

    value, term (n,): what the rule looked at, and what it added to the score in median absolute deviations;
    p_pos, p_neg (n,).
    flat: the scores do not vary, so nothing was moved.
    """

    order: Ints
    after: Ints
    value: Floats
    term: Floats
    p_pos: Floats
    p_neg: Floats
    flat: bool


def rerank(score: npt.ArrayLike, p_pos: Floats, p_neg: Floats, rule: Rule) -> Reranked:
    """Apply `rule` to candidates (n,) given best first; equal scores keep that order. Raises InputError as
    `grid_requests`.
    """
    scores = np.asarray(score, np.float64)[None, :]
    requests = grid_requests(scores, p_pos[None, :], p_neg[None, :])
    ranked = rank(requests, rule, None)
    order = requests.rows[ranked.order]
    after, value, term = np.empty_like(order), np.empty(len(order)), np.empty(len(order))
    after[order] = np.arange(len(order))
    value[requests.rows], term[requests.rows] = ranked.retention, ranked.term
    return Reranked(order, after, value, term, p_pos, p_neg, bool(requests.flat[0]))


def by_place(score: npt.ArrayLike) -> Floats:
    """(n,) scores to draw a slate with after re-ranking: the best score for the new first place, and so on.

    A policy that explores draws by score. The adjusted scores are in other units, so an item takes over the
    score of the place
    it moved to: the draw keeps its temperature, and its propensities stay those of what is really drawn.
    """
    return np.sort(np.asarray(score, np.float64))[::-1]


def sentence(places: int, p_pos: float, p_neg: float, term: float, flat: bool, source: str) -> str:
    """Why a row stands where it does: places moved up (down below 0), the proxy's two shares, and what it was
    learnt from.
    """
    if flat:
        return "Kept its place: the scores of this list do not vary, so the survey proxy moved nothing."
    said = (
        f"of people asked about such a match, {p_pos:.0%} are expected to say they would return for more,"
        f" {p_neg:.0%} not"
    )
    learnt = f"{said}; learnt from {source}."
    if places == 0:
        return f"Kept its place: {learnt}"
    many = "1 place" if abs(places) == 1 else f"{abs(places)} places"
    moved = f"Moved {'up' if places > 0 else 'down'} {many}"
    if (places > 0) != (term > 0):
        moved += " as others around it moved"
    return f"{moved}: {learnt}"
