"""Search while somebody types: parts of words and words with one typing error find items too."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import OSA
from rapidfuzz.process import cdist
from scipy import sparse

from tastemaker.retrieve.baselines import TOKEN

EXACT, PREFIX, TYPO = 3.0, 2.0, 1.0  # what a match of a word is worth; all that refines it stays below 1
EVERY = 100.0  # an item that matches more of the words comes first, however it matches them
RARITY = 3.0  # what a word that few items have is worth beside one that most have
SHORTEST = 4  # letters that a word needs for an error in it to be forgiven beside better matches

Ints = npt.NDArray[np.int64]


class TypeAhead:
    """Items by the words of their titles (N,) and texts (N,).

    A word of the query is matched exactly, as the beginning of a word when it is the last one, or with one
    letter added, left out, changed or swapped with its neighbour (Damerau 1964); exact matches come before
    beginnings, and those before errors. Titles count before texts, short titles before long ones, and rare
    words before common ones.
    """

    def __init__(self, titles: Sequence[str], texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import CountVectorizer  # takes a second to load

        counts = CountVectorizer(token_pattern=TOKEN, strip_accents="unicode", dtype=np.float32)
        self._parts = counts.build_analyzer()
        self._size = len(titles)
        self._words: list[str] = []
        try:
            table = counts.fit_transform([*titles, *texts])
        except ValueError:  # not one word
            return
        self._words = counts.get_feature_names_out().tolist()  # sorted
        title, text = table[: self._size], table[self._size :]
        words = np.maximum(np.asarray(title.sum(axis=1)).ravel(), 1)
        titled = (title > 0).astype(np.float32).multiply((0.5 + 0.3 / words)[:, None])
        weights = titled.maximum((text > 0).astype(np.float32) * 1e-3).tocsc()
        self._items = sparse.csc_array(weights)
        self._lengths = np.array([len(word) for word in self._words])

    def search(self, query: str) -> Ints:
        """Rows of the items that match the most words of `query`, best first; empty when none matches any."""
        words = self._parts(query) if self._words else []
        scores = np.zeros(self._size, np.float32)
        for word in dict.fromkeys(words):
            scores += self._score(word, last=word == words[-1])
        most = scores.max(initial=0) // EVERY
        rows = np.flatnonzero((scores > 0) & (scores // EVERY == most))
        return rows[np.argsort(-scores[rows], kind="stable")]

    def _score(self, word: str, last: bool) -> npt.NDArray[np.float32]:
        """(N,) how well each item matches one word of the query; 0 where it does not."""
        best = np.zeros(self._size, np.float32)
        for worth, columns in self._matches(word, last):
            starts, ends = self._items.indptr[columns], self._items.indptr[columns + 1]
            counts = ends - starts
            first = np.cumsum(counts) - counts
            places = np.repeat(starts - first, counts) + np.arange(counts.sum())
            closeness = len(word) / np.maximum(self._lengths[columns], len(word))
            value = EVERY + worth + np.repeat(0.19 * closeness, counts) + self._items.data[places]
            np.maximum.at(best, self._items.indices[places], value.astype(np.float32))
        hits = best > 0
        best[hits] += RARITY * (1 - np.log1p(hits.sum()) / np.log1p(self._size))
        return best

    def _matches(self, word: str, last: bool) -> list[tuple[float, Ints]]:
        """(worth, words of the vocabulary) for each way in which they match."""
        start = bisect_left(self._words, word)
        exact = self._words[start : start + 1] == [word]
        end = bisect_left(self._words, word + "\U0010ffff") if last else start + exact
        matches = [(EXACT, np.arange(start, start + exact)), (PREFIX, np.arange(start + exact, end))]
        if (
            self._words
            and not word.isdigit()
            and (len(word) >= SHORTEST or (len(word) == 3 and start == end))
        ):
            matches.append((TYPO, self._one_error(word, last)))
        return matches

    def _one_error(self, word: str, last: bool) -> Ints:
        """Words of the vocabulary, or where `last` words that begin so, one typing error away from `word`."""
        lengths = (len(word) - 1, len(word), len(word) + 1) if last else (None,)
        hits = np.zeros(len(self._words), bool)
        for length in lengths:
            begun = self._words if length is None else [known[:length] for known in self._words]
            hits |= cdist([word], begun, scorer=OSA.distance, score_cutoff=1)[0] <= 1
        return np.flatnonzero(hits)
