"""Judges: agreement against scikit-learn, no mean over too few answers, planted defects noticed or disowned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tastemaker.converse.judges.agreement import Rated, agreement, means, weighted_kappa
from tastemaker.converse.judges.planted import ASPECT_OF, detection, plant
from tastemaker.converse.judges.rubric import ASPECTS, JudgeAnswer, for_judge, render
from tastemaker.converse.rules import FactJudge
from tastemaker.lm.calls import Request

if TYPE_CHECKING:
    from tests.converse.conftest import Small

    from tastemaker.converse.record import Conversation


def _rated(judge: str, scores: list[int | None], aspect: str = "goal") -> list[Rated]:
    return [Rated(judge, f"c{at // 2}", f"c{at // 2}/{at}", aspect, score) for at, score in enumerate(scores)]


def test_kappa_is_that_of_the_specification_and_of_scikit_learn() -> None:
    assert weighted_kappa((1, 2, 3, 4, 4, 2, 1, 3), (1, 2, 4, 4, 3, 2, 2, 3)) == pytest.approx(0.8333, abs=5e-5)
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(1, 5, size=(2, 30))
        expected = cohen_kappa_score(a, b, labels=[1, 2, 3, 4], weights="quadratic")
        assert weighted_kappa(a.tolist(), b.tolist()) == pytest.approx(expected, abs=1e-12)


def test_a_constant_judge_has_no_kappa_and_says_why() -> None:
    assert weighted_kappa([3, 3, 3], [3, 3, 3]) is None
    found = agreement(_rated("a", [3] * 8) + _rated("b", [3] * 8), "a", "b", "goal")
    assert np.isnan(found.value)
    assert "one grade throughout" in found.reason
    assert "no answer of both" in agreement([], "a", "b", "goal").reason


def test_agreement_has_an_interval_over_conversations() -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(1, 5, size=80).tolist()
    b = [min(4, max(1, one + int(rng.integers(-1, 2)))) for one in a]
    found = agreement(_rated("a", a) + _rated("b", b), "a", "b", "goal")
    assert found.value == pytest.approx(weighted_kappa(a, b) or 0)
    assert 0 < found.low < found.value < found.high <= 1


def test_too_many_unusable_answers_leave_no_mean() -> None:
    few = means(_rated("a", [None] * 6 + [4] * 94))[0]
    assert few.mean is None
    assert "94.0% of 100" in few.reason
    enough = means(_rated("a", [None] * 5 + [4] * 93 + [2] * 2))[0]
    assert enough.mean == pytest.approx((93 * 4 + 2 * 2) / 95)


def _grade(judge: FactJudge, small: Small, one: Conversation, turn: int) -> dict[str, int]:
    view = for_judge(one, turn, small.known)
    reply = judge.complete(Request(render(view), JudgeAnswer, view=view))
    answer = JudgeAnswer.model_validate_json(reply.text).model_dump()
    return {aspect: answer[aspect]["score"] for aspect in ASPECTS}


@pytest.mark.parametrize("defect", ["swapped_item", "false_fact", "leaked_title"])
def test_the_fact_judge_notices_planted_defects(small: Small, played: list[Conversation], defect: str) -> None:
    judge, aspect = FactJudge(small.lexicon), ASPECT_OF[defect]
    clean, spoiled = [], []
    for one in played:
        made = plant(one, 2, defect, small.known)
        if made is not None:
            item, name = f"{one.conversation_id}/2", one.conversation_id
            clean.append(Rated("facts", name, item, aspect, _grade(judge, small, one, 2)[aspect]))
            spoiled.append(Rated("facts", name, item, aspect, _grade(judge, small, made, 2)[aspect]))
    found = detection(clean, spoiled, "facts", defect)
    assert found.n > 8
    assert found.false_alarm <= 0.1
    assert found.hit >= 0.7
    assert found.reported


def test_a_judge_who_notices_nothing_is_not_reported() -> None:
    rows = _rated("blind", [3] * 20, "item_fits")
    assert not detection(rows, rows, "blind", "swapped_item").reported
    assert np.isnan(detection([], [], "blind", "swapped_item").hit)
