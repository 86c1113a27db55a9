"""Judges: agreement against scikit-learn, no mean over too few answers, planted defects noticed or
disowned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tastemaker.chat import Request
from tastemaker.converse.judges.agreement import Rated, agreement, means
from tastemaker.converse.judges.pairs import Chosen, PairAnswer, consistency, for_pair, pairs_of, render_pair
from tastemaker.converse.judges.planted import ASPECT_OF, detection, plant
from tastemaker.converse.judges.rubric import ASPECTS, JudgeAnswer, for_judge, render
from tastemaker.converse.rules import FactJudge, WordJudge

if TYPE_CHECKING:
    from tests.converse.conftest import Small

    from tastemaker.converse.record import Conversation


def _rated(judge: str, scores: list[int | None], aspect: str = "goal") -> list[Rated]:
    return [Rated(judge, f"c{at // 2}", f"c{at // 2}/{at}", aspect, score) for at, score in enumerate(scores)]


def weighted_kappa(a: Sequence[int], b: Sequence[int]) -> float | None:
    """Of two judges' grades of the same units; None where it is not defined."""
    graded = [
        (name, place, int(grade)) for name, row in (("a", a), ("b", b)) for place, grade in enumerate(row)
    ]
    ratings = [Rated(name, f"c{place}", f"i{place}", "fits", grade) for name, place, grade in graded]
    value = agreement(ratings, "a", "b", "fits").value
    return None if np.isnan(value) else value


def test_kappa_is_that_of_the_specification_and_of_scikit_learn() -> None:
    assert weighted_kappa((1, 2, 3, 4, 4, 2, 1, 3), (1, 2, 4, 4, 3, 2, 2, 3)) == pytest.approx(
        0.8333, abs=5e-5
    )
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(1, 5, size=(2, 30))
        expected = cohen_kappa_score(a, b, labels=[1, 2, 3, 4], weights="quadratic")
        assert weighted_kappa(a.tolist(), b.tolist()) == pytest.approx(expected, abs=1e-12)


def test_a_constant_judge_has_no_kappa_and_says_why() -> None:
    assert weighted_kappa([3, 3, 3], [3, 3, 3]) is None
    interval = agreement(_rated("a", [3] * 8) + _rated("b", [3] * 8), "a", "b", "goal")
    assert np.isnan(interval.value)
    assert "one grade throughout" in interval.reason
    assert "no answer of both" in agreement([], "a", "b", "goal").reason


def test_agreement_has_an_interval_over_conversations() -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(1, 5, size=80).tolist()
    b = [min(4, max(1, grade + int(rng.integers(-1, 2)))) for grade in a]
    interval = agreement(_rated("a", a) + _rated("b", b), "a", "b", "goal")
    assert interval.value == pytest.approx(weighted_kappa(a, b) or 0)
    assert 0 < interval.low < interval.value < interval.high <= 1


def test_too_many_unusable_answers_leave_no_mean() -> None:
    few = means(_rated("a", [None] * 6 + [4] * 94))[0]
    assert few.mean is None
    assert "94.0% of 100" in few.reason
    enough = means(_rated("a", [None] * 5 + [4] * 93 + [2] * 2))[0]
    assert enough.mean == pytest.approx((93 * 4 + 2 * 2) / 95)


def _grade(judge: FactJudge, small: Small, talk: Conversation, turn: int) -> dict[str, int]:
    view = for_judge(talk, turn, small.known)
    reply = judge.complete(Request(render(view), JudgeAnswer, view=view))
    answer = JudgeAnswer.model_validate_json(reply.text).model_dump()
    return {aspect: answer[aspect]["score"] for aspect in ASPECTS}


