"""The baselines on catalogues small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tastemaker.corpus.events import Histories
from tastemaker.errors import InputError
from tastemaker.retrieve.baselines import Lexical, content_knn, cooccurrence, late_popularity, popularity


def test_popularity_counts_training_events() -> None:
    score = popularity(Histories.of_lists([[0, 1], [1], [1, 2, 2]]), 4)
    assert score(Histories.of_lists([[3], []])).tolist() == [[1, 3, 2, 0]] * 2


def test_late_popularity_counts_the_last_tenth_by_time() -> None:
    items, times = np.repeat([0, 1, 2], [9, 10, 1]), np.append(np.arange(19.0), np.nan)
    score = late_popularity(items, times[::-1].copy(), 4)  # the item of row 0 has no time
    assert score(Histories.of_lists([[1], []])).tolist() == [[2, 0, 0, 0]] * 2
    nothing = late_popularity(items, np.full(20, np.nan), 4)
    assert not nothing(Histories.of_lists([[1]])).any()


def test_content_neighbours_of_the_last_item_and_of_the_mean() -> None:
    vectors = np.array([[2.0, 0], [0, 3], [1, 1], [np.nan, np.nan]])
    half = 2**-0.5
    last = content_knn(vectors)(Histories.of_lists([[1, 0], [3], []]))
    np.testing.assert_allclose(last, [[1, 0, half, 0], [0] * 4, [0] * 4], atol=1e-6)
    mean = content_knn(vectors, "mean")(Histories.of_lists([[1, 0], [0, 0, 1]]))
    np.testing.assert_allclose(mean, [[half, half, 1, 0], np.array([2, 1, 3 * half, 0]) / 5**0.5], atol=1e-6)


def test_cooccurrence_equals_counting_pairs() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(6, size=rng.integers(1, 9)).tolist() for _ in range(30)]
    pairs, seen = np.zeros((6, 6)), np.zeros(6)
    for row in rows:
        for a in range(len(row)):
            for b in range(len(row)):
                if 0 < abs(a - b) <= 3 and row[a] != row[b]:
                    pairs[row[a], row[b]] += 1
                    seen[row[a]] += 1
    strength = pairs / np.sqrt(np.outer(seen, seen)) * pairs / (pairs + 5.0)
    score = cooccurrence(Histories.of_lists(rows), 6)(Histories.of_lists([[2], [1, 4], []]))
    np.testing.assert_allclose(score[0], strength[2], rtol=1e-5)
    np.testing.assert_allclose(score[1], (strength[4] + 0.8 * strength[1]) / 1.8, rtol=1e-5)
    assert (score[2] == 0).all()


def test_pairs_never_cross_users_and_short_training_is_no_error() -> None:
    score = cooccurrence(Histories.of_lists([[0], [1], [2]]), 3)
    assert (score(Histories.of_lists([[0]])) == 0).all()


def test_word_search_ranks_by_bm25() -> None:
    texts = [
        "Slow air in D",
        "the fast reel",
        "The slow slow waltz in a very long title of many words",
        "",
        "夜の歌",
    ]
    lexical = Lexical(texts)
    scores = lexical.search(["slow", "reel the", "nothing", "歌"])
    assert scores.shape == (4, 5)
    assert scores[0].argsort()[::-1][:2].tolist() == [0, 2] and (scores[2] == 0).all()
    assert scores[1].argmax() == 1 and scores[3].argmax() == 4
    # By hand: "reel" is in one text of five, once; that text has 3 words, the mean is 4.8.
    mean = (4 + 3 + 12 + 0 + 3) / 5
    rarity = np.log1p((5 - 1 + 0.5) / 1.5)
    assert lexical.search(["reel"])[0, 1] == pytest.approx(
        rarity * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 3 / mean)), rel=1e-5
    )
    neighbours = lexical.score(Histories.of_lists([[1, 0], []]))
    assert neighbours[0].argsort()[::-1][:2].tolist() == [0, 2] and (neighbours[1] == 0).all()


def test_word_search_refuses_a_catalogue_without_words() -> None:
    with pytest.raises(InputError, match="no item text holds a word"):
        Lexical(["", "!!"])
