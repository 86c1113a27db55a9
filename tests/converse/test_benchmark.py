"""Scores per turn: the spec's golden numbers, ceilings that hold, and intervals over conversations."""

from __future__ import annotations

import numpy as np
import pytest
from recipes.converse.turns.scores import by_turn, ceiling, compare, macro, nothing_fits, score, summary

from tastemaker.converse.audits.pool import TurnQuery, turn_queries
from tastemaker.errors import InputError

NONE = np.empty(0, np.int64)


def ask(conversation: int, turn: int, target: int = 0, fits: int = 1) -> TurnQuery:
    return TurnQuery(conversation, turn, target, True, (), NONE, np.arange(fits))


def ranked(rank: int | None) -> list[int]:
    others = list(range(100, 120))
    return others if rank is None else [*others[: rank - 1], 0]


def test_golden_macro_of_two_turns() -> None:
    asks = [ask(0, 1), ask(1, 1), ask(2, 1), ask(0, 2), ask(1, 2)]
    scores = score(asks, [ranked(r) for r in (1, 2, 12, 3, None)])
    values = [summary(asks, scores, 0)[f"nDCG@{k}"].value for k in (1, 10, 20)]
    assert values == pytest.approx([0.1667, 0.3968, 0.4419], abs=5e-5)
    assert by_turn(asks, scores["Hit@1"]) == pytest.approx({1: 1 / 3, 2: 0.0})
    assert scores["MRR@20"].tolist() == pytest.approx([1, 1 / 2, 1 / 12, 1 / 3, 0])


@pytest.mark.parametrize(
    "n, value", [(1, 1), (2, 0.8155), (5, 0.5897), (10, 0.4544), (20, 0.3520), (50, 0.1408), (100, 0.0704)]
)
def test_golden_ceilings(n: int, value: float) -> None:
    assert score([ask(0, 1, fits=n)], [[0]])["ceiling@20"][0] == pytest.approx(value, abs=5e-5)


def test_the_perfect_ranker_of_what_fits_meets_the_ceiling_and_random_its_closed_form() -> None:
    rng = np.random.default_rng(0)
    n, fits = 2000, 7
    asks = [ask(c, 1, int(rng.integers(fits)), fits) for c in range(n)]
    scores = score(asks, [rng.permutation(fits).tolist() for _ in range(n)])
    error = 4 * scores["nDCG@20"].std() / np.sqrt(n)
    assert scores["nDCG@20"].mean() == pytest.approx(scores["ceiling@20"].mean(), abs=error)
    assert (scores["fit-nDCG@20"] == pytest.approx(1.0)) and scores["Hit@20"].all()
    lists = [rng.permutation(50)[:20].tolist() for _ in range(n)]
    loose = score([ask(c, 1, int(rng.integers(50)), 50) for c in range(n)], lists)
    assert loose["nDCG@20"].mean() == pytest.approx(
        ceiling(50, 20), abs=4 * loose["nDCG@20"].std() / np.sqrt(n)
    )


def test_pairing_narrows_and_equal_rankers_differ_by_nothing() -> None:
    rng = np.random.default_rng(1)
    asks = [ask(c, t) for c in range(60) for t in (1, 2, 3)]
    hard = rng.random(len(asks))
    base = {"nDCG@20": hard, "ceiling@20": hard}
    other = {"nDCG@20": hard - 0.05 + 0.01 * rng.standard_normal(len(asks)), "ceiling@20": hard}
    gaps = compare(asks, base, other, 0)
    assert list(gaps) == ["nDCG@20"] and gaps["nDCG@20"].low > 0
    assert compare(asks, base, base, 0)["nDCG@20"].high == 0
    assert macro(asks, hard, 0).high - macro(asks, hard, 0).low > gaps["nDCG@20"].high - gaps["nDCG@20"].low


def test_nothing_fits_counts() -> None:
    shares = nothing_fits([True, True, False, False], [True, False, True, False])
    assert (shares["precision"], shares["recall"]) == (0.5, 0.5)
    assert nothing_fits([False], [False])["recall"] is None


def test_a_list_that_repeats_or_replays_is_refused() -> None:
    with pytest.raises(InputError, match="played before"):
        score([TurnQuery(0, 1, 0, True, (5,), np.array([5]), NONE)], [[5]])
    with pytest.raises(InputError, match="twice"):
        score([ask(0, 1)], [[3, 3]])


def test_questions_agree_with_what_the_conversation_recorded(small, played) -> None:  # type: ignore[no-untyped-def]
    for number, talk in enumerate(played[:6]):
        asks = turn_queries(number, talk, small.catalogue, small.match)
        assert [len(ask.fits) for ask in asks] == [turn.n_fit for turn in talk.turns]
        for ask, turn in zip(asks, talk.turns, strict=True):
            assert (ask.target is None) == turn.nothing_fits
            assert ask.target is None or ask.target not in ask.excluded