@pytest.mark.parametrize("defect", ["swapped_item", "false_fact", "leaked_title"])
def test_the_fact_judge_notices_planted_defects(
    small: Small, played: list[Conversation], defect: str
) -> None:
    judge, aspect = FactJudge(small.known), ASPECT_OF[defect]
    clean, spoiled = [], []
    for talk in played:
        mutant = plant(talk, 2, defect, small.known)
        if mutant is not None:
            item, name = f"{talk.conversation_id}/2", talk.conversation_id
            clean.append(Rated("facts", name, item, aspect, _grade(judge, small, talk, 2)[aspect]))
            spoiled.append(Rated("facts", name, item, aspect, _grade(judge, small, mutant, 2)[aspect]))
    result = detection(clean, spoiled, "facts", defect)
    assert result.n > 8
    assert result.false_alarm <= 0.1
    assert result.hit >= 0.7
    assert result.reported


def test_rules_grade_nothing_that_they_cannot_tell(small: Small, played: list[Conversation]) -> None:
    for judge in (FactJudge(small.known), WordJudge(small.known)):
        grades = _grade(judge, small, played[0], 2)
        assert grades["profile"] is grades["goal"] is grades["media_used"] is None
    fulfilled = {_grade(FactJudge(small.known), small, talk, 2)["goal_fulfilled"] for talk in played[:8]}
    assert len(fulfilled) > 1  # goals are graded against goals, so not all are alike


def test_a_judge_who_notices_nothing_is_not_reported() -> None:
    rows = _rated("blind", [3] * 20, "item_fits")
    assert not detection(rows, rows, "blind", "swapped_item").reported
    assert np.isnan(detection([], [], "blind", "swapped_item").hit)


def _choices(
    small: Small, played: list[Conversation], choose: Callable[[Request[PairAnswer]], str]
) -> list[Chosen]:
    """One pair of every conversation, asked in both orders."""
    choices = []
    for talk in played:
        for pair in pairs_of(talk)[:1]:
            views = [for_pair(pair, small.known, swapped) for swapped in (False, True)]
            answers = [choose(Request(render_pair(view), PairAnswer, view=view)) for view in views]
            choices.append(Chosen("judge", talk.conversation_id, pair.name, *answers))
    return choices


def _by(judge: FactJudge | WordJudge) -> Callable[[Request[PairAnswer]], str]:
    return lambda request: PairAnswer.model_validate_json(judge.complete(request).text).choice


def test_a_judge_that_prefers_the_first_is_exposed(small: Small, played: list[Conversation]) -> None:
    result = consistency(_choices(small, played, lambda request: "first"), "judge")
    assert (
        result.valid > 8
        and result.consistent == 0
        and result.first == 1
        and result.right is None
        and not result.reported
    )


def test_a_judge_that_tosses_a_coin_is_not_reported(small: Small, played: list[Conversation]) -> None:
    rng = np.random.default_rng(0)
    result = consistency(
        _choices(small, played, lambda request: str(rng.choice(["first", "second"]))), "judge"
    )
    assert not result.reported and 0 < result.consistent < 1


def test_the_fact_judge_chooses_the_item_and_not_the_place(small: Small, played: list[Conversation]) -> None:
    result = consistency(_choices(small, played, _by(FactJudge(small.known))), "judge")
    assert result.consistent == 1 and result.reported and result.first == 0.5
    assert result.right is not None and result.right >= 0.9
    assert consistency(_choices(small, played, _by(WordJudge(small.known))), "judge").consistent == 1


def test_unusable_choices_are_asked_and_not_valid() -> None:
    rows = [Chosen("a", "c1", "p1", "first", None), Chosen("a", "c2", "p2", "first", "second")]
    result = consistency(rows, "a")
    assert (result.asked, result.valid, result.consistent, result.right) == (2, 1, 1.0, 1.0)
    assert np.isnan(consistency(rows[:1], "a").consistent) and not consistency(rows[:1], "a").reported


def test_a_pair_shows_no_id_label_or_thought(small: Small, played: list[Conversation]) -> None:
    for talk in played[:4]:
        for pair in pairs_of(talk)[:2]:
            for swapped in (False, True):
                text = " ".join(message.text for message in render_pair(for_pair(pair, small.known, swapped)))
                assert pair.better not in text and pair.worse not in text and "MOVES" not in text
                assert talk.turns[pair.turn - 1].recommender_thought not in text
