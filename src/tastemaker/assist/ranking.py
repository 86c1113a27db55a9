"""Which items first: names, words, what was liked, the person's past and soft wishes, fused into one score.

The weights were tuned on the first half of the CPCD conversations; see recipes/assistant/cpcd.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tastemaker.assist.shelf import Floats, Shelf
from tastemaker.converse.constraints import Constraint, granted
from tastemaker.converse.reading.names import Named, shares
from tastemaker.converse.reading.words import english, fold
from tastemaker.stats.ranking import best_places

Ints = npt.NDArray[np.int64]
LOUD = 6.0  # a BM25 score that is as good as a match gets for a message of one telling word
WORDS = 2  # telling words from which a message speaks fully for itself
FADE = 0.8  # how much of a message's weight is left one message later
QUIET = 0.5  # least weight of the newest message
SHORT_LIST = 200  # places in which versions of one thing are spread out


@dataclass(frozen=True)
class Weights:
    """How much each piece of evidence counts."""

    maker: float = 12.0  # a creator named in the newest message
    makers_before: float = 4.8  # one named earlier
    title: float = 7.0
    titles_before: float = 0.6
    words: float = 1.5  # BM25 of the newest message
    words_before: float = 0.5
    meaning: float = 1.0  # sentence vectors against the item
    meaning_before: float = 0.35
    makers_meaning: float = 0.6  # sentence vectors against the creator's name
    liked: float = 0.3  # cosine to the mean of what was liked
    like_one: float = 0.6  # largest cosine to one liked item
    like_maker: float = 0.1
    past: float = 1.5  # the person's history, through the model
    soft: float = 1.2  # a soft wish that is granted
    version: float = 0.5  # each earlier version of the same thing


@dataclass(frozen=True)
class Evidence:
    """What speaks for items. messages: oldest first. liked: rows, oldest first. disliked: rows.

    past: (N,) scores from the person's history, or None. soft: (N,) how many soft wishes each item grants.
    """

    messages: tuple[str, ...] = ()
    liked: tuple[int, ...] = ()
    disliked: tuple[int, ...] = ()
    past: Floats | None = field(default=None, compare=False)
    soft: Floats | None = field(default=None, compare=False)


class Ranker:
    """Ranks the items of one shelf."""

    def __init__(self, shelf: Shelf, weights: Weights = Weights()) -> None:
        self.shelf, self.weights = shelf, weights
        self._meaning = lru_cache(maxsize=64)(self._of_meaning)
        self._words = lru_cache(maxsize=64)(self._of_words)
        self.named = lru_cache(maxsize=64)(self._of_names)

    def rank(self, evidence: Evidence, rows: Ints, k: int) -> list[int]:
        """The k best of `rows`, best first; versions of one thing are spread out."""
        if not len(rows):
            return []
        scores = self.scores(evidence)[rows]
        order = best_places(scores, max(SHORT_LIST, 4 * k))
        seen: dict[int, int] = {}
        spread = []
        for place in order:
            stem = int(self.shelf.stems[rows[place]])
            spread.append(scores[place] - self.weights.version * min(seen.get(stem, 0), 3))
            seen[stem] = seen.get(stem, 0) + 1
        best = np.argsort(-np.array(spread), kind="stable")[:k]
        return [int(rows[order[place]]) for place in best]

    def scores(self, evidence: Evidence) -> Floats:
        """(N,) the fused score of every item."""
        weights, shelf = self.weights, self.shelf
        scores = shelf.priors.copy()
        scores += self._message_scores(evidence.messages)
        if evidence.liked:
            liked = shelf.vectors[list(evidence.liked)]
            (table, maker), middle = shelf.makers, liked.mean(axis=0)
            makers = table[maker[list(evidence.liked)]].mean(axis=0)
            scores += weights.liked * standard(shelf.vectors @ _unit(middle))
            scores += weights.like_one * standard((shelf.vectors @ liked.T).max(axis=1))
            if makers.any():
                scores += weights.like_maker * standard((table @ _unit(makers))[maker])
        if evidence.disliked:
            away = (shelf.vectors @ shelf.vectors[list(evidence.disliked)].T).max(axis=1)
            scores -= 0.5 * weights.liked * standard(away)
        if evidence.past is not None:
            scores += weights.past * evidence.past
        if evidence.soft is not None:
            scores += weights.soft * evidence.soft
        return scores

    def _message_scores(self, messages: Sequence[str]) -> Floats:
        """(N,) what the messages say: the newest fully, earlier ones faded."""
        weights, n = self.weights, len(self.shelf)
        scores = np.zeros(n, np.float32)
        if not messages:
            return scores
        *before, newest = messages
        scores += weights.maker * shares(self.named(newest), n, "creator")
        scores += weights.title * shares(self.named(newest), n, "title")
        loudness = max(min(1.0, telling(newest) / WORDS), QUIET if not before else 0.5 * QUIET)
        meaning, makers = self._meaning(newest)
        scores += loudness * (
            weights.words * self._words(newest) + weights.meaning * meaning + weights.makers_meaning * makers
        )
        if not before:
            return scores
        for role, weight in (("creator", weights.makers_before), ("title", weights.titles_before)):
            each = [shares(self.named(message), n, role) for message in before]  # type: ignore[arg-type]
            scores += weight * np.max(each, axis=0)
        parts = np.array(
            [min(1.0, telling(m) / WORDS) * FADE ** (len(before) - k) for k, m in enumerate(before)]
        )
        if parts.sum() > 0:
            parts /= parts.sum()
            scores += weights.words_before * sum(
                part * self._words(m) for part, m in zip(parts, before, strict=True)
            )
            meant = sum(part * self._meaning(m)[0] for part, m in zip(parts, before, strict=True))
            scores += weights.meaning_before * standard(np.asarray(meant))
        return scores

    def _of_words(self, message: str) -> Floats:
        scores = self.shelf.lexical.search([message])[0]
        return np.asarray(scores / max(float(scores.max()), LOUD), np.float32)

    def _of_meaning(self, message: str) -> tuple[Floats, Floats]:
        query = np.nan_to_num(self.shelf.embed([message[:2000]])[0])
        table, maker = self.shelf.makers
        makers = np.asarray((table @ query)[maker], np.float32)
        return standard(self.shelf.vectors @ query), standard(makers) if makers.any() else makers

    def _of_names(self, message: str) -> tuple[Named, ...]:
        return tuple(self.shelf.names.find(message))


def telling(message: str) -> int:
    """How many words of a message are no small talk."""
    return sum(word not in SMALL for word in fold(message).split())


SMALL = frozenset(english()["wanted"]["small"].split())  # names nothing: small talk, and what all wish


def standard(scores: npt.NDArray[np.floating]) -> Floats:
    """Scores with mean 0 and standard deviation 1."""
    return np.asarray((scores - scores.mean()) / max(float(scores.std()), 1e-9), np.float32)


def _unit(vector: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))


def nearest(shelf: Shelf, ranked: Sequence[int], asked: Sequence[Constraint]) -> list[int]:
    """A ranking in which items that miss the same demands stand by how far their numbers are from these."""
    missed = np.array([granted(c, shelf.match) != 1 for c in asked], bool).reshape(len(asked), len(shelf))
    kinds, places = [missed[:, row].tobytes() for row in ranked], dict[bytes, Iterator[int]]()
    for kind in dict.fromkeys(kinds):
        rows = [row for row, own in zip(ranked, kinds, strict=True) if own == kind]
        misses = [c for c, miss in zip(asked, missed[:, rows[0]], strict=True) if miss]
        gaps = {row: sum(_gap(shelf, row, c) for c in misses) for row in rows}
        places[kind] = iter(sorted(rows, key=gaps.__getitem__))
    return [next(places[kind]) for kind in kinds]


def _gap(shelf: Shelf, row: int, missed: Constraint) -> float:
    """How far a number is from what was demanded, as a share of its field's range; 0 where none was."""
    clause = missed.clause
    if missed.kind != "must" or clause.cmp not in ("le", "ge", "between"):
        return 0.0
    known, value = shelf.catalogue.fields[clause.field], shelf.fact(row, clause.field)
    if not isinstance(value, int | float):
        return np.inf
    low, high = np.broadcast_to(np.asarray(clause.value, float), 2)
    below = low - value if clause.cmp != "le" else 0.0
    above = value - high if clause.cmp != "ge" else 0.0
    return float(max(below, above, 0.0) / max(known.high - known.low, 1e-9))


def free(n: int, barred: Collection[int]) -> Ints:
    """All rows but the barred."""
    keep = np.ones(n, bool)
    keep[list(barred)] = False
    return np.flatnonzero(keep)
